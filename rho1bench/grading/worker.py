"""The process that runs computer algebra on answers: ``python -m rho1bench.grading.worker``.

Started and fed by :mod:`rho1bench.grading.pool` with one JSON line for each question on standard input, one JSON line
back for each on standard output. The process that imported sympy never computes: it forks a child that does, and when
the kernel kills the child (out of time, out of memory), it says so and forks the next, which is warm at once.

Limits are the kernel's: CPU time by a profiling timer, wall time by a real timer, memory by an address-space limit. A
loop inside C code cannot dodge them, and a busy machine does not turn a slow answer into a hung one.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO, TypedDict

from rho1bench.errors import MissingPackageError
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
    """What the worker answers: one of ``ready``, ``failed`` (why), ``verdict`` and ``died`` (both a verdict's word)."""

    ready: bool
    failed: str
    verdict: str
    died: str


def _paper(pred: str, gold: str, task: str) -> bool:
    return equal(pred, gold, same_value)


def _algebra(pred: str, gold: str, task: str) -> bool:
    return same_value(pred, gold)


def _verified(pred: str, gold: str, task: str) -> bool:
    return verify(pred, gold, task, same_by_algebra)


JUDGES: dict[str, Callable[[str, str, str], bool]] = {"paper": _paper, "verified": _verified, "algebra": _algebra}


def main() -> int:
    """Import what is slow, then keep one child answering until standard input ends."""
    requests, replies = _private_streams()
    for package in _IDLE_PACKAGES:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        check_packages()
        _warm_up()
    except (ImportError, MissingPackageError) as error:
        _send(replies, {"failed": str(error)})
        return 1
    _send(replies, {"ready": True})
    while True:
        child = os.fork()
        if child == 0:
            _limit_memory()
            _answer(requests, replies)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) == 0:
            return 0
        signalled = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        _send(replies, {"died": "timeout" if signalled in (signal.SIGPROF, signal.SIGALRM) else "error"})


def _private_streams() -> tuple[BinaryIO, BinaryIO]:
    """Take over stdin and stdout, so that nothing a library prints can mix with the replies.

    Requests are read unbuffered: a child that dies must not take the next request with it.
    """
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    return requests, replies


def _warm_up() -> None:
    """Import the slow packages and run each reader once; they build tables at first use."""
    for judge in (_paper, _verified):
        judge(r"\frac{2}{4}x", r"\frac{x}{2}", "math")


def _limit_memory() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(requests: BinaryIO, replies: BinaryIO) -> None:
    while line := _read_line(requests):
        request: Request = json.loads(line)
        seconds = request["seconds"]
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, seconds * WALL_PER_CPU_SECOND)
        reply = _judge(request)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(replies, reply)


def _judge(request: Request) -> Reply:
    try:
        right = JUDGES[request["kind"]](request["pred"], request["gold"], request["task"])
    except TooLargeError:
        return {"verdict": "timeout"}
    except Exception:
        return {"verdict": "error"}
    return {"verdict": "correct" if right else "incorrect"}


def _read_line(stream: BinaryIO) -> bytes:
    """Read one line byte-exactly from an unbuffered pipe; the feeder sends one line at a time."""
    parts = []
    while chunk := stream.read(65536):
        parts.append(chunk)
        if chunk.endswith(b"\n"):
            break
    return b"".join(parts)


def _send(stream: BinaryIO, message: Reply) -> None:
    stream.write(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    raise SystemExit(main())
