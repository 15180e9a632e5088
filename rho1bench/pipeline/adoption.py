"""Before a run starts: finished results from elsewhere are taken in, and other versions of packages asked about.

``rho1bench run --adopt STAGE=FOLDER`` and ``--accept-versions``. A result fits where its semantic part does: the
fields, seeds and inputs that it was made of, whatever code and versions made it; other code is told.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rho1bench.errors import RunError
from rho1bench.pipeline.decision import CODE, INPUT, changes, decide, other_versions
from rho1bench.pipeline.fingerprint import Fingerprint
from rho1bench.pipeline.manifest import MANIFEST, STARTED, Manifest, accept_versions, read_manifest, save_manifest
from rho1bench.pipeline.set_aside import set_aside
from rho1bench.recipe import StageBase
from rho1bench.system.files import changed_files

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Keeping:
    """What the user says about results that are there."""

    accept_versions: bool = False
    adopt: Mapping[str, Path] = field(default_factory=dict)
    """Folders of finished results by stage; with several seeds, by ``seed-N/STAGE``."""


@dataclass(frozen=True)
class Place:
    """A stage of a run."""

    key: str
    """What ``--adopt`` calls it."""
    stage: StageBase
    now: Fingerprint
    run: Path

    @property
    def folder(self) -> Path:
        """The stage's folder."""
        return self.run / "stages" / self.stage.name


def read_adoptions(options: Sequence[str]) -> dict[str, Path]:
    """Return what ``--adopt STAGE=FOLDER`` names. Raises RunError for another form."""
    adoptions = {}
    for option in options:
        key, _, folder = option.partition("=")
        if not key or not folder:
            raise RunError(f"--adopt {option}: expected STAGE=FOLDER, --adopt base=runs/other/stages/base for example.")
        adoptions[key] = Path(folder).expanduser()
    return adoptions


def settle(places: Sequence[Place], keeping: Keeping, tell: Tell) -> list[Path]:
    """Take in what is to be adopted, then ask about versions; return the run folders that something was taken into.

    Raises RunError for a stage that there is none of, a result that does not fit, and for results that other versions
    of packages have made, unless they are accepted.
    """
    for key in set(keeping.adopt) - {place.key for place in places}:
        known = ", ".join(place.key for place in places)
        raise RunError(f"--adopt {key}={keeping.adopt[key]}: there is no such stage; expected one of {known}.")
    adopting = [place for place in places if place.key in keeping.adopt]
    changed = [place.run for place in adopting if _adopt(place, keeping.adopt[place.key], tell)]
    _ask_about_versions(places, keeping.accept_versions, tell)
    return changed


def _adopt(place: Place, source: Path, tell: Tell) -> bool:
    """Take the result in ``source`` for that of a stage; return whether it was needed.

    Files are linked where the disk allows it, else copied.
    """
    option, stage, folder = f"--adopt {place.key}={source}", place.stage, place.folder
    manifest = read_manifest(source)
    there = decide(folder, place.now, takes_files=stage.spec.takes_files).action
    if there == "skip" or (there == "resume" and manifest is None):
        return False
    if manifest is not None:
        _check(option, source, manifest, place.now)
    elif not (stage.spec.takes_files and source.is_dir()):
        raise RunError(f"{option}: there is no finished stage (expected a folder with {MANIFEST}).")
    real = source.resolve()
    if folder.is_symlink() or folder.resolve() != real:
        _take(real, folder, manifest)
    if manifest is None:
        tell(f"{place.key}: files taken from {source}; the stage checks whether they fit")
        return True
    other = [line for line in changes(manifest.made_of, place.now) if line.startswith(CODE)]
    adopted = replace(
        manifest,
        fingerprint=place.now.sha256,
        made_of={**manifest.made_of, "inputs": place.now.inputs},
        accepted=place.now.packages,
        adopted_from=str(real),
        other_code=manifest.other_code or bool(other),
    )
    save_manifest(folder, adopted)
    tell(f"{place.key}: taken from {source}" + (f"; other code made it ({len(other)} files differ)" if other else ""))
    return True


def _check(option: str, source: Path, manifest: Manifest, now: Fingerprint) -> None:
    if not manifest.made_of:
        raise RunError(f"{option}: was made by an earlier version, which did not note what a result is made of.")
    if manifest.made_of["semantic"] != now.semantic:
        lines = [line for line in changes(manifest.made_of, now) if not line.startswith((INPUT, CODE))]
        lines = lines or ["a stage that it reads was set otherwise"]
        raise RunError("\n  ".join([f"{option}: does not fit what the recipe asks for:", *lines]))
    if changed := changed_files(source, manifest.hashes):
        raise RunError(f"{option}: {changed[0]} is missing or was changed after the stage wrote it.")


def _take(source: Path, folder: Path, manifest: Manifest | None) -> None:
    """Fill the folder with the files of ``source``, all but its state; what the folder held is set aside."""
    if folder.exists() or folder.is_symlink():
        set_aside(folder)
    names = manifest.files if manifest is not None else _files(source)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        _link(source / name, folder / name)


def _files(source: Path) -> list[str]:
    found = [path.relative_to(source).as_posix() for path in sorted(source.rglob("*")) if path.is_file()]
    return [name for name in found if name not in (MANIFEST, STARTED)]


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


def _ask_about_versions(places: Sequence[Place], accept: bool, tell: Tell) -> None:
    asked = {place.key: (place, versions) for place in places if (versions := other_versions(place.folder, place.now))}
    keys: dict[str, list[str]] = {}
    for key, (_, versions) in asked.items():
        for line in versions:
            keys.setdefault(line, []).append(key)
    lines = [f"{line}: {', '.join(names)}" for line, names in keys.items()]
    if asked and not accept:
        raise RunError(
            "\n  ".join(["other versions of packages have made results that are there:", *lines])
            + "\nKeep them with --accept-versions; or give another folder with --output, where everything is made anew."
        )
    for place, _ in asked.values():
        if not place.folder.is_symlink():  # what a link leads to may be others'
            accept_versions(place.folder, place.now.packages)
    for line in lines:
        tell(f"kept, though made with {line}")
