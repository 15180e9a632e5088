"""The parent's side of the grading workers: one process that has sympy in memory, and the workers that it forks.

Starting sympy and its readers takes over a second; a fork of the process that has them, milliseconds. So a process that
grades starts one server, with the first worker that it needs, and asks it for every further one. Between
:mod:`rho1bench.grading.pool`, which hands out the questions, and :mod:`rho1bench.grading.worker`, which answers them.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import cast

from rho1bench.errors import MissingPackageError
from rho1bench.grading.worker import Reply, Request

_MAX_STARTS = 3


class WorkerServer:
    """The process that forks workers; it is started when first needed, and again if it is lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def fork_worker(self) -> socket.socket:
        """Return the channel to a new worker, which says when it is ready; does not wait for that."""
        ours, theirs = socket.socketpair()
        with self._lock, theirs:
            for _ in range(_MAX_STARTS):
                try:
                    socket.send_fds(self._running(), [b"w"], [theirs.fileno()])
                except OSError:
                    self._end()
                else:
                    return ours
        ours.close()
        raise RuntimeError("the grading workers cannot be started: python -m rho1bench.grading.worker ends at once")

    def close(self) -> None:
        """End the server; workers end with their channels."""
        with self._lock:
            self._end()

    def _running(self) -> socket.socket:
        if self._control is None:
            self._control, theirs = socket.socketpair()
            with theirs:
                self._process = _start(theirs)
        return self._control

    def _end(self) -> None:
        if self._control is not None and self._process is not None:
            _shut(self._control)
            self._process.kill()
            self._process.wait()
        self._control = self._process = None


def _start(control: socket.socket) -> subprocess.Popen[bytes]:
    package_root = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([package_root, inherited] if inherited else [package_root]),
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-m", "rho1bench.grading.worker", str(control.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=environment,
        pass_fds=[control.fileno()],
        start_new_session=True,
    )


class Worker:
    """One worker process, forked when first needed; a lost one is replaced, and the question it had has no answer."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self.pid: int | None = None

    def start(self) -> None:
        """Let the worker start while there is other work; the first question waits until it is ready."""
        if self._channel is None:
            self._channel, self.pid = shared_server().fork_worker(), None

    def ask(self, request: Request, patience: float) -> Reply | None:
        """Return the answer; None if the worker is lost, or silent for ``patience`` seconds of wall time."""
        channel = self._ready()
        try:
            channel.sendall(json.dumps(request).encode() + b"\n")
        except OSError:
            reply = None
        else:
            reply = _receive(channel, patience)
        if reply is None:
            self.close()
        return reply

    def _ready(self) -> socket.socket:
        for _ in range(_MAX_STARTS):
            self.start()
            assert self._channel is not None
            if self.pid is not None:
                return self._channel
            reply = _receive(self._channel, None)
            if reply is not None and "pid" in reply:
                self.pid = reply["pid"]
                return self._channel
            self.close()
            if reply is not None:
                shared_server().close()  # so that a package installed meanwhile is found
                raise MissingPackageError("sympy", f"Grading ({reply['failed']})", "pip install rho1bench")
        raise RuntimeError("the grading workers cannot be started: they end before they are ready")

    def close(self) -> None:
        """Let the worker end, whatever it is computing."""
        if self._channel is not None:
            _shut(self._channel)
        self._channel = self.pid = None


def _shut(connection: socket.socket) -> None:
    """Tell the other side that this is the end, even where a forked process still holds the connection open."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _receive(channel: socket.socket, seconds: float | None) -> Reply | None:
    """Return the next reply line, or None when the other side is gone or silent for ``seconds`` of wall time."""
    parts = b""
    while not parts.endswith(b"\n"):
        ready, _, _ = select.select([channel], [], [], seconds)
        chunk = b""
        with contextlib.suppress(OSError):
            chunk = channel.recv(65536) if ready else b""
        if not chunk:
            return None
        parts += chunk
    return cast("Reply", json.loads(parts))


_shared: dict[int, WorkerServer] = {}


def shared_server() -> WorkerServer:
    """Return this process's server; a forked child gets its own."""
    server = _shared.get(os.getpid())
    if server is None:
        server = _shared.setdefault(os.getpid(), WorkerServer())
        atexit.register(server.close)
    return server
