"""One run at a time in a run folder: a lock that dies with its process, and tells who holds it.

A POSIX record lock rather than ``flock``: forked workers do not inherit it, so a worker that outlives a killed run
does not keep the next run out.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rho1bench.errors import RunError

_held: set[Path] = set()
"""Locks of this process, which the operating system would grant a second time."""


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold ``folder/run.lock``; raises ``RunError`` if another run holds it."""
    path = (folder / "run.lock").resolve()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            if path in _held:
                raise BlockingIOError
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            holder = os.read(descriptor, 200).decode("utf-8", "replace").strip() or "another process"
            raise RunError(
                f"the run folder {folder} is in use by {holder}. Wait until that run has ended, stop it, "
                "or give another folder with --output."
            ) from None
        _held.add(path)
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            yield
        finally:
            _held.discard(path)
    finally:
        os.close(descriptor)
