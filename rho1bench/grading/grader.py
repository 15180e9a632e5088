"""Grading completions: extraction, both verdicts, quick cases in this process and the rest in workers.

Called by the lm-eval tasks' ``process_results`` (one answer) and by ``rho1bench grade`` (whole files).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rho1bench.grading.paper.equality import quick_equal
from rho1bench.grading.paper.extraction import extract_answer, has_answer, is_empty
from rho1bench.grading.paper.gold import gold_fault
from rho1bench.grading.paper.normal_form import normalise
from rho1bench.grading.pool import TIME_LIMIT, Question, WorkerPool, shared_pool
from rho1bench.grading.strict.equality import quick_verify
from rho1bench.grading.strict.extraction import answer_span
from rho1bench.grading.verdict import Grade, Verdict

MANY = 100
"""Among so many answers some will need a worker, so the workers may start at once."""


@dataclass(frozen=True)
class Answer:
    """One completion to grade; ``paper_gold`` is the gold answer in normal form, ``gold`` as the data set writes it."""

    completion: str
    paper_gold: str
    gold: str
    task: str


def grade_answer(completion: str, gold: str, task: str) -> Grade:
    """Grade one completion; ``task`` is the paper's data-set name, ``gold`` the data set's answer."""
    return grade_many([(completion, gold, task)])[0]


def grade_many(
    items: Sequence[tuple[str, str, str]], *, pool: WorkerPool | None = None, time_limit: float = TIME_LIMIT
) -> list[Grade]:
    """Grade many (completion, gold answer, task), in order; ``time_limit`` is in CPU seconds for each verdict.

    For the paper's verdict the gold answers are brought to normal form here. Where
    :func:`rho1bench.grading.paper.gold.gold_answer` has done so, use :func:`grade_answers`: a second time changes 3 of
    the 13,468 gold answers of the ten data sets (ASDiv's times of day).

    Raises:
        MissingPackageError: sympy or its LaTeX parser is not installed as needed.
    """
    answers = [Answer(completion, normalise(gold), gold, task) for completion, gold, task in items]
    return grade_answers(answers, pool=pool, time_limit=time_limit)


def grade_answers(
    answers: Sequence[Answer], *, pool: WorkerPool | None = None, time_limit: float = TIME_LIMIT
) -> list[Grade]:
    """Grade many answers, in order; see :func:`grade_many`."""
    if len(answers) >= MANY:
        (pool or shared_pool()).start()
    preds = [extract_answer(answer.completion, answer.task) for answer in answers]
    sides = [
        side for pred, answer in zip(preds, answers, strict=True) for side in (_paper(pred, answer), _verified(answer))
    ]
    open_questions = [side for side in sides if isinstance(side, Question)]
    answered = dict(zip(open_questions, _ask(open_questions, pool, time_limit), strict=True))
    verdicts = [answered[side] if isinstance(side, Question) else side for side in sides]
    return [Grade(pred, verdicts[2 * place], verdicts[2 * place + 1]) for place, pred in enumerate(preds)]


def _ask(questions: list[Question], pool: WorkerPool | None, limit: float) -> list[Verdict]:
    return (pool or shared_pool()).ask(questions, limit) if questions else []


def _paper(pred: str, answer: Answer) -> Verdict | Question:
    """An empty answer counts where the gold answer is empty too; an empty completion never does."""
    gold, task = answer.paper_gold, answer.task
    if not has_answer(pred, task):
        return Verdict.CORRECT if pred == gold and not is_empty(answer.completion) else Verdict.NO_ANSWER
    decided = quick_equal(pred, gold)
    return Question("paper", pred, gold, task) if decided is None else _verdict(decided)


def _verified(answer: Answer) -> Verdict | Question:
    """A gold answer that cannot be read is an error of the data, whatever the completion says."""
    gold, task = answer.gold, answer.task
    if gold_fault(gold, task) is not None:
        return Verdict.ERROR
    span = answer_span(answer.completion, task)
    if not span:
        return Verdict.NO_ANSWER
    decided = quick_verify(span, gold, task)
    return Question("verified", span, gold, task) if decided is None else _verdict(decided)


def _verdict(right: bool) -> Verdict:
    return Verdict.CORRECT if right else Verdict.INCORRECT
