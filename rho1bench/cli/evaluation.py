"""Commands around a model's answers: ``eval``, ``score``, ``convert``, ``replay``, ``grade``, ``tasks``, ``sandbox``.

Part of ``cli``; everything but typer is imported inside the commands.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rho1bench.cli.output import WIDTH_OF_FILES, console

tasks_app = typer.Typer(help="List the evaluation tasks; print the prompts of one.", no_args_is_help=True)
sandbox_app = typer.Typer(help="Run programs as those of a model are run.", no_args_is_help=True)


class EvalEngine(StrEnum):
    """Inference engines of ``rho1bench eval``."""

    auto = "auto"
    vllm = "vllm"
    hf = "hf"
    openai = "openai"


def evaluate(
    checkpoints: Annotated[
        list[str], typer.Argument(metavar="CHECKPOINT", help="Folders, or hub ids such as OWNER/NAME@REVISION.")
    ],
    suite: Annotated[
        list[str] | None,
        typer.Option(help="math (default), tir, general, all, or any suite, group or task by name; may be repeated."),
    ] = None,
    tasks: Annotated[str, typer.Option(metavar="A,B,...", help="Single tasks, besides or instead of suites.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Documents a task at most; for trials.")] = None,
    engine: Annotated[EvalEngine, typer.Option(help="auto is vllm where it is installed.")] = EvalEngine.auto,
    base_url: Annotated[str | None, typer.Option(help="Server of the openai engine, http://HOST:PORT/v1.")] = None,
    model: Annotated[str | None, typer.Option(help="The server's name for the model, if it is another one.")] = None,
    tensor_parallel_size: Annotated[int, typer.Option(min=1, help="GPUs that share a model (vllm).")] = 1,
    data_parallel_size: Annotated[int, typer.Option(min=1, help="Copies of the model side by side (vllm).")] = 1,
    max_model_len: Annotated[int, typer.Option(min=8, help="Context in tokens; the model's own if shorter.")] = 4096,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts in work at once.")] = 256,
    data_root: Annotated[Path | None, typer.Option(help="Local copy of the test data; default: downloaded.")] = None,
    output: Annotated[Path, typer.Option(help="Holds one folder for each checkpoint.")] = Path("evals"),
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads for torch.")] = None,
) -> None:
    """Evaluate checkpoints on the paper's tasks. The same command again continues or is done."""
    from rich.console import Console

    from rho1bench.evaluation.command import EvalOptions, run_eval

    options = EvalOptions(
        checkpoints=checkpoints,
        output=output,
        suites=suite or [],
        tasks=[name.strip() for name in tasks.split(",") if name.strip()],
        limit=limit,
        engine=engine.value,
        base_url=base_url,
        served_model=model,
        tensor_parallel_size=tensor_parallel_size,
        data_parallel_size=data_parallel_size,
        max_model_len=max_model_len,
        batch_size=batch_size,
        data_root=data_root,
        num_threads=threads,
    )
    run_eval(options, Console(stderr=True), console())


class Precision(StrEnum):
    """Precision of weights and matrix products."""

    fp32 = "fp32"
    bf16 = "bf16"


def score(
    corpus: Annotated[Path, typer.Argument(help="Folder of a packed corpus, as a corpus stage writes it.")],
    output: Annotated[Path, typer.Option(help="Folder of the scores.")],
    reference: Annotated[str | None, typer.Option(help="Checkpoint folder, or hub id such as OWNER/NAME.")] = None,
    server: Annotated[str | None, typer.Option(help="Or a server that scores: http://HOST:PORT/v1.")] = None,
    model: Annotated[str | None, typer.Option(help="The server's name for the model.")] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="The corpus's tokenizer, where the reference's has the same vocabulary only.")
    ] = None,
    precision: Annotated[Precision, typer.Option(help="Of weights and matrix products.")] = Precision.fp32,
    batch_size: Annotated[int, typer.Option(min=1, help="Blocks in one forward pass.")] = 64,
    shard_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens in one file: what a kill can cost, and a process's share at a time.")
    ] = 2**20,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads for torch.")] = None,
) -> None:
    """Store a reference's loss and entropy of every token. The same command again continues or is done.

    On several GPUs: `accelerate launch -m rho1bench score ...`; each process takes whole files.
    """
    from rho1bench.selection.scoring import ScoreOptions, run_score

    run_score(
        ScoreOptions(
            corpus=corpus,
            output=output,
            reference=reference,
            server=server,
            model=model,
            tokenizer=tokenizer,
            precision=precision.value,
            batch_size=batch_size,
            shard_tokens=shard_tokens,
            num_threads=threads,
        )
    )


def convert(
    gguf: Annotated[Path, typer.Argument(help="A GGUF file of a model that transformers knows.")],
    output: Annotated[Path, typer.Option(help="The checkpoint folder to write.")],
) -> None:
    """Turn a GGUF file into a checkpoint folder (config, float32 safetensors, tokenizer)."""
    from rho1bench.evaluation.gguf import convert_gguf

    convert_gguf(gguf, output)
    typer.echo(f"checkpoint: {output}")


def replay(
    outputs: Annotated[Path, typer.Argument(help="JSON lines of transcripts: keys `code` (a list) or `completion`.")],
    output: Annotated[Path | None, typer.Option(help="Where to list every program whose output differs.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Programs at a time; default: one a core.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a program may take.")] = 5.0,
) -> None:
    """Re-run the programs of recorded transcripts, compare what they print; the last line is one line of JSON."""
    import json

    from rho1bench.evaluation.replay import replay_file
    from rho1bench.evaluation.tool_loop import ToolSettings
    from rho1bench.progress import Progress

    progress = Progress("replay")
    result = replay_file(outputs, output, ToolSettings(timeout=timeout), workers, progress)
    for reason, count in result.reasons():
        progress.message(f"{count} x {reason}")
    typer.echo(json.dumps(result.summary()))


@sandbox_app.command("run")
def sandbox_run(
    program: Annotated[Path, typer.Argument(help="A Python file.")],
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that it may take.")] = 5.0,
    memory: Annotated[int, typer.Option(min=16, help="MiB of memory that it may use.")] = 512,
) -> None:
    """Run one program in the sandbox; print its outcome, output, error and seconds as one line of JSON."""
    from rho1bench.sandbox import run_file

    typer.echo(run_file(program, timeout, memory))


def grade(
    input: Annotated[
        Path,
        typer.Argument(metavar="INPUT.jsonl", help="Saved outputs: our own lines, released outputs, lm-eval samples."),
    ],
    output: Annotated[Path, typer.Option(metavar="OUT.jsonl", help="The same lines with pred and both verdicts.")],
    task: Annotated[
        str | None, typer.Option(help="Data set of every line (gsm8k, math ...), where lines name none.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with math/<task>/test.jsonl, for gold answers; default: RHO1BENCH_DATA.")
    ] = None,
) -> None:
    """Grade saved outputs without a model, as the paper judged and strictly; list where the two disagree."""
    from rho1bench.grading.files import grade_file
    from rho1bench.grading.report import print_summary, reporting_pool
    from rho1bench.progress import Progress

    progress = Progress("grade")
    pool = reporting_pool(progress)
    try:
        summary = grade_file(input, output, task, data_root, pool=pool)
    finally:
        progress.close()
        pool.close()
    print_summary(summary, console())


@tasks_app.command("list")
def list_tasks() -> None:
    """List the shipped tasks with their suites, test rows, score and source of data."""
    from rich.table import Table

    from rho1bench.evaluation.task_listing import list_tasks as facts_of_tasks

    table = Table("task", "suites", "rows", "score", "data", box=None)
    for facts in facts_of_tasks():
        rows = "" if facts.num_rows is None else str(facts.num_rows)
        table.add_row(facts.name, ", ".join(facts.suites), rows, facts.metric, facts.source)
    console(WIDTH_OF_FILES + 20).print(table)


@tasks_app.command("prompts")
def print_prompts(
    task: Annotated[str, typer.Argument(help="Name of a task; `rho1bench tasks list` shows them.")],
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with math/ and prompts/; default: RHO1BENCH_DATA, else downloaded once.")
    ] = None,
    sha256: Annotated[bool, typer.Option("--sha256", help="Print one SHA-256 of the whole prompt a row.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first rows.")] = None,
) -> None:
    """Print what a model is sent for each test row of a task, exemplars included."""
    from rho1bench.evaluation.data.files import use_data_folder
    from rho1bench.evaluation.task_listing import task_prompts
    from rho1bench.files import sha256_bytes

    use_data_folder(data_root)
    for row, prompt in enumerate(task_prompts(task, limit)):
        typer.echo(sha256_bytes(prompt.encode("utf-8")) if sha256 else f"===== {task}, row {row} =====\n{prompt}")
