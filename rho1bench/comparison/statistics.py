"""Statistics behind every claim: intervals and p-values of paired scores. Pure functions of numbers, seeded.

Place in the pipeline: the ``compare`` stage (two checkpoints of a run), ``seeds`` (many runs), ``report`` (bands of
curves) and ``leaderboard`` call this module. The paper (section 3.3) prints bare averages; these functions say how sure
one can be.

Vocabulary: a *stratum* holds the values of one task (scores, or treatment-minus-baseline differences of the same
documents); the average of a suite is the plain mean of its strata's means, so that a large task weighs no more than a
small one. Resampling draws documents within each stratum. All results depend on the multiset of values only, never on
the order of documents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from rho1bench.comparison.intervals import Interval

Values = npt.NDArray[np.float64]

NUM_SIGN_FLIPS = 20_000
"""Random sign assignments of a permutation test; the smallest p it can print is 1 / (NUM_SIGN_FLIPS + 1)."""
_DRAWS_AT_ONCE = 2_000_000
_TIE = 1e-12
_FEWEST_FOR_T = 3
FEWEST_FOR_SIGN_FLIPS = 5
_GAP_OF_GROUPS = 0.6
"""Share of the range that separates two groups of at least two values each."""
_MOST_ENUMERATED = 16
_EXACT_TABLE = 1000
"""Discordant pairs up to which the sign test is computed in whole numbers; beyond, to about 11 digits."""


def stratified_mean(strata: Sequence[Values]) -> float:
    """Return the plain mean of the strata's means; raises ``ValueError`` without strata or with an empty one."""
    if not strata or any(len(values) == 0 for values in strata):
        raise ValueError("a mean needs at least one value in every stratum")
    return math.fsum(math.fsum(values.tolist()) / len(values) for values in strata) / len(strata)


def bootstrap_interval(
    strata: Sequence[Values], *, seed: int, num_resamples: int = 2000, confidence: float = 0.95
) -> Interval | None:
    """Return the percentile-bootstrap interval of :func:`stratified_mean`, documents resampled within each stratum.

    Given differences of paired scores this is the paired bootstrap. None where a stratum has fewer than two values
    (nothing is known about its spread). Where no stratum has any spread the interval has no width. The interval always
    holds the mean itself.
    """
    mean = stratified_mean(strata)
    if any(len(values) < 2 for values in strata):
        return None
    generator = np.random.default_rng(seed)
    means = np.zeros(num_resamples)
    for values in strata:
        means += _resampled_means(values, num_resamples, generator) / len(strata)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(min(float(low), mean), max(float(high), mean))


def _resampled_means(values: Values, num_resamples: int, generator: np.random.Generator) -> Values:
    """Means of resamples with replacement: the count of each distinct value is multinomial, which is exact."""
    distinct, counts = np.unique(values, return_counts=True)
    size = len(values)
    means = np.empty(num_resamples)
    step = max(1, _DRAWS_AT_ONCE // len(distinct))
    for begin in range(0, num_resamples, step):
        end = min(begin + step, num_resamples)
        draws = generator.multinomial(size, counts / size, size=end - begin)
        means[begin:end] = draws @ distinct / size
    return means


def mcnemar_exact_p(treatment: Values, baseline: Values) -> float:
    """Return the two-sided exact McNemar p of paired 0/1 scores, ``min(1, 2 P(X <= min(b, c)))``, X ~ Bin(b+c, 1/2).

    b and c count the documents on which only one of the two is right; without any the p is 1. Raises ``ValueError``
    for unequal lengths and for scores other than 0 and 1.
    """
    if treatment.shape != baseline.shape:
        raise ValueError("paired scores must have equal lengths")
    if not (is_binary(treatment) and is_binary(baseline)):
        raise ValueError("McNemar's test needs scores of 0 and 1")
    wins, losses = int((treatment > baseline).sum()), int((treatment < baseline).sum())
    return _binomial_two_sided_p(wins, losses)


def _binomial_two_sided_p(wins: int, losses: int) -> float:
    """Sign test: the largest term of the tail, and the smaller ones relative to it, so that no table is too large."""
    total, fewer = wins + losses, min(wins, losses)
    steps = np.arange(fewer, 0, -1)
    relative = 1.0 + float(np.cumprod(steps / (total - steps + 1.0)).sum())
    logarithm = math.lgamma(total + 1) - math.lgamma(fewer + 1) - math.lgamma(total - fewer + 1)
    exact = total <= _EXACT_TABLE
    largest: float = math.comb(total, fewer) / 2**total if exact else math.exp(logarithm - total * math.log(2.0))
    return min(1.0, 2.0 * largest * relative)


def fisher_exact_p(left: tuple[int, int], right: tuple[int, int]) -> float:
    """Return Fisher's two-sided exact p of two counts of (right, wrong) answers, as ``scipy.stats.fisher_exact`` does.

    Importing scipy.stats for it would take a tenth of the time in which thousands of records are built.
    """
    from scipy import special

    successes, first, total = left[0] + right[0], sum(left), sum(left) + sum(right)
    hits = np.arange(max(0, successes + first - total), min(successes, first) + 1)

    def log_choose(n: int, k: npt.NDArray[np.int64]) -> Values:
        found: Values = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
        return found

    chances = log_choose(first, hits) + log_choose(total - first, successes - hits)
    chances = np.exp(chances - special.logsumexp(chances))
    at_most = chances[left[0] - hits[0]] * (1.0 + 1e-7)
    return min(1.0, float(chances[chances <= at_most].sum()))


def is_binary(values: Values) -> bool:
    """Tell whether every value is 0 or 1."""
    return bool(((values == 0.0) | (values == 1.0)).all())


def sign_flip_p(strata: Sequence[Values], *, seed: int, num_flips: int = NUM_SIGN_FLIPS) -> float:
    """Return the two-sided paired permutation p that the stratified mean of ``strata`` (differences) is zero.

    Under the null hypothesis treatment and baseline are exchangeable on every document, so each difference may change
    its sign. ``p = (1 + number of random sign assignments with |mean| >= |observed mean|) / (1 + num_flips)``, which
    is a valid p. Raises ``ValueError`` for an empty stratum.
    """
    observed = abs(stratified_mean(strata))
    generator = np.random.default_rng(seed)
    means = np.zeros(num_flips)
    for values in strata:
        means += _flipped_means(values, num_flips, generator) / len(strata)
    return float((1 + np.count_nonzero(np.abs(means) >= observed - _TIE)) / (1 + num_flips))


def _flipped_means(values: Values, num_flips: int, generator: np.random.Generator) -> Values:
    """Means under random signs: among k values of one size the number of positive ones is binomial."""
    sizes, counts = np.unique(np.abs(values[values != 0.0]), return_counts=True)
    totals = np.zeros(num_flips)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        totals += size * (2.0 * generator.binomial(count, 0.5, size=num_flips) - count)
    return totals / len(values)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p-values in the given order (family-wise error over the whole list)."""
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


@dataclass(frozen=True)
class SeedSpread:
    """Mean of one number over training seeds, with Student's t interval and the p that the true mean is zero."""

    mean: float
    ci: Interval | None
    p: float | None
    num_positive: int
    n: int


def spread_over_seeds(values: Sequence[float], *, confidence: float = 0.95) -> SeedSpread:
    """Summarise one number per seed by the one-sample t test; raises ``ValueError`` without values.

    With one seed there is no interval and no p. With equal values the interval has no width and p is 0, or 1 where
    all are zero.
    """
    if not values:
        raise ValueError("a mean needs at least one value")
    n, mean = len(values), math.fsum(values) / len(values)
    positive = sum(value > 0 for value in values)
    if n < 2:
        return SeedSpread(mean, None, None, positive, n)
    error = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    from scipy import special

    half = float(special.stdtrit(n - 1, 0.5 + confidence / 2.0)) * error
    t = abs(mean) / error if error > abs(mean) * _TIE else (math.inf if mean else 0.0)
    p = float(2.0 * special.stdtr(n - 1, -t))
    return SeedSpread(mean, Interval(mean - half, mean + half), p, positive, n)


@dataclass(frozen=True)
class SeedTest:
    """A difference over seeds: Student's t where it can hold, and the exact sign-flip p beside it."""

    mean: float
    ci: Interval | None
    """Of the t test; None where that is refused."""
    p: float | None
    p_exact: float | None
    """Exact sign-flip p; None with one seed."""
    refusal: str
    """Why there is no t test; empty where there is one."""
    num_positive: int
    n: int


def difference_over_seeds(values: Sequence[float]) -> SeedTest:
    """Test whether a difference, one value a seed, is zero on average; raises ``ValueError`` without values.

    Student's t asks for values that scatter like a normal variable: it is refused for fewer than three seeds, for equal
    differences, and for differences that fall into two groups far apart.
    """
    spread = spread_over_seeds(values)
    refusal = t_refusal(values)
    exact = exact_sign_flip_p(values) if len(values) > 1 else None
    ci, p = (None, None) if refusal else (spread.ci, spread.p)
    return SeedTest(spread.mean, ci, p, exact, refusal, spread.num_positive, spread.n)


def t_refusal(values: Sequence[float]) -> str:
    """Return why Student's t cannot hold for one value a seed; empty where it can."""
    if len(values) < _FEWEST_FOR_T:
        return f"{len(values)} seed{'s' if len(values) != 1 else ''}"
    ordered = sorted(values)
    size = ordered[-1] - ordered[0]
    if size <= _TIE * max(1.0, abs(ordered[-1])):
        return "equal differences"
    gaps = [(high - low) / size for low, high in pairwise(ordered[1:-1])]
    return "two groups of differences far apart" if gaps and max(gaps) > _GAP_OF_GROUPS else ""


def sign_flips_of_several(values: Sequence[float]) -> float | None:
    """Return :func:`exact_sign_flip_p`; None with fewer than five values, whose smallest p is 0.125."""
    return exact_sign_flip_p(values) if len(values) >= FEWEST_FOR_SIGN_FLIPS else None


def exact_sign_flip_p(values: Sequence[float]) -> float:
    """Return the two-sided p over all sign assignments: how often a mean is as far from zero as the observed one.

    Exact up to ``_MOST_ENUMERATED`` values, beyond that by random signs (:func:`sign_flip_p`). The smallest p of n
    values is 2 / 2^n: with five seeds 0.0625.
    """
    sizes = np.abs(np.array(values, dtype=np.float64))
    if len(sizes) > _MOST_ENUMERATED:
        return sign_flip_p([np.array(values, dtype=np.float64)], seed=0)
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    observed = abs(math.fsum(values))
    return float(np.mean(np.abs(sums) >= observed - _TIE * max(1.0, float(sizes.sum()))))
