"""Packages that add selection rules, as an installer would leave them: modules and metadata in a folder of the path."""

from __future__ import annotations

from pathlib import Path

CAUTIOUS = """
from typing import Annotated, Literal

import torch
from pydantic import Field

from rho1bench.selection.score_functions import Parameters, ScoreFunction


class Caution(Parameters):
    threshold: Annotated[float, Field(ge=0)] = 5.0
    beyond: Literal["drop", "halve"] = "drop"


def weigh(inputs):
    '''Tokens of which the model is too unsure count half, or nothing.'''
    caution = inputs.parameters(Caution)
    unsure = inputs["entropies"] > caution.threshold
    return torch.where(unsure, 0.0 if caution.beyond == "drop" else 0.5, 1.0)


cautious = ScoreFunction(
    "cautious", weigh, ("entropies",), gives="weights", parameters=Caution,
    summary="1 where H is below a threshold", source="a test",
)
"""
"""A rule with parameters and weights that reads the current entropy."""


def write_package(folder: Path, package: str, entry: str, source: str) -> Path:
    """Write a package of one module with one entry point (``rule=attribute``); return its metadata."""
    module = f"{folder.name}_{package}".replace("-", "_")
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{package.replace('-', '_')}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
    name, _, attribute = entry.partition("=")
    (info / "entry_points.txt").write_text(f"[rho1bench.score_functions]\n{name} = {module}:{attribute}\n")
    return info
