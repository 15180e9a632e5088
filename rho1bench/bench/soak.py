"""``rho1bench bench sandbox --soak N``: N programs in a row, and whether anything is left behind on the way.

Between batches nothing runs, so whatever grows then is a leak: processes below this one, open files, memory, and the
entries of the folder for temporary files.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass

from rho1bench.bench.sandbox import TIMEOUT, example_programs
from rho1bench.sandbox import run_programs

SAMPLES = 10
_DIFFERENT = 300
"""Programs that are made; they come again and again."""


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
    """Run ``programs`` programs and yield the state after the first batch, which starts the parents, and after each."""
    different = example_programs(_DIFFERENT)
    size = max(programs // SAMPLES, 1)
    done = not_ok = 0
    while done < programs:
        batch = [different[(done + index) % len(different)] for index in range(min(size, programs - done))]
        results = run_programs(batch, TIMEOUT, tick=tick)
        done += len(batch)
        not_ok += sum(result.outcome != "ok" for result in results)
        yield _sample(done, not_ok)


def _sample(programs: int, not_ok: int) -> Sample:
    import psutil

    here = psutil.Process()
    tree = [here, *here.children(recursive=True)]
    descriptors = memory = 0
    for process in tree:
        try:
            descriptors += process.num_fds()
            memory += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return Sample(programs, not_ok, len(tree), descriptors, memory / 2**20, len(os.listdir(tempfile.gettempdir())))


def soak_table(samples: list[Sample]) -> str:
    """Return the samples as a table of text."""
    lines = ["programs  not ok  processes  descriptors  memory MiB  temporary files"]
    for sample in samples:
        programs, not_ok, processes, descriptors, memory, temporary = astuple(sample)
        lines.append(f"{programs:8d}  {not_ok:6d}  {processes:9d}  {descriptors:11d}  {memory:10.1f}  {temporary:15d}")
    return "\n".join(lines)
