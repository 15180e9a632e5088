"""A pool of grading workers: each question has a time limit, and a hang costs that one answer.

The parent's half of :mod:`rho1bench.grading.worker`. Questions are asked from cheap to expensive, first with a
short limit; those that need longer wait until all others are done and then get the full one, so that a few hanging
answers do not hold up the rest.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import re
import select
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from rho1bench.errors import MissingPackageError
from rho1bench.grading.verdict import Verdict
from rho1bench.grading.worker import WALL_PER_CPU_SECOND, Reply

TIME_LIMIT = 3.0
"""CPU seconds for one verdict, the protocol's own limit (there of wall time)."""
FIRST_LIMIT = 0.2
_EXPENSIVE = re.compile(r"\\binom|!|\^.*\^.*\^")
_MOST_EXPENSIVE = re.compile(r"\\(?:sum|prod|int|lim)|\^\{?-?\d{3}")
"""What answers that never end tend to hold; they are asked last."""
_GRACE_SECONDS = 30.0
_MAX_RESTARTS = 3


@dataclass(frozen=True)
class Question:
    """One comparison that needs computer algebra; ``kind``: ``paper``, ``verified`` or ``algebra`` (sympy alone)."""

    kind: str
    pred: str
    gold: str
    task: str


def _expected_cost(question: Question) -> tuple[bool, bool, int]:
    """Order questions from cheap to expensive, so that those which hang come when the rest is done."""
    most, expensive = (pattern.search(question.pred) is not None for pattern in (_MOST_EXPENSIVE, _EXPENSIVE))
    return most, expensive, len(question.pred) + len(question.gold)


class _Worker:
    """One worker process; a lost process is replaced, and the question it had is an error."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False

    def start(self) -> None:
        """Let the process start while there is other work; the first question waits until it is ready."""
        if self._process is None:
            self._process, self._ready = _start(), False

    def ask(self, question: Question, seconds: float) -> Verdict:
        process = self._running()
        request = vars(question) | {"seconds": seconds}
        try:
            _pipe(process.stdin).write(json.dumps(request).encode() + b"\n")
        except (BrokenPipeError, ValueError):
            self.close()
            return Verdict.ERROR
        reply = _receive(process, seconds * WALL_PER_CPU_SECOND + _GRACE_SECONDS)
        if reply is None:
            self.close()
            return Verdict.ERROR
        return Verdict(reply.get("verdict") or reply["died"])

    def _running(self) -> subprocess.Popen[bytes]:
        for _ in range(_MAX_RESTARTS):
            self.start()
            assert self._process is not None
            if self._ready:
                return self._process
            reply = _receive(self._process, None)
            self._ready = reply is not None
            if reply is not None and "failed" in reply:
                self.close()
                raise MissingPackageError("sympy", f"Grading ({reply['failed']})", "pip install rho1bench")
            if reply is None:
                self.close()
        raise RuntimeError("the grading worker cannot be started: python -m rho1bench.grading.worker ends at once")

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            _pipe(pipe).close()


def _start() -> subprocess.Popen[bytes]:
    package_root = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([package_root, inherited] if inherited else [package_root]),
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-m", "rho1bench.grading.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env=environment,
        start_new_session=True,
    )


def _receive(process: subprocess.Popen[bytes], seconds: float | None) -> Reply | None:
    """Return the next reply line, or None when the process is gone or silent for ``seconds`` of wall time."""
    pipe, parts = _pipe(process.stdout), b""
    while not parts.endswith(b"\n"):
        ready, _, _ = select.select([pipe], [], [], seconds)
        chunk = pipe.read(65536) if ready else b""
        if not chunk:
            return None
        parts += chunk
    return cast("Reply", json.loads(parts))


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


class _Waiting:
    """The questions still to ask; those that look like one which ran out of time go to the end."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self._questions = deque(questions)
        self._put_off: deque[Question] = deque()
        self._slow_shapes: set[str] = set()
        self._lock = threading.Lock()

    def next(self) -> Question | None:
        with self._lock:
            while self._questions:
                question = self._questions.popleft()
                if _shape(question) not in self._slow_shapes:
                    return question
                self._put_off.append(question)
            return self._put_off.popleft() if self._put_off else None

    def put_off_alike(self, question: Question) -> None:
        with self._lock:
            self._slow_shapes.add(_shape(question))


def _shape(question: Question) -> str:
    """Return a question's answer without its digits, spaces and braces: answers that hang tend to come in kinds."""
    return re.sub(r"[\d\s{}]+", "", question.pred)


class WorkerPool:
    """Workers that start when first needed; safe to use from several threads."""

    def __init__(
        self,
        size: int | None = None,
        on_answer: Callable[[Question, Verdict], None] | None = None,
        on_questions: Callable[[int], None] | None = None,
    ) -> None:
        """Make a pool of ``size`` workers (default: one a core).

        ``on_questions`` hears how many questions are about to be asked, ``on_answer`` of each verdict; a question that
        ran out of its first, short time is announced, asked and answered again.
        """
        self._on_answer = on_answer
        self._on_questions = on_questions
        self.size = size or len(os.sched_getaffinity(0))
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for _ in range(self.size):
            self._idle.put(_Worker())

    def start(self) -> None:
        """Start the workers that are idle, without waiting for them."""
        idle = []
        with contextlib.suppress(queue.Empty):
            while True:
                idle.append(self._idle.get_nowait())
        for worker in idle:
            worker.start()
            self._idle.put(worker)

    def ask(self, questions: Sequence[Question], limit: float = TIME_LIMIT) -> list[Verdict]:
        """Return the verdicts on ``questions``, in their order; equal questions are asked once.

        ``limit`` is in CPU seconds for each question. What ran out of the first, short limit, or lost its worker to
        something else on the machine, is asked once more. Raises ``MissingPackageError`` if sympy's parts are missing.
        """
        verdicts = self._round(sorted(dict.fromkeys(questions), key=_expected_cost), min(FIRST_LIMIT, limit))
        again = [question for question, verdict in verdicts.items() if verdict in (Verdict.TIMEOUT, Verdict.ERROR)]
        if limit > FIRST_LIMIT:
            verdicts |= self._round(again, limit)
        return [verdicts[question] for question in questions]

    def _round(self, questions: list[Question], seconds: float) -> dict[Question, Verdict]:
        waiting = _Waiting(questions)
        if self._on_questions is not None:
            self._on_questions(len(questions))
        verdicts: dict[Question, Verdict] = {}
        failures: list[Exception] = []

        def serve() -> None:
            worker = self._idle.get()
            try:
                while (question := waiting.next()) is not None:
                    verdicts[question] = worker.ask(question, seconds)
                    if verdicts[question] is Verdict.TIMEOUT:
                        waiting.put_off_alike(question)
                    if self._on_answer is not None:
                        self._on_answer(question, verdicts[question])
            except Exception as failure:
                failures.append(failure)
            finally:
                self._idle.put(worker)

        threads = [threading.Thread(target=serve, daemon=True) for _ in range(min(self.size, len(questions)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return verdicts

    def close(self) -> None:
        """End the worker processes; the pool may be used again and then starts new ones."""
        for _ in range(self.size):
            worker = self._idle.get()
            worker.close()
            self._idle.put(worker)


_shared: dict[int, WorkerPool] = {}


def shared_pool() -> WorkerPool:
    """Return this process's pool; a forked child gets its own."""
    if os.getpid() not in _shared:
        _shared.clear()
        _shared[os.getpid()] = WorkerPool()
        atexit.register(_shared[os.getpid()].close)
    return _shared[os.getpid()]
