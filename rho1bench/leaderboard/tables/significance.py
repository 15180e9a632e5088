"""Which number of a column is the best beyond chance: what the leaderboard's tables print bold.

In each group of rows and each column the best is tested against the next. Two records of one evaluation are paired
(exact McNemar, or sign flips where scores are not 0 and 1, and for averages); where one of the two is a row of the
paper, which prints no scores of documents, they are taken as independent: Fisher's exact test of the two shares of
the test set, and for averages the normal test with binomial variances. Independence is the careful choice: the same
questions make the true difference more certain than that. Holm's adjustment runs over the columns of the group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rho1bench.comparison.statistics import fisher_exact_p, holm, mcnemar_exact_p, sign_flip_p
from rho1bench.leaderboard.records.record_summary import RecordSummary
from rho1bench.rendering.numbers import SIGNIFICANT

_SEED = 0


@dataclass(frozen=True)
class Contender:
    """A row: its numbers in percent (the average, then each task's), the documents of each task, and its record.

    A row of the paper has no record; a size is None where it is not known.
    """

    values: Sequence[float | None]
    sizes: Sequence[int | None]
    record: RecordSummary | None


def best_beyond_chance(rows: Sequence[Contender], tasks: Sequence[str]) -> set[tuple[int, int]]:
    """Return (row, column) of the numbers to print bold; column 0 is the average, the others are those of ``tasks``."""
    tests = []
    for column in range(len(tasks) + 1):
        ranked = sorted(
            ((value, index) for index, row in enumerate(rows) if (value := row.values[column]) is not None),
            key=lambda pair: (-pair[0], pair[1]),
        )
        if len(ranked) > 1 and ranked[0][0] > ranked[1][0]:
            best, following = ranked[0][1], ranked[1][1]
            p = _p(rows[best], rows[following], column, tasks)
            if p is not None:
                tests.append((best, column, p))
    adjusted = holm([p for *_, p in tests])
    return {(row, column) for (row, column, _), p in zip(tests, adjusted, strict=True) if p < SIGNIFICANT}


def _p(one: Contender, other: Contender, column: int, tasks: Sequence[str]) -> float | None:
    left, right = one.record, other.record
    if left is not None and right is not None and left.eval_fingerprint == right.eval_fingerprint:
        return _paired_p(left, right, tasks if column == 0 else [tasks[column - 1]])
    if column == 0:
        return _two_averages_p(one, other)
    left_count, right_count = _counts(one, column), _counts(other, column)
    return _fisher_p(left_count, right_count) if left_count and right_count else None


def _paired_p(left: RecordSummary, right: RecordSummary, tasks: Sequence[str]) -> float:
    pairs = [(left.tasks[task], right.tasks[task]) for task in tasks]
    if len(pairs) == 1 and all(task.is_binary for task in pairs[0]):
        return mcnemar_exact_p(pairs[0][0].values, pairs[0][1].values)
    return sign_flip_p([one.values - other.values for one, other in pairs], seed=_SEED)


def _counts(row: Contender, column: int) -> tuple[int, int] | None:
    """Return the right and the wrong answers behind a number."""
    value, size = row.values[column], row.sizes[column - 1]
    if value is None or size is None:
        return None
    right = round(value * size / 100.0)
    return right, size - right


@cache
def _fisher_p(left: tuple[int, int], right: tuple[int, int]) -> float:
    return fisher_exact_p(left, right)


def _two_averages_p(one: Contender, other: Contender) -> float | None:
    """Return the p of the normal test that two averages of independent tasks are equal."""
    left, right = _mean_and_variance(one), _mean_and_variance(other)
    if left is None or right is None or left[1] + right[1] == 0.0:
        return None
    return math.erfc(abs(left[0] - right[0]) / math.sqrt(2.0 * (left[1] + right[1])))


def _mean_and_variance(row: Contender) -> tuple[float, float] | None:
    mean = variance = 0.0
    for value, size in zip(row.values[1:], row.sizes, strict=True):
        if value is None or size is None:
            return None
        mean += value / 100.0
        variance += value * (100.0 - value) / 1e4 / size
    return mean / len(row.sizes), variance / len(row.sizes) ** 2
