"""Verdicts on the completions of a unit: graded side by side when they are made, remembered until they are asked for.

lm-eval asks for one document at a time, which would leave the grading workers idle but for one; metrics, sample rows
and bootstraps then ask for the same verdicts again.
"""

from __future__ import annotations

from collections.abc import Iterable

from rho1bench.grading import Grade, grade_many

Completion = tuple[str, str, str]
"""A completion, the gold answer as its data set writes it, and the paper's name of the data set."""

_grades: dict[Completion, Grade] = {}


def judge_all(completions: Iterable[Completion]) -> None:
    """Grade all completions that were not graded before, with all workers."""
    new = [completion for completion in dict.fromkeys(completions) if completion not in _grades]
    _grades.update(zip(new, grade_many(new), strict=True))


def judged(completion: str, answer: str, data_set: str) -> Grade:
    """Return the grade of one completion; graded once, however often it is asked for."""
    key = (completion, answer, data_set)
    if key not in _grades:
        judge_all([key])
    return _grades[key]
