"""The caller's side of the fork server: starts it, sends it programs, replaces it when it dies or hangs.

One for each process that runs programs, started with the first program; any number of threads may use it at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Literal

from rho1bench.errors import SandboxError
from rho1bench.sandbox.capture import STOP_SECONDS, Capture
from rho1bench.sandbox.inside import messages, supervisor
from rho1bench.sandbox.inside.checker import Checks
from rho1bench.sandbox.isolation import Isolation, possible_isolation, refusal
from rho1bench.sandbox.launching import Started, start

MODULES = (
    "bisect", "cmath", "collections", "copy", "dataclasses", "datetime", "decimal", "fractions", "functools", "heapq",
    "itertools", "json", "math", "operator", "random", "re", "statistics", "string", "time", "typing",
    "numpy", "numpy.random", "scipy.optimize",
    "sympy", "sympy.combinatorics", "sympy.tensor.tensor", "sympy.assumptions.wrapper", "sympy.physics.units",
    "sympy.sets.setexpr", "sympy.sets.handlers.functions", "sympy.sets.handlers.issubset", "sympy.vector",
)  # fmt: skip
"""What programs import most, imported once; the modules within sympy are those that its functions import late."""
GRACE_SECONDS = 15.0
"""For a busy machine to fork and to report, beyond the time that a program may take; then the server counts as hung."""
TRIES = 3


@dataclass(frozen=True)
class ProgramEnd:
    """How a program ended; ``status`` is its wait status, 0 for ``lost``: its supervisor died in every try."""

    ended: Literal["exit", "timeout", "memory", "stopped", "output_limit", "lost"]
    status: int
    stdout: str
    stderr: str
    seconds: float


class ForkServer:
    """A fork server process; it imports ``modules`` before its first program.

    ``isolation`` defaults to the strongest that this machine allows.
    """

    def __init__(self, modules: Sequence[str] = MODULES, isolation: Isolation | None = None) -> None:
        self._modules = tuple(modules)
        self._isolation = isolation
        self._lock = threading.Lock()
        self._started: Started | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the fork server that is running now."""
        return self._started.process.pid if self._started else None

    @property
    def isolation(self) -> Isolation:
        """What isolates the programs; starts the process, errors as in ``run``."""
        self._running()
        assert self._isolation is not None
        return self._isolation

    @property
    def has_memory_groups(self) -> bool:
        """Tell whether the kernel holds the programs' memory limits, behind the count; starts the process."""
        return self._running().groups is not None

    def run(
        self,
        source: str,
        timeout: float,
        memory_mb: int,
        checks: Checks | None = None,
        *,
        captured: bool = False,
        patience: int = 3,
    ) -> ProgramEnd:
        """Run one program, or test it if there are ``checks``; ``captured`` as in ``supervisor.Request``.

        It gets ``timeout`` seconds of its own time within ``patience`` times as many by the clock.

        A fork server that dies or hangs meanwhile is replaced and the program run again.

        Raises ``SandboxError`` if no fork server can be started.
        """
        began = time.monotonic()
        request = supervisor.Request(
            source, timeout, memory_mb, folder="", captured=captured, latest=patience * timeout
        )
        for _ in range(TRIES):
            control = self._running().control
            if (end := _run_once(control, request, checks, self._isolation == "none")) is not None:
                return end
            self._replace(control)
        return ProgramEnd("lost", 0, "", "", time.monotonic() - began)

    def close(self) -> None:
        """End the fork server, and with it whatever it still runs."""
        with self._lock:
            self._end()

    def _running(self) -> Started:
        with self._lock:
            if self._started is None:
                self._started = self._start()
            return self._started

    def _start(self) -> Started:
        """Start it in the strongest isolation that works; if the imports fail, programs import for themselves."""
        reasons: dict[str, str] = {}
        for isolation in [self._isolation] if self._isolation else possible_isolation():
            for modules in dict.fromkeys((self._modules, ())):
                try:
                    started = start(isolation, modules)
                except SandboxError as error:
                    reasons[isolation] = str(error)
                else:
                    self._isolation, self._modules = isolation, modules
                    return started
        raise refusal(reasons)

    def _replace(self, control: socket.socket) -> None:
        """End the process that ``control`` leads to, if no other thread has done so and it does not answer."""
        with self._lock:
            if self._started is not None and self._started.control is control:
                self._end()

    def _end(self) -> None:
        if self._started is not None:
            self._started.close()
        self._started = None


def _run_once(
    control: socket.socket, request: supervisor.Request, checks: Checks | None, needs_folder: bool
) -> ProgramEnd | None:
    """Run one program; None if its supervisor died."""
    with _scratch(needs_folder) as folder, _channels(control, checks) as (connection, pipes):
        capture = Capture(connection, pipes)
        began = time.monotonic()
        try:
            messages.send(connection, asdict(replace(request, folder=folder)))
            end = capture.wait(began + request.latest + GRACE_SECONDS)
            if end == "overdue":
                return None
            connection.settimeout(STOP_SECONDS)
            report = supervisor.Report(**messages.receive(connection))  # type: ignore[arg-type]
        except (OSError, EOFError):
            return None
    ended = "output_limit" if end == "output_limit" else report.ended
    return ProgramEnd(ended, report.status, capture.text(0), capture.text(1), report.seconds)  # type: ignore[arg-type]


@contextmanager
def _scratch(needed: bool) -> Iterator[str]:
    """Make a folder for a program without isolation; an isolated one gets a file system of its own."""
    if not needed:
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="rho1bench-", ignore_cleanup_errors=True) as folder:
        yield folder


@contextmanager
def _channels(control: socket.socket, checks: Checks | None) -> Iterator[tuple[socket.socket, tuple[int, int]]]:
    """Send the fork server the far ends of a connection and two pipes, and the file of the tests; yield near ends."""
    near, far = socket.socketpair()
    output, output_end = os.pipe()
    errors, errors_end = os.pipe()
    sent = [far.fileno(), output_end, errors_end]
    if checks is not None:
        sent.append(_file_of(checks))
    try:
        with contextlib.suppress(OSError):  # a dead fork server shows when the request is sent
            socket.send_fds(control, [b"r"], sent)
        far.close()
        for descriptor in sent[1:]:
            os.close(descriptor)
        yield near, (output, errors)
    finally:
        near.close()
        os.close(output)
        os.close(errors)


def _file_of(checks: Checks) -> int:
    """Write the tests to a file that has no name; the process that runs them reads it."""
    descriptor = os.memfd_create("tests")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(json.dumps(checks).encode("ascii"))
    return descriptor
