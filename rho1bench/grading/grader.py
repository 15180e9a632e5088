"""Grading completions: extraction, both verdicts, quick cases in this process and the rest in workers.

Called by the lm-eval tasks' ``process_results`` (one answer) and by ``rho1bench grade`` (whole files).
"""

from __future__ import annotations

from collections.abc import Sequence

from rho1bench.grading.extraction import extract_answer, has_answer
from rho1bench.grading.normal_form import normalise
from rho1bench.grading.paper import quick_equal
from rho1bench.grading.pool import TIME_LIMIT, Question, WorkerPool, shared_pool
from rho1bench.grading.strict.compare import quick_verify
from rho1bench.grading.strict.span import answer_span
from rho1bench.grading.verdict import Grade, Verdict

Item = tuple[str, str, str]
"""Completion, gold answer, task."""


def grade_answer(completion: str, gold: str, task: str) -> Grade:
    """Grade one completion; ``task`` is the paper's data-set name, ``gold`` the data set's answer."""
    return grade_many([(completion, gold, task)])[0]


def grade_many(
    items: Sequence[Item],
    *,
    gold_is_normal: bool = False,
    pool: WorkerPool | None = None,
    time_limit: float = TIME_LIMIT,
) -> list[Grade]:
    """Grade many completions, in order; ``time_limit`` is in CPU seconds for each verdict of each answer.

    With ``gold_is_normal`` the gold answers are taken as :func:`rho1bench.grading.gold.gold_answer` gave them; else
    the paper's verdict first brings them to normal form (which changes three of the ten sets' 13,468 answers if done
    a second time).

    Raises:
        MissingPackageError: sympy or its LaTeX parser is not installed as needed.
    """
    preds = [extract_answer(completion, task) for completion, _, task in items]
    sides = [
        side
        for pred, (completion, gold, task) in zip(preds, items, strict=True)
        for side in (
            _paper(pred, gold if gold_is_normal else normalise(gold), task),
            _verified(completion, gold, task),
        )
    ]
    open_questions = [side for side in sides if isinstance(side, Question)]
    answered = dict(zip(open_questions, _ask(open_questions, pool, time_limit), strict=True))
    verdicts = [answered[side] if isinstance(side, Question) else side for side in sides]
    return [Grade(pred, verdicts[2 * place], verdicts[2 * place + 1]) for place, pred in enumerate(preds)]


def _ask(questions: list[Question], pool: WorkerPool | None, limit: float) -> list[Verdict]:
    return (pool or shared_pool()).ask(questions, limit) if questions else []


def _paper(pred: str, gold: str, task: str) -> Verdict | Question:
    if not has_answer(pred, task):
        return Verdict.CORRECT if pred == gold else Verdict.NO_ANSWER
    decided = quick_equal(pred, gold)
    return Question("paper", pred, gold, task) if decided is None else _verdict(decided)


def _verified(completion: str, gold: str, task: str) -> Verdict | Question:
    span = answer_span(completion, task)
    if not span:
        return Verdict.NO_ANSWER
    decided = quick_verify(span, gold, task)
    return Question("verified", span, gold, task) if decided is None else _verdict(decided)


def _verdict(right: bool) -> Verdict:
    return Verdict.CORRECT if right else Verdict.INCORRECT
