"""What a person types: the commands, their options, and the only place that ends the process.

Everything but typer is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rho1bench import __version__
from rho1bench.cli_leaderboard import compare, leaderboard_app
from rho1bench.errors import UserError

app = typer.Typer(
    name="rho1bench",
    help="End-to-end benchmark suite for token selection in language-model training (Rho-1).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
tasks_app = typer.Typer(help="List the evaluation tasks; print the prompts of one.", no_args_is_help=True)
app.add_typer(tasks_app, name="tasks")
sandbox_app = typer.Typer(help="Run programs as those of a model are run.", no_args_is_help=True)
app.add_typer(sandbox_app, name="sandbox")
bench_app = typer.Typer(help="Measure parts of the suite against a naive version, side by side.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")
app.command()(compare)
app.add_typer(leaderboard_app, name="leaderboard")
INTERRUPTED = 130
WIDTH_OF_FILES = 110
"""Columns of a wide table where the output is not a terminal."""


class Engine(StrEnum):
    """Inference engines for evaluation."""

    auto = "auto"
    vllm = "vllm"
    hf = "hf"


class EvalEngine(StrEnum):
    """Inference engines of ``rho1bench eval``."""

    auto = "auto"
    vllm = "vllm"
    hf = "hf"
    openai = "openai"


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    unsafe: Annotated[
        bool,
        typer.Option("--unsafe-code-execution", help="Run model-written programs even where nothing isolates them."),
    ] = False,
) -> None:
    """End-to-end benchmark suite for token selection in language-model training (Rho-1)."""
    if version:
        typer.echo(f"rho1bench {__version__}")
        raise typer.Exit
    if unsafe:
        from rho1bench.sandbox import UNSAFE

        os.environ[UNSAFE] = "1"  # the processes that this one starts are to know as well


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or the path of a YAML file.")],
    output: Annotated[Path | None, typer.Option(help="Run folder; default: runs/<recipe name>.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe; may be repeated.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Replaces the recipe's seed.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    engine: Annotated[Engine | None, typer.Option(help="Inference engine; default: the recipe's.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads for torch.")] = None,
) -> None:
    """Carry out a recipe: train, score, evaluate, compare, report. The same command again continues or is done."""
    from rho1bench.recipe.loading import load_recipe
    from rho1bench.runner import run_recipe
    from rho1bench.stage import RunOptions

    loaded = load_recipe(recipe, overrides or [], seed)
    folder = output or Path("runs") / loaded.name
    console = _console()
    if dry_run:
        _print_plan(loaded, folder, console)
        return
    result = run_recipe(loaded, folder, RunOptions(engine.value if engine else None, threads))
    _print_result(result, console)


@app.command(name="eval")
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
    run_eval(options, Console(stderr=True), _console())


class Precision(StrEnum):
    """Precision of weights and matrix products."""

    fp32 = "fp32"
    bf16 = "bf16"


@app.command()
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


@app.command()
def convert(
    gguf: Annotated[Path, typer.Argument(help="A GGUF file of a model that transformers knows.")],
    output: Annotated[Path, typer.Option(help="The checkpoint folder to write.")],
) -> None:
    """Turn a GGUF file into a checkpoint folder (config, float32 safetensors, tokenizer)."""
    from rho1bench.evaluation.gguf import convert_gguf

    convert_gguf(gguf, output)
    typer.echo(f"checkpoint: {output}")


@app.command()
def recipes() -> None:
    """List the shipped recipes."""
    from rich.console import Console
    from rich.table import Table

    from rho1bench.recipe.loading import load_recipe, shipped_recipes

    table = Table("recipe", "stages", "description")
    for name in shipped_recipes():
        loaded = load_recipe(name)
        table.add_row(name, str(len(loaded.stages)), loaded.description)
    Console().print(table)


@app.command()
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


@bench_app.command("sandbox")
def bench_sandbox(
    outputs: Annotated[list[Path] | None, typer.Argument(help="JSON lines of transcripts; default: made here.")] = None,
    programs: Annotated[int, typer.Option(min=1, help="How many programs both ways run.")] = 60,
    workers: Annotated[int | None, typer.Option(min=1, help="Programs at a time; default: one a core.")] = None,
    soak: Annotated[int | None, typer.Option(min=10, help="Instead run this many in a row and look for leaks.")] = None,
) -> None:
    """Programs a second in the sandbox, beside a fresh interpreter that imports sympy for each program."""
    if soak is not None:
        from rho1bench.bench.soak import soak as run_soak
        from rho1bench.bench.soak import soak_table

        typer.echo(soak_table(list(run_soak(soak))))
        return
    from rho1bench.bench.sandbox import report, run

    typer.echo(report(run(outputs or (), programs, workers)))


@app.command()
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
    print_summary(summary, _console())


@bench_app.command("grade")
def bench_grade(
    input: Annotated[
        list[Path] | None, typer.Option(help="A file of saved outputs; may be repeated. Default: see above.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="As for `grade`; default: RHO1BENCH_DATA.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; default: one a core.")] = None,
) -> None:
    """Measure the grader against a fresh process pool a file with sympy on every pair, in one run.

    Grades the given files; else the outputs released with the paper, if the data folder holds them; else answers made
    on the spot. Prints seconds, their ratio, and how much 1% of answers that never end slow the others.
    """
    from rho1bench.bench.grade import report, run

    typer.echo(report(run(input or (), data_root, workers)))


@bench_app.command("score")
def bench_score(
    rounds: Annotated[int, typer.Option(min=1, help="How often each way scores the blocks.")] = 7,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads for torch.")] = None,
) -> None:
    """Tokens a second of scoring, beside a bare forward pass of the same model over the same blocks."""
    from rho1bench.bench.score import report, run

    typer.echo(report(run(rounds, threads)))


@bench_app.command("train")
def bench_train(
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Keep the figures here.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each way has its turn.")] = 7,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Blocks a step; default: 4.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of torch; default: one a core.")] = None,
) -> None:
    """Tokens a second and peak memory of selective training at 60%, beside naive SLM and plain CLM, in one run."""
    from rho1bench.bench.train import bench

    typer.echo(bench(json_file, rounds, batch_size, threads))


@app.command()
def doctor() -> None:
    """Check Python, packages, devices and the inference engine; say what to mend."""
    from rich.console import Console

    from rho1bench.doctor import print_diagnosis

    if not print_diagnosis(Console()):
        raise typer.Exit(1)


@tasks_app.command("list")
def list_tasks() -> None:
    """List the shipped tasks with their suites, test rows, score and source of data."""
    from rich.table import Table

    from rho1bench.evaluation.task_listing import list_tasks as facts_of_tasks

    table = Table("task", "suites", "rows", "score", "data", box=None)
    for facts in facts_of_tasks():
        rows = "" if facts.num_rows is None else str(facts.num_rows)
        table.add_row(facts.name, ", ".join(facts.suites), rows, facts.metric, facts.source)
    _console(WIDTH_OF_FILES + 20).print(table)


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


def main() -> None:
    """Entry point of the ``rho1bench`` command; ends the process with its exit code."""
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        code = _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):  # every usage error of the command line has it
            raise
        message = error.format_message()  # empty where the help has been printed instead
        code = _fail(f"{message.rstrip('.')}. `rho1bench --help` lists commands and options.") if message else 2
    if code == INTERRUPTED:  # typer itself returns this for Ctrl-C
        print("stopped; the same command continues", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def _console(width_of_files: int = WIDTH_OF_FILES) -> Any:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=width_of_files)


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def _print_plan(recipe: Any, folder: Path, console: Any) -> None:
    from rho1bench.plan import plan_table
    from rho1bench.runner import one_seed, preview

    runs = [one_seed(recipe, folder, seed) for seed in recipe.seeds] or [(recipe, folder)]
    for one, place in runs:
        console.print(plan_table(one, preview(one, place)))
    console.print(f"run folder: {folder}", highlight=False, soft_wrap=True)


def _print_result(result: Any, console: Any) -> None:
    from rho1bench.files import read_json

    summary = result.folder / "summary.json"
    if summary.is_file():
        from rho1bench.leaderboard.tables import comparison_table

        console.print(comparison_table(read_json(summary)))
    took = "  ".join(f"{stage.name} {stage.seconds:.1f}" for stage in result.stages)
    console.print(f"seconds: {took}", highlight=False, soft_wrap=True)
    if not result.changed:
        console.print("nothing changed since the last run")
    for name in ("report.html", "report.md", "summary.json"):
        if (result.folder / name).is_file():
            console.print(f"{name}: {result.folder / name}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
