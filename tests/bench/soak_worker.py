"""A soak in a process of its own, where nothing else opens files; prints its samples as JSON.

``soak_worker.py PROGRAMS [here|server]``: with a leak of one descriptor in ten programs, in this process or in the fork
server's.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from rho1bench.bench.soak import soak
from rho1bench.sandbox import isolation
from rho1bench.sandbox.inside import messages

EVERY = 10
READY = 'READY = b"ready"\n'
FORK = "        if os.fork() == 0:\n"
LEAK = f"        SEEN.append(0)\n        len(SEEN) % {EVERY} or os.dup(0)\n"
LEAKS = {READY: READY + "SEEN = []\n", FORK: LEAK + FORK}
"""Lines of the fork server, and what takes their place."""


@contextmanager
def leak_here() -> Iterator[None]:
    """Open a file for every tenth program and keep it."""
    send, count = messages.send, itertools.count(1)

    def leaking(*arguments: object) -> None:
        if next(count) % EVERY == 0:
            os.open("/dev/null", os.O_RDONLY)
        send(*arguments)  # type: ignore[arg-type]

    with mock.patch.object(messages, "send", leaking):
        yield


@contextmanager
def leak_in_server() -> Iterator[None]:
    """Start the fork server from a copy of its scripts that keeps a descriptor of every tenth program."""
    with TemporaryDirectory() as root:
        inside = Path(root, "rho1bench", "sandbox", "inside")
        shutil.copytree(isolation.INSIDE, inside)
        source = (inside / "server_main.py").read_text()
        for before, after in LEAKS.items():
            assert source.count(before) == 1
            source = source.replace(before, after)
        (inside / "server_main.py").write_text(source)
        with mock.patch.object(isolation, "INSIDE", inside):
            yield


@contextmanager
def no_leak() -> Iterator[None]:
    """Change nothing."""
    yield


if __name__ == "__main__":
    with {"here": leak_here, "server": leak_in_server}.get(sys.argv[-1], no_leak)():
        print(json.dumps([asdict(sample) for sample in soak(int(sys.argv[1]))]))
