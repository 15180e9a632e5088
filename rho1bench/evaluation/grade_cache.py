"""Verdicts on the completions of a unit: graded side by side when they are made, remembered until they are asked for.

lm-eval asks for one document at a time, which would leave the grading workers idle but for one; metrics, sample rows
and bootstraps then ask for the same verdicts again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rho1bench.errors import DataError
from rho1bench.grading import Answer, Grade, Verdict, grade_answers
from rho1bench.grading.paper.gold import gold_fault
from rho1bench.grading.paper.normal_form import normalise

_grades: dict[Answer, Grade] = {}


def is_graded(doc: Mapping[str, Any]) -> bool:
    """Tell whether a document is a math problem that the grader knows, whichever task asks it."""
    return "data_set" in doc and "answer" in doc


def answer_to(doc: Mapping[str, Any], completion: str) -> Answer:
    """Return ``completion`` with the gold answer of its document: ``answer``, and ``paper_gold`` where it differs.

    Raises:
        DataError: the gold answer cannot be read, so that every completion would count as wrong.
    """
    fault = gold_fault(doc["answer"], doc["data_set"])
    if fault is not None:
        raise DataError(f"A row of {doc['data_set']} cannot be graded: its gold answer {doc['answer'][:60]!r} {fault}.")
    paper_gold = doc["paper_gold"] if "paper_gold" in doc else normalise(doc["answer"])
    return Answer(completion, paper_gold, doc["answer"], doc["data_set"])


def judge_all(answers: Iterable[Answer]) -> None:
    """Grade all answers that were not graded before, with all workers."""
    new = [answer for answer in dict.fromkeys(answers) if answer not in _grades]
    _grades.update(zip(new, grade_answers(new), strict=True))


def judged(answer: Answer) -> Grade:
    """Return the grade of one answer; graded once, however often it is asked for."""
    if answer not in _grades:
        judge_all([answer])
    return _grades[answer]


def math_results(doc: Mapping[str, Any], results: list[str]) -> dict[str, float]:
    """Judge one completion for lm-eval: ``exact_match`` is the paper's verdict, ``verified`` the strict one."""
    if len(results) != 1 or not isinstance(results[0], str):
        raise DataError(f"A math answer is graded by one completion of text; lm-eval handed over {len(results)}.")
    grade = judged(answer_to(doc, results[0]))
    return {
        "exact_match": float(grade.paper is Verdict.CORRECT),
        "verified": float(grade.verified is Verdict.CORRECT),
    }
