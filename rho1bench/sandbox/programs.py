"""Running one program, or many at once, each in a process of its own; a result for each, never an exception.

Used by ``evaluation`` for the tool loop of the tool-integrated tasks and for pass@1 (paper section 3, appendix E).
"""

from __future__ import annotations

import atexit
import json
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rho1bench.errors import DataError
from rho1bench.sandbox.capture import OUTPUT_BYTES
from rho1bench.sandbox.fork_server import ForkServer, ProgramEnd
from rho1bench.sandbox.isolation import Isolation

Outcome = Literal["ok", "error", "timeout", "memory", "output_limit", "killed"]


@dataclass(frozen=True)
class ProgramResult:
    """What became of one program; ``error`` is the last line of its error output, ``seconds`` is wall time."""

    outcome: Outcome
    stdout: str
    error: str
    seconds: float


def run_program(source: str, timeout: float = 5.0, memory_mb: int = 512) -> ProgramResult:
    """Run Python ``source`` as ``__main__`` with ``timeout`` wall seconds and ``memory_mb`` MiB of address space.

    The memory is counted beyond what the fork server's imports take. Whatever the program leaves running is killed,
    and its scratch folder is removed. Raises ``SandboxError`` if no process for programs can be started.
    """
    return _result(_shared_server().run(source, timeout, memory_mb))


def run_programs(
    sources: Sequence[str],
    timeout: float = 5.0,
    memory_mb: int = 512,
    workers: int | None = None,
    tick: Callable[[int], None] = lambda _: None,
) -> list[ProgramResult]:
    """Run many programs, ``workers`` at a time (default: one a core), and return their results in order.

    ``tick`` hears, from one thread at a time, how many more programs have ended.
    """
    with ThreadPoolExecutor(max_workers=workers or len(os.sched_getaffinity(0))) as pool:
        running = [pool.submit(run_program, source, timeout, memory_mb) for source in sources]
        for _ in as_completed(running):
            tick(1)
        return [program.result() for program in running]


def run_file(path: Path, timeout: float = 5.0, memory_mb: int = 512) -> str:
    """Run the program in ``path`` and return its result as one line of JSON. Raises ``DataError``."""
    try:
        source = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected a Python file.") from error
    return json.dumps(asdict(run_program(source, timeout, memory_mb)))


def isolation_in_force() -> Isolation:
    """Return what isolates programs on this machine; raises ``SandboxError`` if nothing does and it is not allowed."""
    server = ForkServer(modules=())
    try:
        return server.isolation
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
    lines = end.stderr.strip().splitlines()
    error = lines[-1].strip() if lines else ""
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
