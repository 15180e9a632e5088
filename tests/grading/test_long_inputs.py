"""Completions of 200,000 characters: finding the answer takes time in proportion to their length."""

from __future__ import annotations

import time

import pytest

from rho1bench.grading.grader import Answer, grade_answers
from rho1bench.grading.paper.extraction import extract_answer
from rho1bench.grading.pool import WorkerPool
from rho1bench.grading.strict.extraction import answer_span

LENGTH = 200_000
UNITS = (
    "7", "{", "}", " ", "\n", "$", "boxed", "\\boxed{", "\\boxed{1} and ", "the answer is ", "final answer is $", "-",
    ".", "1,", "1 ", "1.0", "\\text{", "\\mbox{", "\\frac", "\\begin{array}{", "\\sqrt1", "**", "`", "one ", "and 1 ",
    "#", "answer: ", "(", "\\[", "½", "a m l s cm ", "=", "<|",
)  # fmt: skip


def seconds(completion: str) -> float:
    began = time.process_time()
    extract_answer(completion, "math")
    answer_span(completion, "math")
    return time.process_time() - began


@pytest.mark.parametrize("unit", UNITS)
def test_time_grows_with_length_and_no_faster(unit: str) -> None:
    """A quadratic step would take hours for the long text; ten times the length may take twenty times as long."""
    for before, behind in (("", ""), ("The answer is ", " 7")):
        short, long = (before + unit * (length // len(unit)) + behind for length in (LENGTH // 10, LENGTH))
        assert seconds(long) < max(20 * seconds(short), 2.0)


def test_long_answers_are_graded(pool: WorkerPool) -> None:
    texts = ["7" * LENGTH, "\\boxed{" + "{" * LENGTH, "The answer is " + "1+" * (LENGTH // 2), "$" * LENGTH]
    began = time.process_time()
    grades = grade_answers([Answer(text, "5", "5", "math") for text in texts], pool=pool)
    assert [grade.verified.value == "correct" or grade.paper.value == "correct" for grade in grades] == [False] * 4
    assert time.process_time() - began < 10.0
