"""Averages of a suite at checkpoints along the way, on the documents that all of them answered (paper figures 1, 7).

Read by the report and by the analyses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rho1bench.comparison.eval_results import LabelScores, common_doc_ids
from rho1bench.comparison.intervals import Interval
from rho1bench.comparison.statistics import Values, bootstrap_interval, stratified_mean
from rho1bench.errors import DataError


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


def accuracy_points(suite: str, sources: Sequence[PointSource], *, seed: int) -> list[AccuracyPoint]:
    """Return the suite's average at every source, on common documents, with a bootstrap interval.

    Raises ``DataError`` where a task has no common document.
    """
    doc_ids = common_documents(suite, [source.scores for source in sources])
    points = []
    for source in sources:
        strata = strata_of(source.scores, doc_ids)
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


def common_documents(suite: str, checkpoints: Sequence[LabelScores]) -> dict[str, list[str]]:
    """Return ``{task: doc_ids}`` that every checkpoint was evaluated on."""
    documents = {}
    for task in checkpoints[0].suites[suite]:
        doc_ids = common_doc_ids([checkpoint.tasks[task] for checkpoint in checkpoints])
        if not doc_ids:
            names = ", ".join(checkpoint.label for checkpoint in checkpoints)
            raise DataError(f"{task}: the checkpoints {names} share no document; evaluate them on the same ones.")
        documents[task] = doc_ids
    return documents


def strata_of(scores: LabelScores, doc_ids: Mapping[str, Sequence[str]]) -> list[Values]:
    """Return the scores of one checkpoint, task by task, on ``doc_ids``."""
    return [scores.tasks[task].values(ids) for task, ids in doc_ids.items()]
