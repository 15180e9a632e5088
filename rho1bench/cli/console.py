"""What the commands share: the console that tables are printed on, ``--json``, and completions of names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

WIDTH_OF_FILES = 110
"""Columns of a wide table where the output is not a terminal."""


def check_json_file(path: Path | None) -> Path | None:
    """Refuse a file that could not be written at the end, before anything else is done; raises RunError."""
    if path is not None and path != Path("-"):
        place = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
        if place.is_dir() if place == path.absolute() else not place.is_dir():
            raise _unwritable(path, f"{place} is {'a' if place.is_dir() else 'no'} folder")
    return path


JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        callback=check_json_file,
        help="Write the same as JSON to FILE; with - print that and no table.",
    ),
]


def recipe_names(incomplete: str) -> Iterable[str]:
    """Complete the names of shipped recipes; the shell adds files."""
    from rho1bench.system.paths import recipes_dir

    return sorted(path.stem for path in recipes_dir().glob(f"{incomplete}*.yaml"))


def suite_names(incomplete: str) -> Iterable[str]:
    """Complete the names of suites."""
    from rho1bench.paper.suites import SHORT_NAMES, SUITES

    return [name for name in (*SHORT_NAMES, *SUITES) if name.startswith(incomplete)]


def rule_names(incomplete: str) -> Iterable[str]:
    """Complete the names of selection rules."""
    from rho1bench.recipe.models.score_names import score_names

    return [name for name in score_names() if name.startswith(incomplete)]


def gpu_names(incomplete: str) -> Iterable[str]:
    """Complete the names of GPUs."""
    from rho1bench.sizing.gpus import GPUS

    return [name for name in GPUS if name.startswith(incomplete)]


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
    from rho1bench.system.files import write_json

    try:
        write_json(json_file, value)
    except OSError as error:
        raise _unwritable(json_file, str(error.strerror)) from error
    typer.echo(f"wrote {json_file}", err=not json_file.is_file())  # the value itself is on /dev/stdout


def _unwritable(json_file: Path, reason: str) -> Exception:
    from rho1bench.errors import RunError

    return RunError(f"--json {json_file}: cannot be written: {reason}. Give another file.")
