"""``rho1bench sandbox run``: one program as those of a model are run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

sandbox_app = typer.Typer(help="Run programs as those of a model are run.", no_args_is_help=True)


@sandbox_app.command("run")
def sandbox_run(
    program: Annotated[Path, typer.Argument(help="A Python file.")],
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds of its own time that it may take.")] = 5.0,
    memory: Annotated[int, typer.Option(min=16, help="MiB of memory that it may use.")] = 512,
) -> None:
    """Run one program in the sandbox; print its outcome, output, error and seconds as one line of JSON."""
    from rho1bench.sandbox import run_file

    typer.echo(run_file(program, timeout, memory))
