"""The state of a stage's folder: finished (``manifest.json``), under way (``started.json``) or neither.

``manifest.json`` is written last and atomically, so a folder that has one is complete. Its list of files lets a later
run notice what has been deleted or changed since. Both files keep what the stage is made of (``fingerprint``).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from rho1bench.pipeline.fingerprint import Fingerprint
from rho1bench.system.files import content_hashes, read_json, sha256_file, write_json

MANIFEST = "manifest.json"
STARTED = "started.json"
CHECKED_BYTES = 1024 * 1024
"""Before a stage is skipped, files up to this size are hashed again, larger ones compared by size.

Whatever another stage reads is hashed again before it is read (``pipeline.inputs``).
"""
SECONDS_BETWEEN_BEATS = 2.0
S = TypeVar("S", bound="State")


@dataclass(frozen=True)
class State:
    """What a stage under way, or a finished one, is made of. Earlier versions noted the hash alone."""

    fingerprint: str
    made_of: dict[str, Any] = field(default_factory=dict)
    """``Fingerprint.parts``; code, packages and operational fields are those of the first attempt."""
    accepted: dict[str, str | None] = field(default_factory=dict)
    """Versions of packages that the user has taken for as good as those that it was made with."""


@dataclass(frozen=True)
class Started(State):
    """A stage that was stopped, or is under way."""

    seconds_so_far: float = 0.0
    attempts: int = 0


@dataclass(frozen=True)
class Manifest(State):
    """What a finished stage left; ``seconds`` counts all attempts."""

    stage: str = ""
    kind: str = ""
    seconds: float = 0.0
    attempts: int = 1
    files: dict[str, str | None] = field(default_factory=dict)
    """Hashes (``system.files.content_hashes``); None for large files of earlier versions."""
    sizes: dict[str, int] = field(default_factory=dict)
    adopted_from: str = ""
    """The folder that the result was taken from (``pipeline.adoption``)."""
    other_code: bool = False
    """Taken in though other code than that of its fingerprint made it."""

    @property
    def hashes(self) -> dict[str, str]:
        """The hashes that are known."""
        return {name: found for name, found in self.files.items() if found is not None}


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a finished stage; None if there is none or it cannot be read."""
    found = _read(folder / MANIFEST)
    return None if found is None or not {"fingerprint", "files", "sizes"} <= found.keys() else _known(Manifest, found)


def read_started(folder: Path) -> Started | None:
    """Return the state of a stage that was stopped; None if there is none or it cannot be read."""
    found = _read(folder / STARTED)
    return None if found is None or "fingerprint" not in found else _known(Started, found)


def _known(kind: type[S], found: dict[str, Any]) -> S:
    """Return a state without what other versions noted."""
    names = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in found.items() if name in names})


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a stage whose files are all there."""
    write_json(folder / MANIFEST, asdict(manifest))
    (folder / STARTED).unlink(missing_ok=True)


def accept_versions(folder: Path, versions: Mapping[str, str | None]) -> None:
    """Note that the result of a stage, or the part of one that is there, counts as made with ``versions``."""
    for path, state in ((folder / MANIFEST, read_manifest(folder)), (folder / STARTED, read_started(folder))):
        if state is not None:
            write_json(path, asdict(replace(state, accepted={**versions})))


def find_damage(folder: Path, manifest: Manifest) -> str:
    """Say which file is missing or changed since the stage finished; empty if none is."""
    for name, size in manifest.sizes.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has another size"
        if size <= CHECKED_BYTES and sha256_file(path) != manifest.files[name]:
            return f"{name} has another content"
    return ""


class Attempt:
    """One attempt at a stage; counts the seconds of all attempts, killed ones too."""

    def __init__(self, folder: Path, fingerprint: Fingerprint) -> None:
        self.folder = folder
        before = read_started(folder)
        if before is None or before.fingerprint != fingerprint.sha256:
            before = Started(fingerprint.sha256, fingerprint.parts())
        self._before = before
        self.attempts = before.attempts + 1
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of all attempts so far."""
        return self._before.seconds_so_far + time.monotonic() - self._began

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep ``started.json`` up to date while the stage runs."""
        stop = threading.Event()
        self._write()
        beat = threading.Thread(target=self._beat, args=(stop,), daemon=True)
        beat.start()
        try:
            yield
        finally:
            stop.set()
            beat.join()
            with suppress(OSError):
                self._write()

    def finish(self, stage: str, kind: str) -> Manifest:
        """Write ``manifest.json`` over everything in the folder and remove ``started.json``."""
        paths = [path for path in sorted(self.folder.rglob("*")) if path.is_file()]
        kept = [path for path in paths if path.name not in (MANIFEST, STARTED)]
        sizes = {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in kept}
        files: dict[str, str | None] = {**content_hashes(self.folder, sizes)}
        manifest = Manifest(
            self._before.fingerprint,
            self._before.made_of,
            self._before.accepted,
            stage=stage,
            kind=kind,
            seconds=round(self.seconds, 3),
            attempts=self.attempts,
            files=files,
            sizes=sizes,
        )
        save_manifest(self.folder, manifest)
        return manifest

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(SECONDS_BETWEEN_BEATS):
            with suppress(OSError):
                self._write()

    def _write(self) -> None:
        state = replace(self._before, seconds_so_far=round(self.seconds, 3), attempts=self.attempts)
        write_json(self.folder / STARTED, asdict(state))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = read_json(path)
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None
