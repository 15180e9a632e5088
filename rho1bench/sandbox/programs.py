"""Running one program, or many at once, in killable subprocesses; a result for each, never an exception.

Used by ``evaluation`` for the tool loop of the tool-integrated tasks and for pass@1 (paper section 3, appendix E).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Outcome = Literal["ok", "error", "timeout", "memory", "output_limit", "killed"]

OUTPUT_BYTES = 64 << 10
CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True)
class ProgramResult:
    """What became of one program; ``error`` is the last line of its error output, ``seconds`` is wall time."""

    outcome: Outcome
    stdout: str
    error: str
    seconds: float


def run_program(source: str, timeout: float = 5.0, memory_mb: int = 512) -> ProgramResult:
    """Run Python ``source`` as ``__main__`` with ``timeout`` wall seconds and ``memory_mb`` MiB of address space.

    Whatever the program leaves running in its session is killed, and its scratch folder is removed.
    """
    with tempfile.TemporaryDirectory(prefix="rho1bench-", ignore_cleanup_errors=True) as scratch:
        Path(scratch, "program.py").write_text(source, encoding="utf-8", errors="replace")
        began = time.monotonic()
        process = _start(scratch, timeout, memory_mb)
        watch = _Watch(process)
        try:
            ended_by = watch.wait(began + timeout)
        finally:
            _kill_group(process)
            watch.close()
        seconds = time.monotonic() - began
    return _result(ended_by, process.returncode, watch.text(0), watch.text(1), seconds)


def run_programs(
    sources: Sequence[str], timeout: float = 5.0, memory_mb: int = 512, workers: int | None = None
) -> list[ProgramResult]:
    """Run many programs, ``workers`` at a time (default: one a core), and return their results in order."""
    with ThreadPoolExecutor(max_workers=workers or os.cpu_count() or 1) as pool:
        return list(pool.map(lambda source: run_program(source, timeout, memory_mb), sources))


def _start(scratch: str, timeout: float, memory_mb: int) -> subprocess.Popen[bytes]:
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(CHILD), str(timeout), str(memory_mb), *packages],
        cwd=scratch,
        env={},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


class _Watch:
    """Collects both outputs of a process until it ends, floods or runs out of time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._pipes = (process.stdout, process.stderr)
        self._taken = (bytearray(), bytearray())
        self._exit = os.pidfd_open(process.pid)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._exit, selectors.EVENT_READ, None)
        for number, pipe in enumerate(self._pipes):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, number)

    def wait(self, deadline: float) -> Literal["exit", "timeout", "output_limit"]:
        """Return why the wait ended; output that the process wrote before its end is complete."""
        while True:
            left = deadline - time.monotonic()
            events = self._selector.select(left) if left > 0 else []
            if not events:
                return "timeout"
            ready = [key.data for key, _ in events]
            for number in (0, 1):
                if number in ready or None in ready:
                    self._take(number)
            if max(map(len, self._taken)) > OUTPUT_BYTES:
                return "output_limit"
            if None in ready:
                self._process.wait()
                return "exit"

    def _take(self, number: int) -> None:
        pipe, taken = self._pipes[number], self._taken[number]
        while len(taken) <= OUTPUT_BYTES:
            try:
                piece = os.read(pipe.fileno(), 1 << 16)
            except BlockingIOError:
                return
            if not piece:
                if pipe in self._selector.get_map():
                    self._selector.unregister(pipe)
                return
            taken += piece

    def text(self, number: int) -> str:
        """Return the collected output (0) or error output (1), cut to the limit."""
        return self._taken[number][:OUTPUT_BYTES].decode("utf-8", errors="replace")

    def close(self) -> None:
        """Give the descriptors back."""
        self._selector.close()
        os.close(self._exit)
        for pipe in self._pipes:
            pipe.close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _result(ended_by: str, returncode: int, stdout: str, stderr: str, seconds: float) -> ProgramResult:
    lines = stderr.strip().splitlines()
    error = lines[-1].strip() if lines else ""
    outcome: Outcome
    if ended_by == "output_limit":
        outcome, error = "output_limit", f"more than {OUTPUT_BYTES} bytes of output"
    elif ended_by == "timeout" or returncode == -signal.SIGXCPU:
        outcome, error = "timeout", "TimeoutError"
    elif returncode < 0:
        outcome, error = "killed", f"killed by {signal.Signals(-returncode).name}"
    elif returncode == 0:
        outcome, error = "ok", ""
    else:
        outcome = "memory" if error.startswith("MemoryError") else "error"
    return ProgramResult(outcome, stdout, error, seconds)
