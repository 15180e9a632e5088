"""What the commands share: the console that tables are printed on."""

from __future__ import annotations

import sys
from typing import Any

WIDTH_OF_FILES = 110
"""Columns of a wide table where the output is not a terminal."""


def console(width_of_files: int = WIDTH_OF_FILES) -> Any:
    """Return a console as wide as the terminal; where there is none, of ``width_of_files`` columns."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=width_of_files)
