"""What a stage reads is hashed again before it reads it: a byte that changed on the disk never becomes a number.

Manifests hold the hashes. The runner checks every file that is read once a run; the commands that take a folder of a
run (``rho1bench eval``, ``rho1bench score``) check that folder. Corpora and score stores have their own hashes, which
their readers check.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from rho1bench.errors import DataError
from rho1bench.pipeline.manifest import read_manifest
from rho1bench.recipe import Recipe, StageBase, references
from rho1bench.system.files import changed_files

READ_BY_REPORTS = "*.json*"
"""The files of every earlier stage that a stage reads which names none of them."""


class InputChecks:
    """The inputs of one run's stages, whose folders are ``stages/NAME``; each file is hashed once."""

    def __init__(self, recipe: Recipe, stages: Path) -> None:
        self._recipe = recipe
        self._stages = stages
        self._known: set[str] = set()

    def check(self, stage: StageBase) -> None:
        """Raise DataError if a file that ``stage`` reads is not as its own stage wrote it."""
        wanted = {
            f"{name}/{file}": found
            for name, pattern in self._reads(stage)
            for file, found in self._hashes(name).items()
            if fnmatch(file, pattern)
        }
        new = {place: found for place, found in wanted.items() if place not in self._known}
        for place in changed_files(self._stages, new):
            folder = self._stages / place.partition("/")[0]
            raise _changed(self._stages / place, folder, f"stage {stage.name!r} reads it")
        self._known |= new.keys()

    def made(self, names: Iterable[str]) -> None:
        """Take the files of stages that have just run for checked."""
        for name in names:
            self._known |= {f"{name}/{file}" for file in self._hashes(name)}

    def _hashes(self, name: str) -> dict[str, str]:
        manifest = read_manifest(self._stages / name)
        return {} if manifest is None else manifest.hashes

    def _reads(self, stage: StageBase) -> Iterator[tuple[str, str]]:
        """Yield the stages that ``stage`` reads, directly or through another one, with patterns of their files."""
        if stage.spec.reads_all:
            for other in self._recipe.stages[: self._recipe.stages.index(stage)]:  # type: ignore[arg-type]
                yield other.name, READ_BY_REPORTS
        for name, pattern in stage.reads():
            if pattern is not None:
                yield name, pattern
            for _, through, mark in references(self._recipe.stage(name)):
                if mark.passed_on and mark.files is not None:
                    yield through, mark.files


def check_made_by_stage(folder: Path) -> None:
    """Raise DataError if ``folder`` lies in that of a finished stage, and a file in it is not as the stage wrote it."""
    folder = folder.resolve()
    for place in (folder, *list(folder.parents)[:2]):
        if (manifest := read_manifest(place)) is not None:
            hashes = {name: found for name, found in manifest.hashes.items() if (place / name).is_relative_to(folder)}
            for name in changed_files(place, hashes):
                raise _changed(place / name, place, "it is to be read")


def _changed(path: Path, folder: Path, use: str) -> DataError:
    return DataError(
        f"{path}: was changed after stage {folder.name!r} wrote it (its manifest.json has another SHA-256), and {use}. "
        f"Remove the folder {folder} and give the `rho1bench run` command of this run again: it makes the stage anew."
    )
