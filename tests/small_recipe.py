"""Helpers of several rooms' tests: the small recipe, what loading says of one, and the command in its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rho1bench.errors import RecipeError
from rho1bench.recipe.loading.load import load_recipe

HERE = Path(__file__).parent
SMALL = HERE / "small_recipe.yaml"


def problems(path: Path | str, *overrides: str) -> str:
    """What loading a recipe complains of."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path), overrides)
    return str(caught.value)


def stage(data: dict, name: str) -> dict:
    """The stage called ``name`` in raw data."""
    return next(item for item in data["stages"] if item["name"] == name)


def child(tmp_path: Path, text: str, name: str = "child.yaml") -> Path:
    """Write a recipe file."""
    path = tmp_path / name
    path.write_text(text)
    return path


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
    paths = os.pathsep.join((str(HERE), str(HERE.parent)))
    changes = {"PYTHONPATH": paths, "COLUMNS": "200", "FAKE_CALLS": os.devnull}
    return {**os.environ, **changes, **{key: str(value) for key, value in environment.items()}}
