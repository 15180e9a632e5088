"""Helpers of the house's tests: the small recipe, and the command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SMALL = HERE / "small_recipe.yaml"


def command(*arguments: object, fake: bool = True) -> list[str]:
    """The command line of rho1bench, with the fake stages if ``fake``."""
    start = [str(HERE / "fake_stages.py")] if fake else ["-m", "rho1bench"]
    return [sys.executable, *start, *map(str, arguments)]


def rho1bench(*arguments: object, fake: bool = False, **environment: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        command(*arguments, fake=fake),
        env=surroundings(**environment),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )


def surroundings(**environment: object) -> dict[str, str]:
    """The environment of a run with fake stages."""
    paths = os.pathsep.join((str(HERE), str(HERE.parent.parent)))
    changes = {"PYTHONPATH": paths, "COLUMNS": "200", "FAKE_CALLS": os.devnull}
    return {**os.environ, **changes, **{key: str(value) for key, value in environment.items()}}
