"""The command ``rho1bench``: its commands put together, and the exit code that each ending has."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from rho1bench import __version__
from rho1bench.cli.analyze import analyze
from rho1bench.cli.atlas import atlas
from rho1bench.cli.bench import bench_app
from rho1bench.cli.console import JsonFile, show
from rho1bench.cli.evaluate import convert, evaluate
from rho1bench.cli.grade import grade, replay
from rho1bench.cli.inspect import inspect_app
from rho1bench.cli.leaderboard import compare, leaderboard_app, verify
from rho1bench.cli.named_commands import NamedCommands, Target
from rho1bench.cli.plan import plan
from rho1bench.cli.power import power
from rho1bench.cli.recipe import init, recipes, schema, validate
from rho1bench.cli.rules import rules
from rho1bench.cli.run import run, sweep
from rho1bench.cli.runs import runs_app
from rho1bench.cli.sandbox import sandbox_app
from rho1bench.cli.score import score
from rho1bench.cli.tasks import tasks_app
from rho1bench.cli.usage import usage_message
from rho1bench.errors import RunError, Stopped, UserError
from rho1bench.system.disk_errors import REFUSED, reason

INTERRUPTED = 130
STOPPED = 75
"""EX_TEMPFAIL, try again: a scheduler's signal has ended a run, which has left a resume point."""
_PATHS = (*REFUSED, errno.ENOENT, errno.EINVAL, errno.EBADF)
"""What the system says of paths that cannot be read or written."""


def doctor(json_file: JsonFile = None) -> None:
    """Check Python, packages, devices and the inference engine; say what to fix."""
    from dataclasses import asdict

    from rich.console import Console

    from rho1bench.cli.doctor import diagnose, print_findings

    findings = list(diagnose())
    show([asdict(finding) for finding in findings], json_file, lambda: print_findings(findings, Console()))
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)


class Commands(NamedCommands):
    """Every command by its name, as the help lists them."""

    targets: ClassVar[Mapping[str, Target]] = {
        "init": init,
        "validate": validate,
        "run": run,
        "sweep": sweep,
        "plan": plan,
        "recipes": recipes,
        "schema": schema,
        "rules": rules,
        "eval": evaluate,
        "compare": compare,
        "verify": verify,
        "power": power,
        "analyze": analyze,
        "score": score,
        "grade": grade,
        "replay": replay,
        "convert": convert,
        "atlas": atlas,
        "inspect": inspect_app,
        "runs": runs_app,
        "leaderboard": leaderboard_app,
        "tasks": tasks_app,
        "sandbox": sandbox_app,
        "bench": bench_app,
        "doctor": doctor,
    }


app = typer.Typer(
    name="rho1bench",
    cls=Commands,
    help="End-to-end benchmark suite for token selection in language-model training (Rho-1).",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


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


def main() -> None:
    """Entry point of the ``rho1bench`` command; ends the process with its exit code."""
    try:
        _check_arguments(sys.argv[1:])
        code = app(standalone_mode=False, prog_name="rho1bench")
    except UserError as error:
        code = _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Stopped:
        print("stopped as a signal asked; the same command continues from the last resume point", file=sys.stderr)
        code = STOPPED
    except BrokenPipeError:  # whoever read the output has enough, `head` for one
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        message = _words_of(error)
        if message is None:
            raise
        code = _fail(message)
    except Exception as error:
        if not hasattr(error, "format_message"):  # every usage error of the command line has it
            raise
        message = error.format_message()  # empty where the help has been printed instead
        code = _fail(usage_message(message)) if message else 2
    if code == INTERRUPTED:  # typer itself returns this for Ctrl-C
        print("stopped; the same command continues", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def _check_arguments(arguments: list[str]) -> None:
    """Raise RunError for an argument whose bytes are no UTF-8: it could be written into no file and no message."""
    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise RunError(f"the argument {argument!r} is not UTF-8. Rename the file, or give another one.")


def _words_of(error: OSError) -> str | None:
    """Return one message for a path that the system refuses; None for what is no fault of a path."""
    if error.errno not in _PATHS or not isinstance(error.filename, str):
        return None
    return f"{error.filename}: {reason(error)}. Check the path and who may read and write there, or give another one."


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
