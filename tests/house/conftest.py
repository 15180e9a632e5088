"""Fixtures of the house: the small recipe, and the runner with fake stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fake_stages
import pytest
import yaml
from house import SMALL

from rho1bench import runner

Edit = Callable[[dict], object]


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The runner with fake stages; returns the names of the stages called since the last look."""
    path = tmp_path / "calls.txt"
    monkeypatch.setenv("FAKE_CALLS", str(path))
    monkeypatch.setattr(runner, "STAGE_KINDS", dict(runner.STAGE_KINDS))
    monkeypatch.setattr(runner, "SUMMARISE_SEEDS", runner.SUMMARISE_SEEDS)
    fake_stages.install()

    def look() -> list[str]:
        names = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return names

    return look


@pytest.fixture
def recipe_file(tmp_path):
    """Write the small recipe, changed by a function, and return its path."""

    def write(edit: Edit = lambda data: None, name: str = "recipe.yaml") -> Path:
        data = yaml.safe_load(SMALL.read_text())
        edit(data)
        path = tmp_path / name
        path.write_text(yaml.safe_dump(data, sort_keys=False))
        return path

    return write
