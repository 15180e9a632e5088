"""Shared by the grading tests: one worker pool, and the verdicts that several of them look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from strict_case_table import Judge

from rho1bench.grading.pool import Question, WorkerPool
from rho1bench.grading.verdict import Verdict


@pytest.fixture(scope="session")
def pool() -> Iterator[WorkerPool]:
    workers = WorkerPool(2)
    yield workers
    workers.close()


@pytest.fixture(scope="session")
def judged(pool: WorkerPool) -> Judge:
    """Verdicts on the case tables; a question of several modules is asked once."""
    known: dict[Question, Verdict] = {}

    def verdicts(questions: Sequence[Question]) -> list[Verdict]:
        new = [question for question in dict.fromkeys(questions) if question not in known]
        known.update(zip(new, pool.ask(new), strict=True))
        return [known[question] for question in questions]

    return verdicts
