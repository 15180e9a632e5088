"""The state of a stage's folder: finished (``manifest.json``), under way (``started.json``) or neither.

``manifest.json`` is written last and atomically, so a folder that has one is complete. Its list of files lets a later
run notice what has been deleted or changed since.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rho1bench.system.files import content_hashes, read_json, sha256_file, write_json

MANIFEST = "manifest.json"
STARTED = "started.json"
CHECKED_BYTES = 1024 * 1024
"""Before a stage is skipped, files up to this size are hashed again, larger ones compared by size.

Whatever another stage reads is hashed again before it is read (``pipeline.inputs``).
"""
SECONDS_BETWEEN_BEATS = 2.0


@dataclass(frozen=True)
class Manifest:
    """What a finished stage left; ``seconds`` counts all attempts."""

    stage: str
    kind: str
    fingerprint: str
    inputs: dict[str, str]
    seconds: float
    attempts: int
    files: dict[str, str | None]
    """Hashes (``system.files.content_hashes``); None for large files of earlier versions."""
    sizes: dict[str, int]

    @property
    def hashes(self) -> dict[str, str]:
        """The hashes that are known."""
        return {name: found for name, found in self.files.items() if found is not None}


@dataclass(frozen=True)
class Decision:
    """What to do with a stage and why; ``wipe`` empties its folder first."""

    action: Literal["skip", "resume", "run"]
    reason: str
    wipe: bool = False
    seconds: float = 0.0
    """Seconds that a skipped stage took when it ran."""


def decide(folder: Path, fingerprint: str) -> Decision:
    """Compare the folder's state with the fingerprint that its stage has now."""
    manifest = read_manifest(folder)
    if manifest is not None:
        if manifest.fingerprint != fingerprint:
            return Decision("run", "the recipe, the code or an input has changed", wipe=True)
        damage = find_damage(folder, manifest)
        if damage:
            return Decision("run", f"its result is damaged: {damage}", wipe=True)
        return Decision("skip", "nothing changed", seconds=manifest.seconds)
    started = _read(folder / STARTED)
    if started is None:
        return Decision("run", "not run yet", wipe=folder.exists())
    if started.get("fingerprint") == fingerprint:
        return Decision("resume", "continues where it was stopped")
    return Decision("run", "was stopped, and the recipe, the code or an input has changed since", wipe=True)


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a finished stage; None if there is none or it cannot be read."""
    try:
        return Manifest(**(_read(folder / MANIFEST) or {}))
    except TypeError:
        return None


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


def wipe(folder: Path) -> None:
    """Empty a stage's folder; the state goes first, so that a kill half way leaves nothing that looks whole."""
    for name in (MANIFEST, STARTED):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=False)


class Attempt:
    """One attempt at a stage; counts the seconds of all attempts, killed ones too."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint
        started = _read(folder / STARTED) or {}
        same = started.get("fingerprint") == fingerprint
        self._before = float(started.get("seconds_so_far", 0.0)) if same else 0.0
        self.attempts = int(started.get("attempts", 0)) + 1 if same else 1
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of all attempts so far."""
        return self._before + time.monotonic() - self._began

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

    def finish(self, stage: str, kind: str, inputs: Mapping[str, str]) -> Manifest:
        """Write ``manifest.json`` over everything in the folder and remove ``started.json``."""
        paths = [path for path in sorted(self.folder.rglob("*")) if path.is_file()]
        kept = [path for path in paths if path.name not in (MANIFEST, STARTED)]
        sizes = {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in kept}
        files: dict[str, str | None] = {**content_hashes(self.folder, sizes)}
        seconds = round(self.seconds, 3)
        manifest = Manifest(stage, kind, self.fingerprint, dict(inputs), seconds, self.attempts, files, sizes)
        write_json(self.folder / MANIFEST, asdict(manifest))
        (self.folder / STARTED).unlink(missing_ok=True)
        return manifest

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(SECONDS_BETWEEN_BEATS):
            with suppress(OSError):
                self._write()

    def _write(self) -> None:
        state = {"fingerprint": self.fingerprint, "seconds_so_far": round(self.seconds, 3), "attempts": self.attempts}
        write_json(self.folder / STARTED, state)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = read_json(path)
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None
