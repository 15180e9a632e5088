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
from rho1bench.cli import evaluation
from rho1bench.cli.bench import bench_app
from rho1bench.cli.leaderboard import compare, leaderboard_app
from rho1bench.cli.output import WIDTH_OF_FILES, console
from rho1bench.errors import UserError

app = typer.Typer(
    name="rho1bench",
    help="End-to-end benchmark suite for token selection in language-model training (Rho-1).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
INTERRUPTED = 130


class Engine(StrEnum):
    """Inference engines for evaluation."""

    auto = "auto"
    vllm = "vllm"
    hf = "hf"


class Scale(StrEnum):
    """Sizes that a recipe can be run at."""

    full = "full"
    smoke = "smoke"


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
    scale: Annotated[Scale, typer.Option(help="smoke: every stage, tiny, to try a recipe out.")] = Scale.full,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    engine: Annotated[Engine | None, typer.Option(help="Inference engine; default: the recipe's.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads for torch.")] = None,
) -> None:
    """Carry out a recipe: train, score, evaluate, compare, report. The same command again continues or is done."""
    from rho1bench.recipe.loading import load_recipe
    from rho1bench.recipe.scale import smoke
    from rho1bench.runner import run_recipe
    from rho1bench.stage import RunOptions

    loaded = load_recipe(recipe, overrides or [], seed)
    if scale is Scale.smoke:
        loaded = smoke(loaded)
    folder = output or Path("runs") / (loaded.name if scale is Scale.full else f"{loaded.name}.smoke")
    shown = console()
    if dry_run:
        _print_plan(loaded, folder, shown)
        return
    result = run_recipe(loaded, folder, RunOptions(engine.value if engine else None, threads))
    _print_result(result, shown)


@app.command()
def plan(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or the path of a YAML file.")],
    gpus: Annotated[int | None, typer.Option(min=1, help="Number of GPUs; default: the recipe's processes.")] = None,
    gpu: Annotated[str, typer.Option(help="h100, h200, a100-80, a100-40, l40s, rtx4090 ...")] = "h100",
    mfu: Annotated[float | None, typer.Option(min=0.01, max=1, help="Share of the peak; default: 0.4.")] = None,
    tokens_per_second: Annotated[
        float | None, typer.Option(min=0.001, help="Measured on one GPU with the recipe's largest model; not --mfu.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe; may be repeated.")
    ] = None,
) -> None:
    """Print what a recipe would take: steps, tokens, memory a GPU, disk and GPU hours. Needs no network."""
    from rho1bench.plan.report import print_plan
    from rho1bench.recipe.loading import load_recipe

    print_plan(load_recipe(recipe, overrides or []), console(WIDTH_OF_FILES + 20), gpu, gpus, mfu, tokens_per_second)


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
def doctor() -> None:
    """Check Python, packages, devices and the inference engine; say what to mend."""
    from rich.console import Console

    from rho1bench.doctor import print_diagnosis

    if not print_diagnosis(Console()):
        raise typer.Exit(1)


app.command(name="eval")(evaluation.evaluate)
app.command()(compare)
app.command()(evaluation.score)
app.command()(evaluation.grade)
app.command()(evaluation.replay)
app.command()(evaluation.convert)
app.add_typer(leaderboard_app, name="leaderboard")
app.add_typer(evaluation.tasks_app, name="tasks")
app.add_typer(evaluation.sandbox_app, name="sandbox")
app.add_typer(bench_app, name="bench")


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


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def _print_plan(recipe: Any, folder: Path, shown: Any) -> None:
    from rho1bench.plan import plan_table
    from rho1bench.runner import one_seed, preview

    runs = [one_seed(recipe, folder, seed) for seed in recipe.seeds] or [(recipe, folder)]
    for one, place in runs:
        shown.print(plan_table(one, preview(one, place)))
    shown.print(f"run folder: {folder}", highlight=False, soft_wrap=True)


def _print_result(result: Any, shown: Any) -> None:
    from rho1bench.files import read_json

    summary = result.folder / "summary.json"
    if summary.is_file():
        from rho1bench.leaderboard.tables import comparison_table

        shown.print(comparison_table(read_json(summary)))
    took = "  ".join(f"{stage.name} {stage.seconds:.1f}" for stage in result.stages)
    shown.print(f"seconds: {took}", highlight=False, soft_wrap=True)
    if not result.changed:
        shown.print("nothing changed since the last run")
    for name in ("report.html", "report.md", "summary.json"):
        if (result.folder / name).is_file():
            shown.print(f"{name}: {result.folder / name}", highlight=False, soft_wrap=True)
