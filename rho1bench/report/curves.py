"""Numbers behind the curves: losses against tokens (paper figure 6) and accuracy against tokens (figure 1).

Reads ``metrics.jsonl`` of the pretraining stages and the samples of the checkpoints along the way; ``figures`` draws
what this module returns, ``summary`` writes it down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rho1bench.comparison.equal_flops import ArmCost, Curve, EqualFlops, at_equal_flops
from rho1bench.comparison.eval_results import LabelScores, common_doc_ids
from rho1bench.comparison.intervals import Interval
from rho1bench.comparison.run_summary import TrajectoryPoint
from rho1bench.comparison.statistics import Values, bootstrap_interval, stratified_mean
from rho1bench.comparison.tokens_to_baseline import TokensToBaseline, tokens_to_baseline
from rho1bench.errors import DataError
from rho1bench.system.files import read_jsonl

LOSSES = ("loss_selected", "loss_unselected", "validation_loss", "loss_all")
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class AccuracyPoint:
    """A suite's average at one checkpoint, on the documents that all points of the figure share."""

    label: str
    stage: str
    """The stage whose curve the point lies on."""
    step: int
    tokens: int
    """Tokens that this stage had processed, 0 for the checkpoint it started from."""
    selected_tokens: int
    average: float
    ci: Interval | None
    tasks: Mapping[str, float]
    n: int


@dataclass(frozen=True)
class PointSource:
    """One checkpoint of a curve before its average is known."""

    stage: str
    step: int
    tokens: int
    selected_tokens: int
    scores: LabelScores


def read_losses(folder: Path) -> dict[str, Points]:
    """Return ``{loss name: [(tokens, nats), ...]}`` of a pretraining stage, without what was not measured."""
    path = folder / "metrics.jsonl"
    try:
        rows = read_jsonl(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not the metrics of a training stage ({error!r}). Run the stage again.") from error
    curves = {
        name: [(float(row["tokens"]), float(row[name])) for row in rows if row.get(name) is not None] for name in LOSSES
    }
    return {name: points for name, points in curves.items() if points}


def rolling_mean(points: Sequence[tuple[float, float]], window: int) -> Points:
    """Smooth a curve by the centred mean over ``window`` points (odd; narrower at the ends)."""
    half = window // 2
    smooth = []
    for index, (x, _) in enumerate(points):
        reach = min(half, index, len(points) - 1 - index)
        part = points[index - reach : index + reach + 1]
        smooth.append((x, sum(y for _, y in part) / len(part)))
    return smooth


def accuracy_points(suite: str, sources: Sequence[PointSource], *, seed: int) -> list[AccuracyPoint]:
    """Return the suite's average at every source, on common documents, with a bootstrap interval.

    Raises ``DataError`` where a task has no common document.
    """
    doc_ids = _common_documents(suite, [source.scores for source in sources])
    points = []
    for source in sources:
        strata = _strata(source.scores, doc_ids)
        points.append(
            AccuracyPoint(
                label=source.scores.label,
                stage=source.stage,
                step=source.step,
                tokens=source.tokens,
                selected_tokens=source.selected_tokens,
                average=stratified_mean(strata),
                ci=bootstrap_interval(strata, seed=seed),
                tasks={task: stratified_mean([values]) for task, values in zip(doc_ids, strata, strict=True)},
                n=sum(len(values) for values in strata),
            )
        )
    return points


def read_speedup(
    suite: str, sources: Sequence[PointSource], treatment: str, baseline: str, *, seed: int
) -> TokensToBaseline | None:
    """Read after how many tokens ``treatment`` scores what ``baseline`` ends with; None without both curves."""
    curve = [source for source in sources if source.stage == treatment]
    last = [source for source in sources if source.stage == baseline][-1:]
    if len(curve) < 2 or not last or last[0].tokens == 0:
        return None
    doc_ids = _common_documents(suite, [source.scores for source in sources])
    return tokens_to_baseline(
        [source.tokens for source in curve],
        [_strata(source.scores, doc_ids) for source in curve],
        _strata(last[0].scores, doc_ids),
        last[0].tokens,
        seed=seed,
    )


def read_equal_flops(
    suite: str, sources: Sequence[PointSource], sides: tuple[str, str], costs: tuple[ArmCost, ArmCost], *, seed: int
) -> EqualFlops:
    """Compare treatment and baseline, both with curves, after as many operations as the cheaper one took in all."""
    doc_ids = _common_documents(suite, [source.scores for source in sources])
    found = []
    for side, cost in zip(sides, costs, strict=True):
        points = [source for source in sources if source.stage == side]
        strata = [_strata(source.scores, doc_ids) for source in points]
        found.append(Curve([source.tokens for source in points], strata, cost))
    return at_equal_flops(found[0], found[1], seed=seed)


def _common_documents(suite: str, checkpoints: Sequence[LabelScores]) -> dict[str, list[str]]:
    """Return ``{task: doc_ids}`` that every checkpoint was evaluated on."""
    documents = {}
    for task in checkpoints[0].suites[suite]:
        doc_ids = common_doc_ids([checkpoint.tasks[task] for checkpoint in checkpoints])
        if not doc_ids:
            names = ", ".join(checkpoint.label for checkpoint in checkpoints)
            raise DataError(f"{task}: the checkpoints {names} share no document; evaluate them on the same ones.")
        documents[task] = doc_ids
    return documents


def _strata(scores: LabelScores, doc_ids: Mapping[str, Sequence[str]]) -> list[Values]:
    return [scores.tasks[task].values(ids) for task, ids in doc_ids.items()]


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
