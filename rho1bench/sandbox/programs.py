"""Running one program, or many at once, each in a process of its own; a result for each, never an exception.

Used by ``evaluation`` for the tool loop of the tool-integrated tasks and for pass@1 (paper section 3, appendix E).
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from rho1bench.errors import DataError
from rho1bench.sandbox.capture import OUTPUT_BYTES
from rho1bench.sandbox.fork_server import ForkServer, ProgramEnd
from rho1bench.sandbox.inside.checker import Checks
from rho1bench.sandbox.isolation import Isolation

Outcome = Literal["ok", "error", "timeout", "memory", "output_limit", "killed"]


CORES_APART = 4
"""Where programs run again apart from others, each has so many cores for itself, or the whole machine."""
PATIENCE, PATIENCE_APART = 3, 15
"""How many times its own time a program may take by the clock, on a busy machine; and where it runs again."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProgramResult:
    """What became of one program.

    ``error`` is the last line of its error output, ``seconds`` its own time (see ``run_program``), ``runs`` how often
    it was run.
    """

    outcome: Outcome
    stdout: str
    error: str
    seconds: float
    runs: int = 1


@dataclass(frozen=True)
class _Job:
    """One program and how it is to be run; ``checks`` for one that is tested."""

    source: str
    timeout: float
    memory_mb: int
    captured: bool = False
    checks: Checks | None = None

    def run(self) -> ProgramResult:
        """Run it; once more, patiently, if other processes kept it from its time."""
        result = self.run_once(PATIENCE)
        undecided = result.outcome == "timeout" and result.seconds < self.timeout / 4
        return replace(self.run_once(PATIENCE_APART), runs=2) if undecided else result

    def run_once(self, patience: int) -> ProgramResult:
        """Run it within ``patience`` times its seconds by the clock."""
        end = _shared_server().run(
            self.source, self.timeout, self.memory_mb, self.checks, captured=self.captured, patience=patience
        )
        return _result(end)


def run_program(source: str, timeout: float = 5.0, memory_mb: int = 512, *, captured: bool = False) -> ProgramResult:
    """Run Python ``source`` as ``__main__`` for ``timeout`` seconds at most, with ``memory_mb`` MiB of memory.

    Time is the program's own: of the time on the clock, what its processes did not spend waiting for a CPU that others
    had; by the clock it may take ``PATIENCE`` times as much. Memory is counted beyond what the fork server's imports
    take, for each process as address space, for all of them as pages in use. Whatever the program leaves running is
    killed, and its scratch folder is removed. A ``captured`` program runs as the paper's harness ran those of the tool
    loop: not as ``__main__``, and what it raises to end itself is an error (``inside.program.run_captured``). Raises
    ``SandboxError`` if no process for programs can be started.
    """
    return _Job(source, timeout, memory_mb, captured).run()


def run_programs(
    sources: Sequence[str],
    timeout: float = 5.0,
    memory_mb: int = 512,
    workers: int | None = None,
    tick: Callable[[int], None] = lambda _: None,
    *,
    captured: bool = False,
) -> list[ProgramResult]:
    """Run many programs, ``workers`` at a time (default: one a core), and return their results in order.

    Those that run out of time beside others are run again, apart from each other. ``tick`` hears, from one thread at a
    time, how many more programs have ended.
    """
    return _run_all([_Job(source, timeout, memory_mb, captured) for source in sources], workers, tick)


def check_programs(
    programs: Sequence[tuple[str, Checks]], timeout: float = 5.0, memory_mb: int = 512, workers: int | None = None
) -> list[ProgramResult]:
    """Test many programs, each ``(source, checks)``; the outcome is ``ok`` for those whose tests all hold.

    A program runs as a module, not as ``__main__``, and in another process than its tests, which take from it no more
    than plain data: how it ends, what it prints and what it does to its interpreter decide nothing. The last line of
    the tests' error, or of the program's if it cannot be defined, is ``error``. Time-outs as in ``run_programs``.
    Raises ``SandboxError``.
    """
    return _run_all([_Job(source, timeout, memory_mb, checks=checks) for source, checks in programs], workers)


def _run_all(
    jobs: Sequence[_Job], workers: int | None, tick: Callable[[int], None] = lambda _: None
) -> list[ProgramResult]:
    cores = len(os.sched_getaffinity(0))
    results = _run_side_by_side([job.run for job in jobs], workers or cores, tick)
    late = [place for place, result in enumerate(results) if result.outcome == "timeout"]
    if not late or (workers or cores) == 1 or len(jobs) == 1:
        return results
    patient = [partial(jobs[place].run_once, PATIENCE_APART) for place in late]
    again = _run_side_by_side(patient, max(1, cores // CORES_APART))
    for place, result in zip(late, again, strict=True):
        results[place] = replace(result, runs=results[place].runs + result.runs)
    saved = sum(result.outcome != "timeout" for result in again)
    _log.warning(
        "%d of %d programs ran out of time beside others and were run again apart; %d of them then ended in time",
        len(late), len(jobs), saved,
    )  # fmt: skip
    return results


def _run_side_by_side(
    runs: Sequence[Callable[[], ProgramResult]], workers: int, tick: Callable[[int], None] = lambda _: None
) -> list[ProgramResult]:
    with ThreadPoolExecutor(max_workers=workers) as pool:
        running = [pool.submit(run) for run in runs]
        for _ in as_completed(running):
            tick(1)
        return [program.result() for program in running]


def run_file(path: Path, timeout: float = 5.0, memory_mb: int = 512) -> str:
    """Run the program in ``path`` and return its result as one line of JSON. Raises ``DataError``."""
    try:
        source = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected a Python file.") from error
    result = asdict(run_program(source, timeout, memory_mb))
    return json.dumps({key: result[key] for key in ("outcome", "stdout", "error", "seconds")})


@dataclass(frozen=True)
class InForce:
    """What holds programs on this machine; ``memory_groups``: the kernel ends those that outrun the memory's count."""

    isolation: Isolation
    memory_groups: bool


def isolation_in_force() -> InForce:
    """Return what isolates programs on this machine; raises ``SandboxError`` if nothing does and it is not allowed."""
    server = ForkServer(modules=())
    try:
        return InForce(server.isolation, server.has_memory_groups)
    finally:
        server.close()


_servers: dict[int, ForkServer] = {}
"""The fork server of this process, by process id: a forked process starts one of its own."""


def _shared_server() -> ForkServer:
    return _servers.setdefault(os.getpid(), ForkServer())


@atexit.register
def _close_shared_server() -> None:
    if server := _servers.pop(os.getpid(), None):
        server.close()


def _result(end: ProgramEnd) -> ProgramResult:
    error = end.stderr.strip().split("\n")[-1].strip()
    code = os.waitstatus_to_exitcode(end.status)
    outcome: Outcome
    if end.ended == "output_limit":
        outcome, error = "output_limit", f"more than {OUTPUT_BYTES} bytes of output"
    elif end.ended == "timeout" or code == -signal.SIGXCPU:
        outcome, error = "timeout", "TimeoutError"
    elif end.ended == "memory":
        outcome, error = "memory", "MemoryError"
    elif end.ended == "lost":
        outcome, error = "killed", "killed together with the process that supervised it"
    elif code < 0:
        outcome, error = "killed", f"killed by {signal.Signals(-code).name}"
    elif code == 0:
        outcome, error = "ok", ""
    else:
        outcome = "memory" if error.startswith("MemoryError") else "error"
    return ProgramResult(outcome, end.stdout, error, end.seconds)
