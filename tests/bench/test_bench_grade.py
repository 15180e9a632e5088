"""The grading bench: both ways agree, and the report ends with one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from rho1bench.bench.grade import HANGING, GradeBench, example_answers, report
from rho1bench.bench.naive_grading import grade_naively
from rho1bench.grading import Verdict, grade_answers
from rho1bench.grading.paper.equality import quick_equal
from rho1bench.grading.pool import FIRST_LIMIT, Question, WorkerPool


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    workers = WorkerPool(2)
    yield workers
    workers.close()


@pytest.mark.sweep
def test_naive_way_agrees(pool: WorkerPool) -> None:
    answers = example_answers(12)
    ours = [grade.paper is Verdict.CORRECT for grade in grade_answers(answers, pool=pool)]
    assert grade_naively(answers, workers=2, limit=60.0) == ours
    assert True in ours
    assert False in ours


@pytest.mark.sweep
def test_hanging_answers_hang(pool: WorkerPool) -> None:
    golds = [(text % number, "7", "math") for number, text in enumerate(HANGING, 2)]
    assert [quick_equal(answer, gold) for answer, gold, _ in golds] == [None] * len(HANGING)
    verdicts = pool.ask([Question(kind, *gold) for gold in golds for kind in ("paper", "verified")], FIRST_LIMIT)
    assert verdicts == [Verdict.TIMEOUT] * (2 * len(HANGING))


def test_report_ends_with_json() -> None:
    result = GradeBench("answers made here", 2, 10, 1, 6.0, 1.0, 6.0, 0, 0, 1, 0.5, 0.55, 0.1)
    last = report(result).splitlines()[-1]
    assert json.loads(last)["ratio"] == 6.0
