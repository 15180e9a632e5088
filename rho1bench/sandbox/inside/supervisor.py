"""The supervisor of one program: starts it, waits for its end or its time limit, kills whatever it leaves, reports.

It is a child of the fork server and holds the only descriptor over which a report can be made; over the same one it
learns that the caller wants the program stopped or is gone. Its child is the first process of the program's namespaces,
which starts the program and waits for it, or tests it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import NoReturn

from rho1bench.sandbox.inside import candidate, checker, memory_group, messages, namespaces, program, syscalls, usage

STATUS = struct.Struct("i")
STARTED = STATUS.pack(-1)
"""Written before the first status: the namespaces stand, and the program's time begins."""
KILL_SECONDS = 5.0
LOOK_SECONDS = 0.1
"""How often the time and memory of all processes of a program are added up."""


@dataclass(frozen=True)
class Request:
    """One program with its limits: seconds of its own time, MiB of memory beyond the fork server's, its empty folder.

    ``latest`` is when it ends by the clock, in seconds from its start. ``captured`` programs run as those of the
    paper's tool loop, others as an interpreter runs a file.
    """

    source: str
    timeout: float
    memory_mb: int
    folder: str
    captured: bool
    latest: float


@dataclass(frozen=True)
class ForkServerInfo:
    """What holds for all programs of a fork server: its process id, bytes of address space, if it isolates them.

    ``groups`` is a descriptor of the folder of their memory groups, if there are any.
    """

    pid: int
    address_space: int
    isolated: bool
    groups: int | None = None


@dataclass(frozen=True)
class Report:
    """How a program ended (by itself, at a limit, stopped by the caller), its wait status, its own seconds."""

    ended: str
    status: int
    seconds: float


@dataclass(frozen=True)
class Descriptors:
    """What the caller sent: a connection, two pipes to write to, and the file of the tests if there are any."""

    line: int
    output: int
    errors: int
    tests: int | None

    def close(self) -> None:
        """Close all but the connection."""
        for descriptor in (self.output, self.errors, self.tests):
            if descriptor is not None:
                os.close(descriptor)


Job = Callable[[], NoReturn]
"""What the process of a program, or of its tests, has to do."""


def supervise(descriptors: Descriptors, server: ForkServerInfo) -> Job:
    """Run one program; returns only in the program's own processes, with their limits set and streams in place."""
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        if os.getppid() != server.pid:
            os._exit(1)
        connection = socket.socket(fileno=descriptors.line)
        request = Request(**messages.receive(connection))  # type: ignore[arg-type]
        if server.isolated:
            namespaces.unshare_namespaces()
        else:
            os.chdir(request.folder)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        status_reader, status_writer = os.pipe()
        processes = usage.Processes()
        group = memory_group.make(server.groups, request.memory_mb << 20, processes.kept, program.PROCESSES)
        child = os.fork()
        if child == 0:
            if group is not None:
                group.enter()
            if server.groups is not None:
                os.close(server.groups)
            connection.close()
            os.close(status_reader)
            return _start_program(request, descriptors, server, status_writer)
        descriptors.close()
        os.close(status_writer)
        _wait_and_report(_Watch(connection, status_reader, child, processes, request), group)
    except BaseException:
        os._exit(1)  # the caller sees the connection end without a report


def _start_program(request: Request, descriptors: Descriptors, server: ForkServerInfo, status_writer: int) -> Job:
    """Become the first process of the new namespaces; returns in the process of the program, or here for its tests.

    When the first process ends, the kernel kills whatever else is in the namespaces. It waits for the program and
    writes its wait status to ``status_writer``, or runs the program's tests itself, and its own exit status is the
    verdict. It reads the tests after it has forked the program, which so never holds them.
    """
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if server.isolated:
        namespaces.mount_scratch()
    os.write(status_writer, STARTED)
    limits = program.Limits(request.timeout, server.address_space + (request.memory_mb << 20), server.isolated)
    here = os.getpid()
    if descriptors.tests is not None:
        near, far = (end.detach() for end in socket.socketpair())
        if os.fork() == 0:
            kept = _enter(_without_output(descriptors), (far,), limits, here)
            return partial(candidate.serve, request.source, *kept)
        kept = _enter(descriptors, (near, descriptors.tests), limits, os.getppid(), dumpable=False)
        return partial(checker.check, *kept)
    child = os.fork()
    if child == 0:
        _enter(descriptors, (), limits, here)
        return partial(program.run_captured if request.captured else program.run, request.source)
    descriptors.close()
    return _wait_for(child, status_writer)


def _without_output(descriptors: Descriptors) -> Descriptors:
    """Return ``descriptors`` with nowhere to write to: what a tested program prints is no part of the verdict."""
    nowhere = os.open("/dev/null", os.O_WRONLY)
    return Descriptors(descriptors.line, nowhere, nowhere, None)


def _enter(
    descriptors: Descriptors, kept: Sequence[int], limits: program.Limits, parent: int, *, dumpable: bool = True
) -> list[int]:
    """Set up a process of the program; only one that is ``dumpable`` can be looked into by others of its user."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, int(dumpable))
    numbers = program.enter(descriptors.output, descriptors.errors, kept, limits, parent)
    if limits.isolated:
        namespaces.give_up_privileges()
    return numbers


def _wait_for(child: int, status_writer: int) -> NoReturn:
    for stream in (0, 1, 2):
        os.close(stream)
    while True:
        pid, status = os.wait()
        if pid == child:
            os.write(status_writer, STATUS.pack(status))
            os._exit(0)


def _wait_and_report(watch: _Watch, group: memory_group.ProgramGroup | None) -> NoReturn:
    ended = watch.wait()
    if ended != "exit":
        os.kill(watch.child, signal.SIGKILL)
    status = os.waitpid(watch.child, 0)[1]
    seconds = watch.own_time.seconds(time.monotonic())
    kill_orphans()
    if group is not None and ended == "exit" and group.is_overrun():
        ended = "memory"
    written = os.read(watch.status_reader, 2 * STATUS.size).removeprefix(STARTED)
    if written:  # else the status is the first process's own
        (status,) = STATUS.unpack(written)
    messages.send(watch.connection, asdict(Report(ended, status, seconds)))
    if group is not None:
        group.remove()
    os._exit(0)


class _Watch:
    """What the supervisor waits for: the end of the first process, a limit, a message or the end of the caller."""

    def __init__(
        self, connection: socket.socket, status_reader: int, child: int, processes: usage.Processes, request: Request
    ) -> None:
        self.connection = connection
        self.status_reader = status_reader
        self.child = child
        self.own_time = usage.OwnTime(time.monotonic())
        self._processes = processes
        self._timeout = request.timeout
        self._latest = request.latest
        self._memory = request.memory_mb << 20

    def wait(self) -> str:
        """Return why the wait ended: exit, timeout, memory or stopped."""
        latest = time.monotonic() + self._latest
        end = os.pidfd_open(self.child)
        poll = select.poll()
        for descriptor in (end, self.connection.fileno(), self.status_reader):
            poll.register(descriptor, select.POLLIN)
        started = False
        while True:
            now = time.monotonic()
            left = min(self._timeout - self.own_time.seconds(now), latest - now)
            if left <= 0:
                return "timeout"
            ready = [descriptor for descriptor, _ in poll.poll(1000 * min(left, LOOK_SECONDS))]
            if end in ready:
                return "exit"
            if self.connection.fileno() in ready:
                return "stopped"
            if self.status_reader in ready:
                poll.unregister(self.status_reader)
                started = os.read(self.status_reader, STATUS.size) == STARTED
                self.own_time.start(time.monotonic(), self._processes)
            elif started:
                self.own_time.look(self._processes)
                if self._processes.memory() > self._memory:
                    return "memory"


def kill_orphans() -> None:
    """Kill all that is left: a process that lost its parent has become a child of the supervisor, in any session."""
    deadline = time.monotonic() + KILL_SECONDS
    while time.monotonic() < deadline:
        for pid in syscalls.children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)
