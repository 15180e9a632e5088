"""Finding a program's processes on the host by a word of their command line."""

from __future__ import annotations

import random
import time
from pathlib import Path


def unique_seconds() -> str:
    """A day's sleep, in seconds that no other process of this machine sleeps, tests of other workers included."""
    return f"86400.{random.SystemRandom().randrange(10**9):09d}"


def processes_with(word: str) -> list[int]:
    """Process ids whose command line holds ``word`` as an argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def wait_for_processes(word: str, count: int, seconds: float = 10.0) -> bool:
    """Wait until there are ``count`` processes with ``word``; False if there are not in time."""
    deadline = time.monotonic() + seconds
    while len(processes_with(word)) != count:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
