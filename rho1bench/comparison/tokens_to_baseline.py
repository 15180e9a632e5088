"""Tokens to the baseline's accuracy: after how many training tokens the treatment scores what the baseline ends with.

Paper figure 1 and abstract ("5x to 10x fewer tokens"). Reads the scores of checkpoints along the way; used by
``report`` and ``leaderboard`` for the accuracy curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rho1bench.comparison.intervals import Interval
from rho1bench.comparison.statistics import Values


@dataclass(frozen=True)
class TokensToBaseline:
    """The reading; tokens count everything processed, selected or not."""

    target: float
    """The baseline's final suite average, 0 to 1."""
    tokens: float | None
    """Interpolated; None where the treatment never gets there."""
    at_first_point: bool
    """True: the first evaluated checkpoint is already there, so ``tokens`` is an upper bound."""
    share: float | None
    """``tokens`` as a share of the baseline's own tokens."""
    share_ci: tuple[float, float | None] | None
    """Bootstrap interval of ``share`` over documents; an upper end of None means that it may never get there."""
    num_checkpoints: int
    n: int


def tokens_to_reach(tokens: Sequence[float], averages: Sequence[float], target: float) -> float | None:
    """Return where the piecewise linear curve first reaches ``target``; None where it does not.

    ``tokens`` ascend. A curve that starts at or above the target reaches it at its first point.
    """
    for index, average in enumerate(averages):
        if average >= target:
            if index == 0:
                return tokens[0]
            before = averages[index - 1]
            part = (target - before) / (average - before)
            return tokens[index - 1] + part * (tokens[index] - tokens[index - 1])
    return None


def tokens_to_baseline(
    tokens: Sequence[int],
    treatment: Sequence[Sequence[Values]],
    baseline: Sequence[Values],
    baseline_tokens: int,
    *,
    seed: int,
    num_resamples: int = 2000,
    confidence: float = 0.95,
) -> TokensToBaseline:
    """Read the speed-up off the treatment's curve.

    ``treatment[c][t]``: scores of checkpoint ``c`` (at ``tokens[c]``, ascending) on task ``t``, shape (n_t,);
    ``baseline[t]``: the final baseline's scores on the same documents in the same order. The interval resamples
    documents within each task, the same draw for all checkpoints and the baseline.
    """
    target = float(np.mean([values.mean() for values in baseline]))
    averages = [float(np.mean([values.mean() for values in checkpoint])) for checkpoint in treatment]
    reached = tokens_to_reach(tokens, averages, target)
    shares = _resampled_shares(tokens, treatment, baseline, baseline_tokens, seed, num_resamples)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(shares, [tail, 1.0 - tail], method="inverted_cdf")
    interval = Interval(float(low), float(high))
    share = None if reached is None else reached / baseline_tokens
    return TokensToBaseline(
        target=target,
        tokens=reached,
        at_first_point=averages[0] >= target,
        share=share,
        share_ci=_holding(interval, share),
        num_checkpoints=len(tokens),
        n=sum(len(values) for values in baseline),
    )


def _holding(interval: Interval, share: float | None) -> tuple[float, float | None] | None:
    """Widen the interval to hold its own point; None where not even the low end is finite."""
    low = interval.low if share is None else min(interval.low, share)
    high = interval.high if share is None else max(interval.high, share)
    if not np.isfinite(low):
        return None
    return low, high if share is not None and np.isfinite(high) else None


def _resampled_shares(
    tokens: Sequence[int],
    treatment: Sequence[Sequence[Values]],
    baseline: Sequence[Values],
    baseline_tokens: int,
    seed: int,
    num_resamples: int,
) -> Values:
    """Shares of shape (num_resamples,); infinite where the resampled curve does not reach the target."""
    generator = np.random.default_rng(seed)
    averages = np.zeros((num_resamples, len(tokens) + 1))
    for task, target_scores in enumerate(baseline):
        scores_CN = np.stack([*(checkpoint[task] for checkpoint in treatment), target_scores])
        size = scores_CN.shape[1]
        draws_RN = generator.multinomial(size, np.full(size, 1.0 / size), size=num_resamples)
        averages += draws_RN @ scores_CN.T / size / len(baseline)
    shares = np.empty(num_resamples)
    for index, row in enumerate(averages.tolist()):
        reached = tokens_to_reach(tokens, row[:-1], row[-1])
        shares[index] = np.inf if reached is None else reached / baseline_tokens
    return shares
