"""A difference over training seeds and test documents at once: its spread, interval, p, and whether it is negligible.

Place in the pipeline: ``contest`` (many arms) and ``power`` call this module. Every seed's model answers the same
documents, so that seeds and documents are crossed random effects (Owen 2007, "The pigeonhole bootstrap"): the
difference of treatment and baseline on document d after training with seed s is ``mean + seed[s] + document[d] +
residual[s, d]``, and the variance of the mean over S seeds and n documents is ``seed²/S + document²/n +
residual²/(S n)``.

Resampling seeds with replacement needs many of them: of three seeds a ninth of the resamples hold one seed alone, and
percentile intervals cover far less than they say. Instead the parts are estimated without bias, documents within their
tasks, and half the width of the interval is the root of the parts' own half widths squared and added, each with
Student's t of its own degrees of freedom (the modified-large-sample interval of Graybill and Wang 1980): S - 1 for
seeds, Satterthwaite's over the tasks for documents. It covers at least what it says, where Satterthwaite's degrees of
freedom for the sum cover 92% for 95% with three seeds. p is the level whose interval just touches zero.
With one seed and one task this is the paired t test over documents, with one seed and several tasks Welch's.

A *stratum* holds one task's differences, shape ``(..., S, n)``: further axes in front are independent cases, computed
at once. The mean of several strata is the plain mean of their means. Tasks are fixed: the numbers speak of these tasks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rho1bench.comparison.statistics import Values

FEWEST_SEEDS = 3
"""Seeds from which on an interval can speak of seeds; with fewer it speaks of the documents alone."""
_TIE = 1e-12
_HALVINGS = 50
_LEAST_P = 1e-100


@dataclass(frozen=True)
class CrossedMean:
    """The mean of a difference, and the parts of its variance; arrays of the cases' shape."""

    mean: Values
    seeds_variance: Values
    """Of the mean, from the spread between the seeds' means; 0 with fewer than ``FEWEST_SEEDS``."""
    documents_variance: Values
    """Of the mean, from the spread between documents, each averaged over the seeds."""
    residual_variance: Values
    """Of the mean, from what is left; both of the above hold it. 0 with one seed, which cannot tell it apart."""
    documents_df: Values
    """Satterthwaite's degrees of freedom over the tasks; infinite where documents do not differ."""
    num_seeds: int
    num_documents: int

    @property
    def over_seeds(self) -> bool:
        """False: there are too few seeds to speak of others, interval and p are of the documents alone."""
        return self.num_seeds >= FEWEST_SEEDS

    def at(self, index: int) -> CrossedMean:
        """Return one of several cases along the only axis."""
        return replace(
            self,
            mean=self.mean[index],
            seeds_variance=self.seeds_variance[index],
            documents_variance=self.documents_variance[index],
            residual_variance=self.residual_variance[index],
            documents_df=self.documents_df[index],
        )


def crossed_mean(strata: Sequence[Values]) -> CrossedMean:
    """Return the mean of ``strata``, arrays of shape (..., S, n_t) with one S, and the parts of its variance.

    Raises ``ValueError`` without strata, for unequal numbers of seeds, and for a task of fewer than two documents.
    """
    _check(strata)
    num_seeds = strata[0].shape[-2]
    means = np.stack([values.mean(axis=-1) for values in strata]).mean(axis=0)  # (..., S)
    tiny = np.square(_TIE * np.maximum(1.0, np.abs(means).max(axis=-1)))
    documents, df = _documents_variance(strata, tiny)
    residual = _residual_variance(strata) if num_seeds > 1 else np.zeros_like(documents)
    seeds = means.var(axis=-1, ddof=1) / num_seeds if num_seeds >= FEWEST_SEEDS else np.zeros_like(documents)
    return CrossedMean(
        mean=means.mean(axis=-1),
        seeds_variance=np.where(seeds > tiny, seeds, 0.0),
        documents_variance=documents,
        residual_variance=np.where(residual > tiny, residual, 0.0),
        documents_df=df,
        num_seeds=num_seeds,
        num_documents=sum(values.shape[-1] for values in strata),
    )


def _check(strata: Sequence[Values]) -> None:
    if not strata:
        raise ValueError("a mean needs at least one task")
    if len({values.shape[:-1] for values in strata}) != 1:
        raise ValueError("every task needs the same seeds")
    if strata[0].shape[-2] < 1 or any(values.shape[-1] < 2 for values in strata):
        raise ValueError("the spread over documents needs a seed, and at least two documents in every task")


def _documents_variance(strata: Sequence[Values], tiny: Values) -> tuple[Values, Values]:
    """Return the variance of the mean over documents averaged over seeds, and its degrees of freedom."""
    parts = np.stack(
        [values.mean(axis=-2).var(axis=-1, ddof=1) / (values.shape[-1] * len(strata) ** 2) for values in strata]
    )
    freedoms = np.array([values.shape[-1] - 1 for values in strata])
    variance = parts.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = variance**2 / np.tensordot(1.0 / freedoms, parts**2, axes=1)
    return np.where(variance > tiny, variance, 0.0), np.where(variance > tiny, df, np.inf)


def _residual_variance(strata: Sequence[Values]) -> Values:
    """Return the variance of the mean from what neither seed nor document explains, task by task."""
    total: Values = np.zeros(strata[0].shape[:-2])
    for values in strata:
        num_seeds, size = values.shape[-2:]
        by_seed, by_document = values.mean(axis=-1, keepdims=True), values.mean(axis=-2, keepdims=True)
        centred = values - by_seed - by_document + values.mean(axis=(-2, -1), keepdims=True)
        square = np.square(centred).sum(axis=(-2, -1)) / ((num_seeds - 1) * (size - 1))
        total = total + square / (num_seeds * size * len(strata) ** 2)
    return total


def half_width(found: CrossedMean, confidence: float = 0.95) -> Values:
    """Return half the width of the interval around the mean."""
    return reach(found, (1.0 - confidence) / 2.0)


def reach(found: CrossedMean, tail: float | Values) -> Values:
    """Return how far from its true value the mean is found with the chance ``tail`` to each side."""
    from scipy import special

    documents = np.square(special.stdtrit(found.documents_df, tail))
    both = documents * found.documents_variance
    if found.over_seeds:
        seeds = np.square(special.stdtrit(found.num_seeds - 1, tail))
        own = np.maximum(found.documents_variance - found.residual_variance, 0.0)
        both = np.maximum(seeds * found.seeds_variance + documents * own, both)
    width: Values = np.sqrt(both)
    return width


def p_value(found: CrossedMean) -> Values:
    """Return the two-sided p that the mean is zero; without any spread 1 for a mean of zero, else NaN (no test)."""
    return 2.0 * _tail(found, np.abs(found.mean), without_spread=np.where(np.abs(found.mean) < _TIE, 0.5, np.nan))


def equivalence_p(found: CrossedMean, margin: float) -> Values:
    """Return the p of two one-sided tests that the mean lies within ``margin`` of zero, the larger of the two.

    Small: the difference is negligible (Schuirmann 1987). Without any spread NaN. Raises ``ValueError`` for a margin
    that is not above zero.
    """
    if not margin > 0.0:
        raise ValueError(f"a margin is above zero, not {margin}")
    return _tail(found, margin - np.abs(found.mean), without_spread=np.full(found.mean.shape, np.nan))


def _tail(found: CrossedMean, distance: Values, without_spread: Values) -> Values:
    """Return the chance of a mean that is ``distance`` and more above its true value: where ``reach`` is as long."""
    low, high = np.full(found.mean.shape, math.log(_LEAST_P)), np.full(found.mean.shape, math.log(0.5))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        is_short = reach(found, np.exp(middle)) < np.abs(distance)
        low, high = np.where(is_short, low, middle), np.where(is_short, middle, high)
    tail = np.exp((low + high) / 2.0)
    tails: Values = np.where(distance >= 0.0, tail, 1.0 - tail)
    spread = found.seeds_variance + found.documents_variance
    return np.where(spread > 0.0, tails, without_spread)


@dataclass(frozen=True)
class Spread:
    """Standard deviations of a difference: between seeds, between documents, and of a document after one training.

    They belong to a suite as it is (the shares of its tasks), in the unit of its scores.
    """

    seeds: float
    documents: float
    residual: float

    def parts(self, num_seeds: int, num_documents: int) -> tuple[float, float, float]:
        """Return the expected parts of the variance of a mean: of seeds, of documents, and what both hold."""
        residual = self.residual**2 / (num_seeds * num_documents)
        return self.seeds**2 / num_seeds + residual, self.documents**2 / num_documents + residual, residual


def spread_of(found: CrossedMean) -> Spread:
    """Return the spread behind one mean (no further axes), negative estimates as 0.

    With fewer than three seeds nothing is known of seeds, and with one the spread of documents holds the residual.
    """
    seeds, documents, residual = (
        float(part) for part in (found.seeds_variance, found.documents_variance, found.residual_variance)
    )
    s, n = found.num_seeds, found.num_documents
    return Spread(
        seeds=math.sqrt(max(0.0, s * (seeds - residual))),
        documents=math.sqrt(max(0.0, n * (documents - residual))),
        residual=math.sqrt(n * s * residual),
    )
