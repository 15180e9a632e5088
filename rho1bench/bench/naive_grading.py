"""The obvious way of grading, which ``rho1bench bench grade`` measures the grader against.

For every file a fresh process pool with a limit of 3 s an answer, and computer algebra on every pair: both sides parsed
anew, then the protocol's tests (paper section 3.2, appendix E) as they are written, without any of the grader's
shortcuts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError

from rho1bench.grading.grader import Answer
from rho1bench.grading.magnitude import Expression, TooLargeError, check_size
from rho1bench.grading.paper import equality
from rho1bench.grading.paper.expressions import read_expression
from rho1bench.grading.paper.extraction import extract_answer

NAIVE_LIMIT = 3.0
"""Seconds of wall time for an answer, as in the authors' harness."""


def grade_naively(answers: Sequence[Answer], workers: int, limit: float = NAIVE_LIMIT) -> list[bool | None]:
    """Grade by the paper's protocol the obvious way; None stands for an answer that ran out of time.

    The pool's workers are forked from a process that has sympy loaded, as the authors' are.
    """
    import multiprocessing

    from pebble import ProcessPool

    pairs = [(extract_answer(answer.completion, answer.task), answer.paper_gold) for answer in answers]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sympy", "sympy.parsing.latex", __name__])
    with ProcessPool(max_workers=workers, context=context) as pool:
        results = pool.map(naive_equal, pairs, timeout=limit).result()
        return [_next_or_none(results) for _ in pairs]


def _next_or_none(results: Iterator[bool]) -> bool | None:
    try:
        return next(results)
    except FutureTimeoutError:
        return None


def naive_equal(pair: tuple[str, str]) -> bool:
    """Ask computer algebra about the pair, whatever it looks like; then the other rules, without asking twice."""
    try:
        return _same(*pair) or equality.equal(*pair, lambda *other: other != pair and _same(*other))
    except TooLargeError:
        return False


def _same(pred: str, gold: str) -> bool:
    from sympy import Basic
    from sympy.matrices import MatrixBase

    left, right = _read(pred), _read(gold)
    if not (isinstance(left, (Basic, MatrixBase)) and isinstance(right, (Basic, MatrixBase))):
        return str(left) == str(right)
    return any(_holds(test, left, right) for test in _TESTS)


def _read(text: str) -> Expression:
    from sympy.parsing.latex import parse_latex

    for reader in (parse_latex, read_expression):
        for form in (text.replace(r"\\", "\\"), text):
            with contextlib.suppress(Exception):
                return check_size(reader(form))
    return text


def _holds(test: Callable[[Expression, Expression], Expression], left: Expression, right: Expression) -> bool:
    try:
        return bool(test(left, right))
    except Exception:
        return False


def _no_difference(left: Expression, right: Expression) -> Expression:
    from sympy import simplify

    return left.equals(right) or simplify(left - right) == 0


def _same_number(left: Expression, right: Expression) -> bool:
    from sympy import N

    return equality.close(float(N(left)), float(N(right)))


_TESTS: tuple[Callable[[Expression, Expression], Expression], ...] = (
    lambda left, right: str(left) == str(right) or left == right,
    _no_difference,
    lambda left, right: abs(left.lhs - left.rhs).equals(abs(right.lhs - right.rhs)),
    _same_number,
)
