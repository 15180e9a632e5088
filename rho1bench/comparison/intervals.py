"""Confidence intervals of single scores, of a task and of a suite's average: pure arithmetic, used by every table.

The intervals of differences between checkpoints are in ``comparison.statistics``. Scores are fractions of 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval."""

    low: float
    high: float

    def as_list(self) -> list[float]:
        """Return ``[low, high]``, the form that goes into JSON."""
        return [self.low, self.high]


def wilson_interval(score: float, n: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Return Wilson's interval of a share ``score`` of ``n`` documents; [0, 1] for n = 0, where nothing is known."""
    if n == 0:
        return Interval(0.0, 1.0)
    z = _quantile(confidence)
    spread = z * math.sqrt(score * (1.0 - score) / n + z * z / (4.0 * n * n))
    centre, scale = score + z * z / (2.0 * n), 1.0 + z * z / n
    return Interval(max(0.0, min(score, (centre - spread) / scale)), min(1.0, max(score, (centre + spread) / scale)))


def normal_interval(mean: float, stdev: float, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Return ``mean`` plus and minus its standard errors, kept within [0, 1] (and around a mean that lies outside)."""
    half = _quantile(confidence) * stdev / math.sqrt(n)
    return Interval(min(mean, max(0.0, mean - half)), max(mean, min(1.0, mean + half)))


def average_interval(scores: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Return the interval of the plain mean of independent tasks, from the tasks' scores and intervals.

    The distances of the limits are added in squares (the method of variance estimates recovery), which keeps the
    mean's interval apart from 0 and 1 as Wilson's does.
    """
    mean = math.fsum(scores) / len(scores)
    down = math.hypot(*(score - interval.low for score, interval in zip(scores, intervals, strict=True)))
    up = math.hypot(*(interval.high - score for score, interval in zip(scores, intervals, strict=True)))
    return Interval(max(0.0, mean - down / len(scores)), min(1.0, mean + up / len(scores)))


@cache
def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2.0)
