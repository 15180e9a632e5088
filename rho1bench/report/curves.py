"""Numbers behind the curves: losses against tokens (paper figure 6) and accuracy against tokens (figure 1).

Reads ``metrics.jsonl`` of the pretraining stages and the samples of the checkpoints along the way; ``figures`` draws
what this module returns, ``summary`` writes it down.
"""

from __future__ import annotations

from collections.abc import Sequence

from rho1bench.comparison.accuracy_points import AccuracyPoint, PointSource, common_documents, strata_of
from rho1bench.comparison.equal_flops import ArmCost, Curve, EqualFlops, at_equal_flops
from rho1bench.comparison.run_summary import TrajectoryPoint
from rho1bench.comparison.tokens_to_baseline import TokensToBaseline, tokens_to_baseline
from rho1bench.comparison.training_curves import Points


def rolling_mean(points: Sequence[tuple[float, float]], window: int) -> Points:
    """Smooth a curve by the centred mean over ``window`` points (odd; narrower at the ends)."""
    half = window // 2
    smooth = []
    for index, (x, _) in enumerate(points):
        reach = min(half, index, len(points) - 1 - index)
        part = points[index - reach : index + reach + 1]
        smooth.append((x, sum(y for _, y in part) / len(part)))
    return smooth


def read_speedup(
    suite: str, sources: Sequence[PointSource], treatment: str, baseline: str, *, seed: int
) -> TokensToBaseline | None:
    """Read after how many tokens ``treatment`` scores what ``baseline`` ends with; None without both curves."""
    curve = [source for source in sources if source.stage == treatment]
    last = [source for source in sources if source.stage == baseline][-1:]
    if len(curve) < 2 or not last or last[0].tokens == 0:
        return None
    doc_ids = common_documents(suite, [source.scores for source in sources])
    return tokens_to_baseline(
        [source.tokens for source in curve],
        [strata_of(source.scores, doc_ids) for source in curve],
        strata_of(last[0].scores, doc_ids),
        last[0].tokens,
        seed=seed,
    )


def read_equal_flops(
    suite: str, sources: Sequence[PointSource], sides: tuple[str, str], costs: tuple[ArmCost, ArmCost], *, seed: int
) -> EqualFlops:
    """Compare treatment and baseline, both with curves, after as many operations as the cheaper one took in all."""
    doc_ids = common_documents(suite, [source.scores for source in sources])
    found = []
    for side, cost in zip(sides, costs, strict=True):
        points = [source for source in sources if source.stage == side]
        strata = [strata_of(source.scores, doc_ids) for source in points]
        found.append(Curve([source.tokens for source in points], strata, cost))
    return at_equal_flops(found[0], found[1], seed=seed)


def trajectory_point(suite: str, point: AccuracyPoint, cost: ArmCost | None) -> TrajectoryPoint:
    """Return one entry of summary.json's ``trajectory``; ``cost`` is its stage's."""
    return TrajectoryPoint(
        label=point.label,
        stage=point.stage,
        step=point.step,
        tokens=point.tokens,
        selected_tokens=point.selected_tokens,
        flops=None if cost is None else cost.at(point.tokens),
        suite=suite,
        average=point.average,
        ci=(point.ci.low, point.ci.high) if point.ci else None,
        n=point.n,
        tasks=dict(point.tasks),
    )
