"""Results that no longer fit are set aside, never deleted: ``stages/NAME`` becomes ``stages/NAME.old-N``.

``rho1bench runs list`` tells of them, ``rho1bench runs prune`` deletes them, ``rho1bench run --adopt`` takes one back.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from rho1bench.errors import RunError
from rho1bench.pipeline.folder_lock import run_lock
from rho1bench.pipeline.manifest import MANIFEST, STARTED, read_manifest, read_started

_OLD = re.compile(r"(?P<stage>[^.]+)\.old-(?P<number>\d+)")


@dataclass(frozen=True)
class OldStage:
    """One result that was set aside."""

    folder: Path
    stage: str
    number: int

    @property
    def state(self) -> str:
        """``finished``, ``stopped``, or ``unknown`` for files that no stage has left."""
        if read_manifest(self.folder) is not None:
            return "finished"
        return "unknown" if read_started(self.folder) is None else "stopped"

    @property
    def bytes(self) -> int:
        """Size on the disk."""
        return sum(path.lstat().st_size for path in self.folder.rglob("*") if path.is_file())


def set_aside(folder: Path) -> Path:
    """Give the folder of a stage the next free name of its old results; return it."""
    numbers = [one.number for one in _old_stages(folder.parent) if one.stage == folder.name]
    return folder.rename(folder.with_name(f"{folder.name}.old-{max(numbers, default=0) + 1}"))


def run_folders(folder: Path) -> list[Path]:
    """Return ``folder`` where it is a run folder, else those directly in it. Raises RunError where there is none."""
    found = [place for place in (folder, *sorted(folder.glob("*"))) if _is_run(place)]
    if not found:
        raise RunError(f"{folder}: holds no run (expected a folder with recipe.yaml, or one with such folders).")
    return found[:1] if _is_run(folder) else found


def _is_run(folder: Path) -> bool:
    return (folder / "recipe.yaml").is_file()


def old_stages(run: Path) -> list[OldStage]:
    """Return what is set aside in a run folder, in those of its seeds too."""
    return [one for place in (run, *sorted(run.glob("seed-*"))) for one in _old_stages(place / "stages")]


def prune(run: Path, patterns: Sequence[str] = ()) -> list[tuple[OldStage, int]]:
    """Delete what is set aside in a run folder, of some stages or all; return it with its bytes.

    Raises RunError where another run holds the folder, it is none, or a pattern is of no stage in it.
    """
    if not _is_run(run):
        raise RunError(f"{run}: is no run folder (it has no recipe.yaml). `rho1bench runs list` shows those there are.")
    _check_names(run, patterns)
    pruned = []
    with run_lock(run):
        for one in old_stages(run):
            if not patterns or any(fnmatchcase(one.stage, pattern) for pattern in patterns):
                pruned.append((one, one.bytes))
                _delete(one.folder)
    return pruned


def _check_names(run: Path, patterns: Sequence[str]) -> None:
    """Raise RunError for a pattern that no stage of the run has, past or present."""
    places = [path for place in (run, *run.glob("seed-*")) for path in (place / "stages").glob("*")]
    names = {path.name.partition(".")[0] for path in places}
    wrong = next((pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)), None)
    if wrong is not None:
        raise RunError(f"{run}: has no stage {wrong!r}; it has {', '.join(sorted(names)) or 'none'}.")


def _old_stages(stages: Path) -> Iterator[OldStage]:
    found = [(path, _OLD.fullmatch(path.name)) for path in stages.glob("*.old-*")]
    numbered = [OldStage(path, match["stage"], int(match["number"])) for path, match in found if match]
    yield from sorted(numbered, key=lambda one: (one.stage, one.number))


def _delete(folder: Path) -> None:
    """Delete a folder; its state goes first, so that a kill half way leaves nothing that looks whole."""
    if folder.is_symlink():
        folder.unlink()
        return
    for name in (MANIFEST, STARTED):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder)
