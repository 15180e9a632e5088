"""Quality at equal operations: what reference and scoring cost, set against the baseline's own training.

Place in the pipeline: ``report`` and the leaderboard's records read curves (checkpoints along the way, paper figure 1)
and the costs of ``comparison.costs``. Two readings: the tokens to the baseline's accuracy with everything counted that
the treatment needed, and both arms' scores after the same number of operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rho1bench.comparison.costs import CheckpointCost
from rho1bench.comparison.differences import ScoreDifference, compare_scores
from rho1bench.comparison.result_files import ResultModel
from rho1bench.comparison.statistics import Values
from rho1bench.comparison.tokens_to_baseline import TokensToBaseline


@dataclass(frozen=True)
class ArmCost:
    """Operations of one arm: before its training, and of its training on ``tokens``."""

    ahead: float
    training: float
    tokens: int

    @property
    def total(self) -> float:
        """All of them."""
        return self.ahead + self.training

    def at(self, tokens: float) -> float:
        """Return the operations up to the point where the arm has read ``tokens``; a token costs the same all along."""
        return self.ahead + self.training * tokens / self.tokens


def arm_cost(cost: CheckpointCost | None, tokens: int | None) -> ArmCost | None:
    """Return an arm's operations; None where some are not known, or it did not train."""
    if cost is None or cost.own is None or cost.own.flops is None or cost.ahead_flops is None or not tokens:
        return None
    return ArmCost(cost.ahead_flops, cost.own.flops, tokens) if cost.own.flops > 0 else None


class CountedTokens(ResultModel):
    """Tokens to the baseline's accuracy when the treatment's reference and scoring count."""

    ahead_share: float
    """What the treatment needed before its training, as a share of the baseline's cost."""
    flops: float | None
    """Operations up to the baseline's accuracy; None where the treatment never gets there."""
    tokens: float | None
    """Tokens that the baseline trains on with as many operations."""
    share: float | None
    """``flops`` as a share of the baseline's cost."""
    share_ci: tuple[float, float | None] | None
    """Bootstrap interval over documents; an upper end of None means that it may never get there."""


def counted_tokens(reading: TokensToBaseline, treatment: ArmCost, baseline: ArmCost) -> CountedTokens:
    """Return the same reading with costs counted."""

    def share(of_tokens: float) -> float:
        return treatment.at(of_tokens * baseline.tokens) / baseline.total

    flops = None if reading.tokens is None else treatment.at(reading.tokens)
    bounds = reading.share_ci
    return CountedTokens(
        ahead_share=treatment.ahead / baseline.total,
        flops=flops,
        tokens=None if flops is None else flops * baseline.tokens / baseline.training,
        share=None if flops is None else flops / baseline.total,
        share_ci=None if bounds is None else (share(bounds[0]), None if bounds[1] is None else share(bounds[1])),
    )


@dataclass(frozen=True)
class Curve:
    """Checkpoints of one arm by tokens, ascending; ``strata[c][t]``: checkpoint c's scores on task t, shape (n_t,)."""

    tokens: Sequence[float]
    strata: Sequence[Sequence[Values]]
    cost: ArmCost


class EqualFlops(ResultModel):
    """Both arms after the same number of operations: as many as the cheaper one took in all."""

    flops: float
    treatment_tokens: float | None
    """Of its own training; None where its reference and scoring alone took more."""
    baseline_tokens: float | None
    scores: ScoreDifference | None
    """Between checkpoints along the way, document by document; None where an arm had not begun."""


def at_equal_flops(treatment: Curve, baseline: Curve, *, seed: int) -> EqualFlops:
    """Compare two arms on the same documents after as many operations as the cheaper one took in all.

    Scores between two checkpoints are interpolated for each document. A checkpoint along the way has not finished its
    learning-rate schedule, so that this favours the arm that is read at its end.
    """
    flops = min(treatment.cost.total, baseline.cost.total)
    tokens = [_tokens_at(curve, flops) for curve in (treatment, baseline)]
    scores = None
    if tokens[0] is not None and tokens[1] is not None:
        left, right = _scores_at(treatment, tokens[0]), _scores_at(baseline, tokens[1])
        scores = compare_scores(list(zip(left, right, strict=True)), seed=seed)
    return EqualFlops(flops=flops, treatment_tokens=tokens[0], baseline_tokens=tokens[1], scores=scores)


def _tokens_at(curve: Curve, flops: float) -> float | None:
    """Return the tokens that an arm has read after ``flops``; None before its first evaluated checkpoint."""
    cost, last = curve.cost, curve.tokens[-1]
    if flops >= cost.at(last):
        return last
    tokens = (flops - cost.ahead) / cost.training * cost.tokens
    return tokens if tokens >= curve.tokens[0] else None


def _scores_at(curve: Curve, tokens: float) -> list[Values]:
    for index in range(1, len(curve.tokens)):
        if tokens <= curve.tokens[index]:
            before, after = curve.tokens[index - 1], curve.tokens[index]
            part = (tokens - before) / (after - before)
            pairs = zip(curve.strata[index - 1], curve.strata[index], strict=True)
            return [(1.0 - part) * left + part * right for left, right in pairs]
    return list(curve.strata[-1])
