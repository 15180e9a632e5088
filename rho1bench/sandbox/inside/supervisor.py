"""The supervisor of one program: forks it, waits for its end or its time limit, kills whatever it leaves, reports.

It is a child of the fork server and holds the only descriptor over which a report can be made; over the same one it
learns that the caller wants the program stopped or is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import time
from dataclasses import asdict, dataclass
from typing import NoReturn

from rho1bench.sandbox.inside import namespaces, program, syscalls

LENGTH = struct.Struct("!I")
KILL_SECONDS = 5.0
MEMORY_CHECK_SECONDS = 0.1
"""How often the memory of all processes of a program is added up."""


@dataclass(frozen=True)
class Request:
    """One program with its limits: wall seconds, MiB of memory beyond the fork server's, its empty folder."""

    source: str
    timeout: float
    memory_mb: int
    folder: str


@dataclass(frozen=True)
class ForkServerInfo:
    """What holds for all programs of a fork server: its process id, bytes of address space, if it isolates them."""

    pid: int
    address_space: int
    isolated: bool


@dataclass(frozen=True)
class Report:
    """How a program ended (by itself, at a limit, stopped by the caller), its wait status, its wall seconds."""

    ended: str
    status: int
    seconds: float


def send(connection: socket.socket, message: Request | Report) -> None:
    """Send one message with its length before it."""
    data = json.dumps(asdict(message)).encode("ascii")
    connection.sendall(LENGTH.pack(len(data)) + data)


def receive(connection: socket.socket) -> dict[str, object]:
    """Read one message; raises ``EOFError`` if the other side goes before it is complete."""
    (length,) = LENGTH.unpack(_exactly(connection, LENGTH.size))
    message: dict[str, object] = json.loads(_exactly(connection, length))
    return message


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(min(count - len(data), 1 << 16))
        if not piece:
            raise EOFError("the other side of the connection is gone")
        data += piece
    return bytes(data)


def supervise(line: int, output: int, errors: int, server: ForkServerInfo) -> Request:
    """Run one program; returns only in the program's own process, with its limits set and its streams in place."""
    own_pid = os.getpid()
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        if os.getppid() != server.pid:
            os._exit(1)
        connection = socket.socket(fileno=line)
        request = Request(**receive(connection))  # type: ignore[arg-type]
        if server.isolated:
            namespaces.unshare_namespaces()
        else:
            os.chdir(request.folder)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        status_reader, status_writer = os.pipe()
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            connection.close()
            if server.isolated:
                namespaces.become_init(status_writer)
            memory = server.address_space + (request.memory_mb << 20)
            program.enter(
                output, errors, request.timeout, memory, program.FIRST_PROCESS if server.isolated else own_pid
            )
            return request
        for descriptor in (output, errors, status_writer):
            os.close(descriptor)
        limit = request.memory_mb << 20 if server.isolated else None
        _wait_and_report(connection, child, status_reader, _Watch(connection, child, began, request.timeout, limit))
    except BaseException:
        os._exit(1)  # the caller sees the connection end without a report


def _wait_and_report(connection: socket.socket, child: int, status_reader: int, watch: _Watch) -> NoReturn:
    ended = watch.wait()
    if ended != "exit":
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    seconds = time.monotonic() - watch.began
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    kill_orphans()
    inner = os.read(status_reader, namespaces.STATUS.size)  # if isolated, the child is the namespace's first process
    if inner:
        (status,) = namespaces.STATUS.unpack(inner)
    send(connection, Report(ended, status, seconds))
    os._exit(0)


@dataclass(frozen=True)
class _Watch:
    """What the supervisor waits for: ``child``'s end, a limit on time or memory, a message or the end of the caller."""

    connection: socket.socket
    child: int
    began: float
    timeout: float
    memory: int | None

    def wait(self) -> str:
        """Return why the wait ended: exit, timeout, memory or stopped."""
        end = os.pidfd_open(self.child)
        poll = select.poll()
        poll.register(end, select.POLLIN)
        poll.register(self.connection, select.POLLIN)
        while True:
            left = self.began + self.timeout - time.monotonic()
            if left <= 0:
                return "timeout"
            ready = [descriptor for descriptor, _ in poll.poll(1000 * min(left, MEMORY_CHECK_SECONDS))]
            if end in ready:
                return "exit"
            if ready:
                return "stopped"
            if self.memory is not None and namespaces.memory_in_use() > self.memory:
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
