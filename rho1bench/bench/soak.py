"""``rho1bench bench sandbox --soak N``: N programs in a row, and whether anything is left behind on the way.

Between batches no program runs, so whatever grows then is a leak: processes below this one, open files, memory, and
the sandbox's temporary files. A supervisor that has reported may take a moment to end; the samples wait for that.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Set
from dataclasses import astuple, dataclass
from pathlib import Path

import psutil

from rho1bench.bench.sandbox import TIMEOUT, example_programs
from rho1bench.sandbox import run_program, run_programs

SAMPLES = 10
_DIFFERENT = 300
"""Programs that are made; they come again and again."""
SETTLE_SECONDS = 10.0
"""How long a sample waits for processes that are about to end; those still there then are counted."""


@dataclass(frozen=True)
class Sample:
    """The state after ``programs`` programs; memory in MiB, of this process and of those below it."""

    programs: int
    not_ok: int
    processes: int
    descriptors: int
    memory: float
    temporary: int


def soak(programs: int, tick: Callable[[int], None] = lambda _: None) -> Iterator[Sample]:
    """Run ``programs`` programs and yield the state after each of ``SAMPLES`` batches."""
    different = example_programs(_DIFFERENT)
    size = max(programs // SAMPLES, 1)
    run_program("")  # starts the fork server
    parents = {process.pid for process in _alive()}
    done = not_ok = 0
    while done < programs:
        batch = [different[(done + index) % len(different)] for index in range(min(size, programs - done))]
        results = run_programs(batch, TIMEOUT, tick=tick)
        done += len(batch)
        not_ok += sum(result.outcome != "ok" for result in results)
        yield _sample(done, not_ok, parents)


def _sample(programs: int, not_ok: int, parents: Set[int]) -> Sample:
    descriptors = memory = 0
    tree = _settled(parents)
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            descriptors += process.num_fds()
            memory += process.memory_info().rss
    temporary = list(Path(tempfile.gettempdir()).glob("rho1bench-*"))
    return Sample(programs, not_ok, len(tree), descriptors, memory / 2**20, len(temporary))


def _settled(parents: Set[int]) -> list[psutil.Process]:
    """Return the processes that are alive once there are none beside ``parents``, or once that takes too long."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        alive = _alive()
        if {process.pid for process in alive} <= parents or time.monotonic() > deadline:
            return alive
        time.sleep(0.01)


def _alive() -> list[psutil.Process]:
    """Return this process and those below it, without those that ended and that their parent has yet to collect."""
    found = []
    for process in (here := psutil.Process(), *here.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def soak_table(samples: list[Sample]) -> str:
    """Return the samples as a table of text."""
    lines = ["programs  not ok  processes  descriptors  memory MiB  temporary files"]
    for sample in samples:
        programs, not_ok, processes, descriptors, memory, temporary = astuple(sample)
        lines.append(f"{programs:8d}  {not_ok:6d}  {processes:9d}  {descriptors:11d}  {memory:10.1f}  {temporary:15d}")
    return "\n".join(lines)
