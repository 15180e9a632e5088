"""What the commands share: the console that tables are printed on, and ``--json``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

WIDTH_OF_FILES = 110
"""Columns of a wide table where the output is not a terminal."""
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write the same as JSON to FILE; with - print that and no table."),
]


def console(width_of_files: int = WIDTH_OF_FILES) -> Any:
    """Return a console as wide as the terminal; where there is none, of ``width_of_files`` columns."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=width_of_files)


def show(value: object, json_file: Path | None, print_tables: Callable[[], object]) -> None:
    """Print the tables, and write ``value`` where ``--json`` says so: to a file, or with ``-`` in their place.

    Raises RunError if the file cannot be written.
    """
    import json

    if json_file == Path("-"):
        typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
        return
    print_tables()
    if json_file is not None:
        write_as_json(json_file, value)


def write_as_json(json_file: Path, value: object) -> None:
    """Write ``value`` to a file and say so; raises RunError if it cannot be written."""
    from rho1bench.errors import RunError
    from rho1bench.system.files import write_json

    try:
        write_json(json_file, value)
    except OSError as error:
        raise RunError(f"--json {json_file}: cannot be written: {error.strerror}. Give another file.") from error
    typer.echo(f"wrote {json_file}")
