"""Accuracy against training tokens from the curves of records (paper figure 1): numbers only, ``pages.html`` draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rho1bench.leaderboard.records.record_summary import PointSummary, RecordSummary
from rho1bench.rendering.numbers import label_name

MOST_FIGURES = 24


@dataclass(frozen=True)
class Point:
    """The average of the suite, in percent, after ``tokens``; low and high are of the band around it."""

    tokens: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One stage of a recipe; over several seeds the mean, and the band goes from the lowest to the highest."""

    name: str
    num_seeds: int
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Figure:
    """A treatment and its baseline (or a stage alone) of one recipe on one suite."""

    recipe: str
    suite: str
    n: int
    """Documents of all tasks behind each point."""
    lines: tuple[Line, ...]


def accuracy_figures(
    records: Sequence[RecordSummary], by_id: Mapping[str, RecordSummary]
) -> tuple[tuple[Figure, ...], int]:
    """Return one figure a pair of stages, and how many more there would be beyond ``MOST_FIGURES``."""
    curves: dict[_Stage, list[RecordSummary]] = {}
    baselines: dict[_Stage, _Stage] = {}
    for record in records:
        stage = _stage(record)
        if stage is None or len(record.curve) < 2 or not record.counts:
            continue
        curves.setdefault(stage, []).append(record)
        baseline = by_id.get(record.comparison.baseline) if record.comparison else None
        if baseline is not None and (other := _stage(baseline)):
            baselines[stage] = other
    paired = {stage for pair in baselines.items() for stage in pair}
    chosen = sorted(stage for stage in curves if stage in baselines or stage not in paired)
    return (
        tuple(_figure([stage, baselines.get(stage)], curves) for stage in chosen[:MOST_FIGURES]),
        len(chosen[MOST_FIGURES:]),
    )


_Stage = tuple[str, str, str, str]
"""Suite, recipe, hash of the recipe, stage."""


def _stage(record: RecordSummary) -> _Stage | None:
    training = record.training
    return (record.suite, training.recipe, training.recipe_sha256, training.stage) if training else None


def _figure(stages: Sequence[_Stage | None], curves: Mapping[_Stage, Sequence[RecordSummary]]) -> Figure:
    lines = tuple(_line(stage[-1], curves[stage]) for stage in stages if stage and stage in curves)
    assert stages[0] is not None
    return Figure(stages[0][1], stages[0][0], curves[stages[0]][0].curve[0].n, lines)


def _line(stage: str, records: Sequence[RecordSummary]) -> Line:
    by_tokens: dict[int, list[Point]] = {}
    for record in records:
        for point in record.curve:
            by_tokens.setdefault(point.tokens, []).append(_point(point))
    # A point that some seeds lack would make the mean jump.
    whole = [points for points in by_tokens.values() if len(points) == len(records)]
    return Line(label_name(stage), len(records), tuple(sorted(map(_mean, whole), key=lambda point: point.tokens)))


def _point(point: PointSummary) -> Point:
    return Point(point.tokens, 100.0 * point.score, 100.0 * point.ci[0], 100.0 * point.ci[1])


def _mean(points: Sequence[Point]) -> Point:
    if len(points) == 1:
        return points[0]
    values = [point.value for point in points]
    return Point(points[0].tokens, math.fsum(values) / len(values), min(values), max(values))
