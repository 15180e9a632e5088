"""What a stage's result depends on, in one hash: its part of the recipe, seed, inputs, code and package versions.

A stage whose fingerprint has not changed is skipped. Options of the command line (engine, threads) are left out. Local
files count by what they hold, wherever they lie: a project folder may be moved or renamed.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from pydantic import BaseModel, JsonValue

from rho1bench.pipeline.code_closure import code_files
from rho1bench.recipe import CorpusStage, PackageSource, Selection, StageBase, TokenizerStage
from rho1bench.recipe.models.base import LocalRef, marks_of
from rho1bench.recipe.models.built_in_rules import BUILT_IN
from rho1bench.recipe.models.corpus import named_files
from rho1bench.recipe.models.score_names import package, plugins
from rho1bench.system.files import sha256_bytes, sha256_file, sha256_json
from rho1bench.system.paths import PACKAGE

HASHED_BYTES = 100 * 1024 * 1024
"""Local data files up to this size count by content, larger ones by size and time of change."""
NEVER_MATTERS = {"num_workers", "variant"}
"""Fields of stages that change how long a result takes, or what it is called beside others, and no byte of it."""


def stage_fingerprint(stage: StageBase, seed: int, inputs: Mapping[str, str]) -> str:
    """Return the hex SHA-256 of everything that the stage's result depends on.

    Args:
        stage: the stage's part of the recipe; its ``spec`` says which code and packages matter.
        seed: the stage's random seed, its own or the recipe's; either counts the same.
        inputs: fingerprints of the stages that it reads, by name.
    """
    settings = _settings(stage)
    settings.pop("seed", None)
    return sha256_json(
        {
            "recipe": settings,
            "seed": seed,
            "inputs": dict(inputs),
            "code": code_hash(stage.spec.entry, stage.spec.shipped),
            "packages": {name: _version(name) for name in stage.spec.packages}
            | score_plugins(stage)
            | text_packages(stage),
        }
    )


@cache
def code_hash(entry: str, shipped: tuple[str, ...] = ()) -> str:
    """Return the hash of every file that carries out a stage, by its place in the package and its content."""
    found = {}
    for path in code_files(entry, shipped):
        place = path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else PACKAGE.parent)
        found[place.as_posix()] = sha256_bytes(path.read_bytes())
    return sha256_json(found)


def score_plugins(stage: StageBase) -> dict[str, str]:
    """Return the packages of the score functions that a stage's selections take from elsewhere, with versions."""
    selections = [value for _, value in stage if isinstance(value, Selection)]
    names = {part.score for selection in selections for part in selection.parts} - set(BUILT_IN)
    return {name: package(plugins()[name]) for name in sorted(names)}


def text_packages(stage: StageBase) -> dict[str, str | None]:
    """Return the packages whose text a stage reads, with versions."""
    if not isinstance(stage, TokenizerStage | CorpusStage):
        return {}
    sources = [source for source in stage.sources if isinstance(source, PackageSource)]
    return {f"text of {name}": _version(name) for source in sources for name in source.packages}


def _settings(model: BaseModel) -> dict[str, JsonValue]:
    """Return what a part of a recipe sets; a local file or folder stands there as what it holds."""
    settings: dict[str, JsonValue] = {}
    for name, info in type(model).model_fields.items():
        if name in NEVER_MATTERS:
            continue
        value = getattr(model, name)
        local = marks_of(info, LocalRef)
        settings[name] = _local_content(value, local[0]) if local and isinstance(value, str) else _setting(value)
    return settings


def _setting(value: object) -> JsonValue:
    if isinstance(value, BaseModel):
        return _settings(value)
    if isinstance(value, list):
        return [_setting(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _setting(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a recipe holds {type(value).__name__}, which has no place in a fingerprint")


def _local_content(value: str, mark: LocalRef) -> JsonValue:
    """Return the state of every file that ``value`` names, by its place; a name of the hub as it is."""
    if mark.what == "folder" and not os.path.isdir(os.path.expanduser(value)):
        return value
    folder = Path(os.path.expanduser(value))
    files = named_files(value) if mark.what == "files" else sorted(path for path in folder.rglob("*") if path.is_file())
    base = folder if folder.is_dir() else _common_folder(files)
    return {path.relative_to(base).as_posix(): _file_state(path) for path in files}


def _common_folder(files: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([path.parent for path in files])) if files else Path()


def _file_state(path: Path) -> JsonValue:
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
