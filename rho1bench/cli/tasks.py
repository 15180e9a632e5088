"""``rho1bench tasks list`` and ``tasks prompts``: the evaluation tasks, and what a model is sent for each row."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from rho1bench.cli.console import WIDTH_OF_FILES, JsonFile, console, show

tasks_app = typer.Typer(help="List the evaluation tasks; print the prompts of one.", no_args_is_help=True)


@tasks_app.command("list")
def list_tasks(json_file: JsonFile = None) -> None:
    """List the shipped tasks with their suites, test rows, score and source of data."""
    from dataclasses import asdict

    from rich.table import Table

    from rho1bench.evaluation.tasks.listing import list_tasks as facts_of_tasks

    table = Table("task", "suites", "rows", "score", "data", box=None)
    tasks = facts_of_tasks()
    for facts in tasks:
        rows = "" if facts.num_rows is None else str(facts.num_rows)
        table.add_row(facts.name, ", ".join(facts.suites), rows, facts.metric, facts.source)
    show([asdict(facts) for facts in tasks], json_file, lambda: console(WIDTH_OF_FILES + 20).print(table))


@tasks_app.command("prompts")
def print_prompts(
    task: Annotated[str, typer.Argument(help="Name of a task; `rho1bench tasks list` shows them.")],
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with math/ and prompts/; default: RHO1BENCH_DATA, else downloaded once.")
    ] = None,
    sha256: Annotated[bool, typer.Option("--sha256", help="Print one SHA-256 of the whole prompt a row.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first rows.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Print what a model is sent for each test row of a task, exemplars included."""
    from rho1bench.evaluation.tasks.listing import task_prompts
    from rho1bench.system.data_root import use_data_folder
    from rho1bench.system.files import sha256_bytes

    use_data_folder(data_root)
    prompts: Iterable[str] = (sha256_bytes(one.encode("utf-8")) if sha256 else one for one in task_prompts(task, limit))

    def texts() -> None:
        for row, prompt in enumerate(prompts):
            typer.echo(prompt if sha256 else f"===== {task}, row {row} =====\n{prompt}")

    if json_file is None:
        texts()  # one by one, as they are made
    else:
        prompts = list(prompts)
        show(prompts, json_file, texts)
