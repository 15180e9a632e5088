"""The processes that run computer algebra on answers: ``python -m rho1bench.grading.worker CONTROL``.

Started and fed by :mod:`rho1bench.grading.worker_server`. The server imports sympy, then forks a worker for each
channel that it is sent over the socket ``CONTROL``. On a channel, one JSON line for each question is answered by one
JSON line. A worker never computes: it forks a child that does, and when the kernel kills the child (out of time, out of
memory), it says so and forks the next, which is warm at once. Whatever loses its caller ends.

Limits are the kernel's: CPU time by a profiling timer, wall time by a real timer, memory by an address-space limit. A
loop inside C code cannot dodge them, and a busy machine does not turn a slow answer into a hung one.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import TypedDict

from rho1bench.errors import MissingPackageError
from rho1bench.grading.latex_parsers import predict_without_context
from rho1bench.grading.magnitude import TooLargeError
from rho1bench.grading.paper.equality import equal
from rho1bench.grading.paper.symbolic import check_packages, same_value
from rho1bench.grading.strict.equality import verify
from rho1bench.grading.strict.symbolic import same_by_algebra

MEMORY_BYTES = 2 * 2**30
WALL_PER_CPU_SECOND = 10.0
_IDLE_PACKAGES = ("numpy", "scipy", "lark")
"""What sympy imports if it is there, and never uses for these questions: 0.6 s of a worker's 1.5 s to start."""


class Request(TypedDict):
    """What the pool asks: the fields of its ``Question`` and the CPU seconds that it may take."""

    kind: str
    pred: str
    gold: str
    task: str
    seconds: float


class Reply(TypedDict, total=False):
    """What a worker answers: one of ``pid`` (it is ready), ``failed`` (why), ``verdict`` and ``died`` (both words)."""

    pid: int
    failed: str
    verdict: str
    died: str


def _paper(pred: str, gold: str, task: str) -> bool:
    return equal(pred, gold, same_value)


def _algebra(pred: str, gold: str, task: str) -> bool:
    return same_value(pred, gold)


def _verified(pred: str, gold: str, task: str) -> bool:
    return verify(pred, gold, task, same_by_algebra)


def _strict_algebra(pred: str, gold: str, task: str) -> bool:
    return same_by_algebra(pred, gold)


JUDGES: dict[str, Callable[[str, str, str], bool]] = {
    "paper": _paper,
    "verified": _verified,
    "algebra": _algebra,
    "strict algebra": _strict_algebra,
}


def main() -> int:
    """Import what is slow, then fork a worker for every channel that comes, until the caller is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # libraries warn, and data makes them
    for package in _IDLE_PACKAGES:
        sys.modules[package] = None  # type: ignore[assignment]
    failure = _prepare()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # workers that ended are nobody's to wait for
    while channel := _next_channel(control):
        if failure:
            _send(channel, {"failed": failure})
        elif os.fork() == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with contextlib.suppress(OSError):  # of a caller that is gone
                _send(channel, {"pid": os.getpid()})
                _keep_answering(channel)
            os._exit(0)
        channel.close()
    return 0


def _prepare() -> str:
    """Import the slow packages; returns why that failed, empty if it did not."""
    try:
        check_packages()
        predict_without_context()
        _warm_up()
    except (ImportError, MissingPackageError) as error:
        return str(error)
    gc.freeze()  # else the first collection of every child would copy all of this memory
    return ""


def _warm_up() -> None:
    """Run each reader once; they build tables at first use."""
    for judge in (_paper, _verified):
        judge(r"\frac{2}{4}x", r"\frac{x}{2}", "math")


def _next_channel(control: socket.socket) -> socket.socket | None:
    try:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
    except OSError:
        return None
    return socket.socket(fileno=descriptors[0]) if descriptors else None


def _keep_answering(channel: socket.socket) -> None:
    """Keep one child answering until the caller is gone."""
    while True:
        child, life = _fork_child(channel)
        caller_left = _outlived_by(channel, life)
        os.close(life)
        if caller_left:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if caller_left or status == 0:
            return
        out_of_time = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGALRM)
        _send(channel, {"died": "timeout" if out_of_time else "error"})


def _fork_child(channel: socket.socket) -> tuple[int, int]:
    """Fork the child that computes; returns its process id, and a descriptor that hangs up when it ends."""
    life, held_by_child = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(life)
        _limit_memory()
        _answer(channel)
        os._exit(0)
    os.close(held_by_child)
    return child, life


def _outlived_by(channel: socket.socket, life: int) -> bool:
    """Wait until the child or the caller has ended; return whether it was the caller."""
    ends = select.poll()
    ends.register(channel, 0)  # hanging up is always reported
    ends.register(life, 0)
    return channel.fileno() in (descriptor for descriptor, _ in ends.poll())


def _limit_memory() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(channel: socket.socket) -> None:
    while line := _read_line(channel):
        request: Request = json.loads(line)
        seconds = request["seconds"]
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, seconds * WALL_PER_CPU_SECOND)
        reply = _judge(request)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(channel, reply)


def _judge(request: Request) -> Reply:
    try:
        right = JUDGES[request["kind"]](request["pred"], request["gold"], request["task"])
    except TooLargeError:
        return {"verdict": "timeout"}
    except Exception:
        return {"verdict": "error"}
    return {"verdict": "correct" if right else "incorrect"}


def _read_line(channel: socket.socket) -> bytes:
    """Read one line; the caller sends one at a time, so that a child that dies takes no other with it."""
    parts = []
    while chunk := channel.recv(65536):
        parts.append(chunk)
        if chunk.endswith(b"\n"):
            break
    return b"".join(parts)


def _send(channel: socket.socket, message: Reply) -> None:
    channel.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    raise SystemExit(main())
