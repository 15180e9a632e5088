"""What the runner hands to a stage: its part of the recipe, its folder, the folders it reads, seed and progress.

A stage is a function ``run(context: StageContext) -> None``. It reads ``context.input(name)`` and writes only inside
``context.folder``; nothing else passes between stages. It may be killed at any moment and called again with the same
folder, and then continues from whatever it left there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rho1bench.recipe import Recipe, StageBase
from rho1bench.system.files import sha256_json
from rho1bench.system.progress import Progress

S = TypeVar("S", bound=StageBase)


@dataclass(frozen=True)
class RunOptions:
    """What the user says on the command line and no recipe holds; options never change a stage's fingerprint."""

    engine: str | None = None
    """Overrides the recipe's evaluation engine: ``auto``, ``vllm`` or ``hf``."""
    num_threads: int | None = None
    """CPU threads for torch; None leaves torch's default."""
    gpus_per_node: int = 1
    """GPUs of the first node that a stage may use which is one process; the runner takes it from the launch."""


@dataclass(frozen=True)
class StageContext:
    """Everything that a stage may know."""

    recipe: Recipe
    stage: StageBase
    folder: Path
    """The stage's own folder; exists, and holds what a killed attempt left."""
    inputs: Mapping[str, Path]
    """Folder of every earlier stage by name (finished, read-only)."""
    seed: int
    progress: Progress
    options: RunOptions = field(default_factory=RunOptions)

    def config(self, model: type[S]) -> S:
        """Return the stage's part of the recipe as ``model``; raises ``TypeError`` for a stage of another kind."""
        if not isinstance(self.stage, model):
            raise TypeError(f"stage {self.stage.name!r} is not a {model.__name__}")
        return self.stage

    def input(self, name: str) -> Path:
        """Return the folder of the stage called ``name``."""
        return self.inputs[name]


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a 31-bit seed that depends on ``seed`` and ``purpose`` only."""
    return int(sha256_json([seed, *purpose])[:8], 16) & 0x7FFF_FFFF
