"""The caller's side of the fork server: starts it, sends it programs, replaces it when it dies or hangs.

One for each process that runs programs, started with the first program; any number of threads may use it at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import IO, Literal

from rho1bench.errors import SandboxError
from rho1bench.sandbox.capture import STOP_SECONDS, Capture
from rho1bench.sandbox.inside import messages, supervisor
from rho1bench.sandbox.inside.checker import Checks
from rho1bench.sandbox.inside.server_main import READY, READY_IN_GROUP, Settings
from rho1bench.sandbox.isolation import Isolation, command, package_folders, possible_isolation, refusal, shown_paths
from rho1bench.sandbox.memory_groups import MemoryGroups, make_groups

MODULES = (
    "bisect", "cmath", "collections", "copy", "dataclasses", "datetime", "decimal", "fractions", "functools", "heapq",
    "itertools", "json", "math", "operator", "random", "re", "statistics", "string", "time", "typing",
    "numpy", "numpy.random", "scipy.optimize",
    "sympy", "sympy.combinatorics", "sympy.tensor.tensor", "sympy.assumptions.wrapper", "sympy.physics.units",
    "sympy.sets.setexpr", "sympy.sets.handlers.functions", "sympy.sets.handlers.issubset", "sympy.vector",
)  # fmt: skip
"""What programs import most, imported once; the modules within sympy are those that its functions import late."""
START_SECONDS = 120.0
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


@dataclass(frozen=True)
class _Started:
    """A fork server at work, the socket that leads to it, and the memory groups of its programs, if there are any."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    groups: MemoryGroups | None

    def close(self) -> None:
        """End the process and what it still runs."""
        self.control.close()
        self.process.kill()
        self.process.wait()
        if self.groups is not None:
            self.groups.close()


class ForkServer:
    """A fork server process; it imports ``modules`` before its first program.

    ``isolation`` defaults to the strongest that this machine allows.
    """

    def __init__(self, modules: Sequence[str] = MODULES, isolation: Isolation | None = None) -> None:
        self._modules = tuple(modules)
        self._isolation = isolation
        self._lock = threading.Lock()
        self._started: _Started | None = None

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

    def _running(self) -> _Started:
        with self._lock:
            if self._started is None:
                self._started = self._start()
            return self._started

    def _start(self) -> _Started:
        """Start it in the strongest isolation that works; if the imports fail, programs import for themselves."""
        reasons: dict[str, str] = {}
        for isolation in [self._isolation] if self._isolation else possible_isolation():
            for modules in dict.fromkeys((self._modules, ())):
                try:
                    started = _start(isolation, modules)
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


def _start(isolation: Isolation, modules: Sequence[str]) -> _Started:
    groups = make_groups()
    try:
        process, near, is_in_group = _ready(isolation, modules, groups)
    except BaseException:
        if groups is not None:
            groups.close()
        raise
    if groups is not None and not is_in_group:
        groups.close()
        groups = None
    return _Started(process, near, groups)


def _ready(
    isolation: Isolation, modules: Sequence[str], groups: MemoryGroups | None
) -> tuple[subprocess.Popen[bytes], socket.socket, bool]:
    """Return a fork server that is ready, the socket that leads to it, and whether it has joined ``groups``."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory(prefix="rho1bench-root-") as root, far:
        settings: Settings = {
            "control": far.fileno(),
            "modules": list(modules),
            "paths": package_folders(),
            "isolation": isolation,
            "groups": None if groups is None else groups.descriptor,
            "shown": shown_paths(),
            "root": root,
        }
        try:
            handed = [far.fileno(), *([] if groups is None else [groups.descriptor])]
            process = _launch(command(isolation, json.dumps(settings)), handed, log)
        except OSError as error:
            near.close()
            raise SandboxError(f"{type(error).__name__}: {error}") from error
        far.close()
        answer = _answer(near)
        if answer not in (READY, READY_IN_GROUP):
            process.kill()
            process.wait()
            near.close()
            raise SandboxError(_last_line(log))
    return process, near, answer == READY_IN_GROUP


def _launch(arguments: list[str], handed: Sequence[int], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        arguments,
        cwd="/",
        # One hash seed for all programs: sets print in the same order in every run of an evaluation.
        env={"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
        pass_fds=handed,
        start_new_session=True,
    )


def _answer(control: socket.socket) -> bytes:
    """Return what a fork server says when it is ready; empty if it ends or hangs."""
    if select.select([control], [], [], START_SECONDS)[0]:
        with contextlib.suppress(OSError):
            return control.recv(len(READY_IN_GROUP))
    return b""


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else f"did not start within {START_SECONDS:.0f} s"
