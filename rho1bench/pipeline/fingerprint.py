"""What a stage's result depends on, part by part and in one hash: semantic fields, seed, inputs and code.

A stage whose fingerprint has not changed is skipped. Operational fields (``recipe.models.base.Operational``), options
of the command line (engine, threads) and versions of packages are left out; versions are asked about instead. Local
files count by what they hold, wherever they lie: a project folder may be moved or renamed.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue

from rho1bench.pipeline.code_closure import code_files
from rho1bench.recipe import CorpusStage, PackageSource, Selection, StageBase, TokenizerStage
from rho1bench.recipe.models.base import LocalRef, Operational, marks_of
from rho1bench.recipe.models.built_in_rules import BUILT_IN
from rho1bench.recipe.models.corpus import named_files
from rho1bench.recipe.models.score_names import package, plugins
from rho1bench.system.files import sha256_bytes, sha256_file, sha256_json
from rho1bench.system.paths import PACKAGE

HASHED_BYTES = 100 * 1024 * 1024
"""Local data files up to this size count by content, larger ones by size and time of change."""
_SHORT = 16
"""Digits of the hash of a file of code in a manifest."""


@dataclass(frozen=True)
class Fingerprint:
    """What a stage's result depends on. Manifests keep it, so that a later run can say what has changed."""

    recipe: dict[str, JsonValue]
    """Semantic fields, local files by content."""
    seed: int
    inputs: dict[str, str]
    """Fingerprints of the stages that it reads."""
    code: dict[str, str]
    """Files of the package, and packages of selection rules, that carry the stage out."""
    packages: dict[str, str | None]
    """Versions; no part of the hashes."""
    operational: dict[str, JsonValue]
    """Operational fields by dotted key; no part of the hashes."""
    semantic: str
    """Hash of recipe, seed and the semantic hashes of the inputs: of what is asked for, whatever code does it."""
    sha256: str
    """Hash of recipe, seed, inputs and code."""

    def parts(self) -> dict[str, Any]:
        """Return what a manifest keeps beside the hash."""
        return {name: value for name, value in asdict(self).items() if name != "sha256"}


def stage_fingerprint(stage: StageBase, seed: int, inputs: Mapping[str, Fingerprint]) -> Fingerprint:
    """Return what the stage's result depends on.

    Args:
        stage: the stage's part of the recipe; its ``spec`` says which code and packages matter.
        seed: the stage's random seed, its own or the recipe's; either counts the same.
        inputs: fingerprints of the stages that it reads, by name.
    """
    operational: dict[str, JsonValue] = {}
    recipe = _settings(stage, stage.depends_on(), operational) | text_packages(stage)
    recipe.pop("seed", None)
    read = {name: found.sha256 for name, found in inputs.items()}
    states = {place: found[:_SHORT] for place, found in code_states(stage.spec.entry, stage.spec.shipped).items()}
    code = states | score_plugins(stage)
    return Fingerprint(
        recipe=recipe,
        seed=seed,
        inputs=read,
        code=code,
        packages={name: _version(name) for name in stage.packages()},
        operational=operational,
        semantic=sha256_json([recipe, seed, {name: found.semantic for name, found in inputs.items()}]),
        sha256=sha256_json({"recipe": recipe, "seed": seed, "inputs": read, "code": code}),
    )


@cache
def code_states(entry: str, shipped: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the hash of every file that carries out a stage, by its place in the package."""
    found = {}
    for path in code_files(entry, shipped):
        place = path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else PACKAGE.parent)
        found[place.as_posix()] = sha256_bytes(path.read_bytes())
    return found


def code_hash(entry: str, shipped: tuple[str, ...] = ()) -> str:
    """Return one hash of every file that carries out a stage."""
    return sha256_json(code_states(entry, shipped))


def score_plugins(stage: StageBase) -> dict[str, str]:
    """Return the packages of the score functions that a stage's selections take from elsewhere, with versions."""
    selections = [value for _, value in stage if isinstance(value, Selection)]
    names = {part.score for selection in selections for part in selection.parts} - set(BUILT_IN)
    return {name: package(plugins()[name]) for name in sorted(names)}


def text_packages(stage: StageBase) -> dict[str, JsonValue]:
    """Return the packages whose text a stage reads, with versions."""
    if not isinstance(stage, TokenizerStage | CorpusStage):
        return {}
    sources = [source for source in stage.sources if isinstance(source, PackageSource)]
    return {f"text of {name}": _version(name) for source in sources for name in source.packages}


def _settings(
    model: BaseModel, depends_on: frozenset[str], operational: dict[str, JsonValue], key: str = ""
) -> dict[str, JsonValue]:
    """Return the semantic fields of a part of a recipe, and put the others into ``operational``.

    A local file or folder stands there as what it holds.
    """
    settings: dict[str, JsonValue] = {}
    marked, places = marks_of(type(model), Operational), marks_of(type(model), LocalRef)
    for name, local in places.items():
        value, place = getattr(model, name), f"{key}{name}"
        if marked[name] and name not in depends_on:
            operational[place] = _setting(value, depends_on, {}, place)
            continue
        settings[name] = (
            _local_content(value, local[0])
            if local and isinstance(value, str)
            else _setting(value, depends_on, operational, place)
        )
    return settings


def _setting(value: object, depends_on: frozenset[str], operational: dict[str, JsonValue], place: str) -> JsonValue:
    if isinstance(value, BaseModel):
        return _settings(value, depends_on, operational, f"{place}.")
    if isinstance(value, list):
        return [_setting(item, depends_on, operational, f"{place}.{index}") for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {str(name): _setting(item, depends_on, operational, f"{place}.{name}") for name, item in value.items()}
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
    if found.st_size <= HASHED_BYTES:
        return f"sha256 {sha256_file(path)}"
    return f"{found.st_size} bytes of {found.st_mtime_ns} ns"


@cache
def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
