"""What a stage's result depends on, in one hash: its part of the recipe, seed, inputs, code and package versions.

A stage whose fingerprint has not changed is skipped. Options of the command line (engine, threads) are left out.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rho1bench.recipe import HubSource, LocalSource, Selection, StageBase, TokenizerStage
from rho1bench.recipe.models.score_names import BUILT_IN, package, plugins
from rho1bench.system.files import sha256_bytes, sha256_file, sha256_json
from rho1bench.system.paths import PACKAGE, shipped

HASHED_BYTES = 100 * 1024 * 1024
"""Local data files up to this size count by content, larger ones by size and time of change."""
NEVER_MATTERS = {"num_workers"}
"""Fields of stages that change how long a result takes, and no byte of it."""


def stage_fingerprint(
    stage: StageBase, seed: int, inputs: Mapping[str, str], rooms: Sequence[str], packages: Sequence[str]
) -> str:
    """Return the hex SHA-256 of everything that the stage's result depends on.

    Args:
        stage: the stage's part of the recipe.
        seed: the run's seed.
        inputs: fingerprints of the stages that it reads, by name.
        rooms: folders of the package (or ``"tasks"``) whose code carries out the stage.
        packages: distributions whose versions matter.
    """
    return sha256_json(
        {
            "recipe": stage.model_dump(mode="json", exclude=NEVER_MATTERS),
            "seed": seed,
            "inputs": dict(inputs),
            "code": {room: code_hash(room) for room in rooms},
            "packages": {name: _version(name) for name in packages} | score_plugins(stage),
            "files": {str(path): _file_state(path) for path in local_files(stage)},
        }
    )


@cache
def code_hash(room: str) -> str:
    """Return the hash of every source file of a room, by relative name and content."""
    inside = PACKAGE / room
    folder = inside if inside.is_dir() else shipped(room)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return sha256_json({path.relative_to(folder).as_posix(): sha256_bytes(path.read_bytes()) for path in files})


def local_files(model: BaseModel) -> Iterator[Path]:
    """Yield the local data files that a part of a recipe names."""
    if isinstance(model, LocalSource | HubSource | TokenizerStage):
        yield from model.files()
    for name in type(model).model_fields:
        value: Any = getattr(model, name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, BaseModel):
                yield from local_files(item)


def score_plugins(stage: StageBase) -> dict[str, str]:
    """Return the packages of the score functions that a stage's selections take from elsewhere, with versions."""
    selections = [value for _, value in stage if isinstance(value, Selection)]
    names = {part.score for selection in selections for part in selection.parts} - set(BUILT_IN)
    return {name: package(plugins()[name]) for name in sorted(names)}


def _file_state(path: Path) -> str | list[int] | None:
    if not path.is_file():
        return None
    found = path.stat()
    return sha256_file(path) if found.st_size <= HASHED_BYTES else [found.st_size, found.st_mtime_ns]


@cache
def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
