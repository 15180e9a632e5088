"""``rho1bench runs list`` and ``runs prune``: run folders, and the old results that they keep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rho1bench.cli.console import JsonFile, console, show

runs_app = typer.Typer(help="List run folders and their old results; delete old results.", no_args_is_help=True)


@runs_app.command("list")
def list_runs(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, or folders with run folders; default: runs/.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """List what is set aside in each run folder: results that a changed recipe, code or input has made stale."""
    from rich.table import Table

    from rho1bench.pipeline.set_aside import old_stages, run_folders
    from rho1bench.plan.tables import short

    table, rows = Table("run folder", "old result", "state", "size", box=None), []
    for run in (run for folder in folders or [Path("runs")] for run in run_folders(folder)):
        old = [(one.folder.relative_to(run).as_posix(), one.state, one.bytes) for one in old_stages(run)]
        table.add_row(str(run), "" if old else "none", "", "")
        for name, state, size in old:
            table.add_row("", name, state, short(size, "B"))
        kept = [{"folder": name, "state": state, "bytes": size} for name, state, size in old]
        rows.append({"run": str(run), "old": kept})
    show(rows, json_file, lambda: console().print(table))


@runs_app.command("prune")
def prune_runs(
    folder: Annotated[Path, typer.Argument(help="Run folder.")],
    stages: Annotated[
        list[str] | None, typer.Argument(metavar="[STAGE]...", help="Of these stages alone; names or patterns.")
    ] = None,
) -> None:
    """Delete the old results of a run folder. What its last run made or kept stays."""
    from rho1bench.pipeline.set_aside import prune
    from rho1bench.plan.tables import short

    pruned = prune(folder, stages or ())
    shown = console()
    for one, size in pruned:
        shown.print(f"deleted {one.folder} ({one.stage}, {short(size, 'B')})", highlight=False, soft_wrap=True)
    shown.print(f"{len(pruned)} old results deleted, {short(sum(size for _, size in pruned), 'B')}", highlight=False)
