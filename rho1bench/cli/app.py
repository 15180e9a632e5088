"""The command ``rho1bench``: its commands put together, and the exit code that each ending has."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from rho1bench import __version__
from rho1bench.cli.bench import bench_app
from rho1bench.cli.evaluate import convert, evaluate
from rho1bench.cli.grade import grade, replay
from rho1bench.cli.inspect import inspect_app
from rho1bench.cli.leaderboard import compare, leaderboard_app
from rho1bench.cli.power import power
from rho1bench.cli.rules import rules
from rho1bench.cli.run import plan, recipes, run, sweep
from rho1bench.cli.runs import runs_app
from rho1bench.cli.sandbox import sandbox_app
from rho1bench.cli.score import score
from rho1bench.cli.tasks import tasks_app
from rho1bench.errors import UserError

app = typer.Typer(
    name="rho1bench",
    help="End-to-end benchmark suite for token selection in language-model training (Rho-1).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
INTERRUPTED = 130


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


def doctor() -> None:
    """Check Python, packages, devices and the inference engine; say what to fix."""
    from rich.console import Console

    from rho1bench.cli.doctor import print_diagnosis

    if not print_diagnosis(Console()):
        raise typer.Exit(1)


app.command()(run)
app.command()(sweep)
app.command()(plan)
app.command()(recipes)
app.command()(rules)
app.command(name="eval")(evaluate)
app.command()(compare)
app.command()(power)
app.command()(score)
app.command()(grade)
app.command()(replay)
app.command()(convert)
app.add_typer(inspect_app, name="inspect")
app.add_typer(runs_app, name="runs")
app.add_typer(leaderboard_app, name="leaderboard")
app.add_typer(tasks_app, name="tasks")
app.add_typer(sandbox_app, name="sandbox")
app.add_typer(bench_app, name="bench")
app.command()(doctor)


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
