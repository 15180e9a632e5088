"""A pool of grading workers: each question has a time limit, and a hang costs that one answer.

The workers are those of :mod:`rho1bench.grading.worker_server`. Questions are asked from cheap to expensive, first
with a short limit; those that need longer wait until all others are done and then get the full one, so that a few
hanging answers do not hold up the rest.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rho1bench.grading.verdict import Verdict
from rho1bench.grading.worker import WALL_PER_CPU_SECOND, Request
from rho1bench.grading.worker_server import Worker

TIME_LIMIT = 3.0
"""CPU seconds for one verdict, the protocol's own limit (there of wall time)."""
FIRST_LIMIT = 0.3
_EXPENSIVE = re.compile(r"\\binom|!|\^.*\^.*\^")
_MOST_EXPENSIVE = re.compile(r"\\(?:sum|prod|int|lim)|\^\{?-?\d{3}")
"""What answers that never end tend to hold; they are asked last."""
_GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class Question:
    """One comparison that needs computer algebra; ``kind`` is one of the worker's ``JUDGES``."""

    kind: str
    pred: str
    gold: str
    task: str


def _expected_cost(question: Question) -> tuple[bool, bool, int]:
    """Order questions from cheap to expensive, so that those which hang come when the rest is done."""
    most, expensive = (pattern.search(question.pred) is not None for pattern in (_MOST_EXPENSIVE, _EXPENSIVE))
    return most, expensive, len(question.pred) + len(question.gold)


def _verdict(worker: Worker, question: Question, seconds: float) -> Verdict:
    """Ask a worker; a lost one is an error."""
    request: Request = {
        "kind": question.kind,
        "pred": question.pred,
        "gold": question.gold,
        "task": question.task,
        "seconds": seconds,
    }
    reply = worker.ask(request, seconds * WALL_PER_CPU_SECOND + _GRACE_SECONDS)
    return Verdict.ERROR if reply is None else Verdict(reply.get("verdict") or reply["died"])


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
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        for _ in range(self.size):
            self._idle.put(Worker())

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
                    verdicts[question] = _verdict(worker, question, seconds)
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
