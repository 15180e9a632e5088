"""Where the files that ship with the package lie: ``tasks/``, ``recipes/`` and ``results/paper/``.

A checkout keeps them at its top level, beside the package; a wheel carries them inside the package.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """Return the shipped folder ``name`` (``"tasks"`` for example), from the wheel or from the checkout."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def tasks_dir() -> Path:
    """Return the folder of lm-eval task YAMLs."""
    return shipped("tasks")


def recipes_dir() -> Path:
    """Return the folder of shipped recipes."""
    return shipped("recipes")


def results_dir() -> Path:
    """Return the folder of results; a wheel holds the paper's alone."""
    return shipped("results")
