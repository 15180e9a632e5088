"""Accuracies beside losses and ratios: figures 7 and 9 of the paper, from an evaluation of the same run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rho1bench.analysis.checkpoints import Curve
from rho1bench.analysis.loss_fit import LossFit, fit_log
from rho1bench.analysis.results import AccuracyAt, AccuracyByLoss, AccuracyByRatio, Fit, RatioPoint, SplitLosses
from rho1bench.comparison.accuracy_points import PointSource, accuracy_points
from rho1bench.comparison.eval_results import LabelScores, labels, read_label, read_results
from rho1bench.errors import DataError
from rho1bench.recipe import PretrainStage, Recipe

_CURVE_POINTS = 41


def suite_along_the_way(evaluation: Path) -> str | None:
    """Return the first suite on which checkpoints along the way were evaluated; None where none was."""
    along = [label for label in labels(evaluation) if "@" in label]
    return next(iter(read_results(evaluation, along[0]).suites), None) if along else None


def check_suite(evaluation: Path, suite: str | None) -> None:
    """Raise DataError for a suite that no checkpoint was evaluated on."""
    known = dict.fromkeys(name for label in labels(evaluation) for name in read_results(evaluation, label).suites)
    if suite is not None and suite not in known:
        raise DataError(f"{evaluation}: nothing was evaluated on {suite!r}; suites: {', '.join(known) or 'none'}.")


def accuracy_by_loss(
    evaluation: Path, suite: str, curves: Sequence[Curve], losses: Sequence[SplitLosses], seed: int
) -> AccuracyByLoss | None:
    """Return accuracies of the curves' checkpoints on common documents beside their losses; None without a point.

    Raises DataError where the checkpoints share no document of a task.
    """
    found = set(labels(evaluation))
    sources, beside = [], []
    scores: dict[str, LabelScores] = {}
    for curve, split in zip(curves, losses, strict=True):
        for place, checkpoint in enumerate(curve.checkpoints):
            if checkpoint.label not in found:
                continue
            scores.setdefault(checkpoint.label, read_label(evaluation, checkpoint.label))
            if suite in scores[checkpoint.label].suites:
                at = checkpoint.place
                sources.append(PointSource(curve.stage.name, at.step, at.tokens, 0, scores[checkpoint.label]))
                beside.append((split.selected[place], split.unselected[place]))
    if not sources:
        return None
    averages = accuracy_points(suite, sources, seed=seed)
    points = [
        AccuracyAt(stage=one.stage, tokens=one.tokens, accuracy=one.average, selected=selected, unselected=unselected)
        for one, (selected, unselected) in zip(averages, beside, strict=True)
    ]
    fits = [fit for fit in (_fit("selected", points), _fit("unselected", points)) if fit is not None]
    return AccuracyByLoss(suite=suite, num_documents=averages[0].n, points=points, fits=fits)


def _fit(of: str, points: Sequence[AccuracyAt]) -> Fit | None:
    """Fit one law through all points; a checkpoint that two curves start from counts once."""
    pairs = {(point.selected if of == "selected" else point.unselected, point.accuracy) for point in points}
    known = sorted((loss, accuracy) for loss, accuracy in pairs if loss is not None)
    fit = fit_log([loss for loss, _ in known], [accuracy for _, accuracy in known])
    if fit is None:
        return None
    return Fit(
        of="selected" if of == "selected" else "unselected",
        a=fit.a,
        a_ci=fit.interval_of(0),
        c=fit.c,
        c_ci=fit.interval_of(1),
        r_squared=fit.r_squared,
        num_points=fit.num_points,
        curve=_drawn(fit, known[0][0], known[-1][0]),
    )


def _drawn(fit: LossFit, first: float, last: float) -> list[tuple[float, float, float, float]]:
    return [(loss, fit.at(loss), *fit.band(loss)) for loss in np.linspace(first, last, _CURVE_POINTS).tolist()]


def accuracy_by_ratio(
    recipe: Recipe, evaluation: Path, suite: str | None, stage: PretrainStage
) -> AccuracyByRatio | None:
    """Return the accuracies of the variants of ``stage``'s matrix that differ in the ratio of one rule alone.

    The variant without a selection is the ratio 1. None where fewer than two ratios were trained and evaluated.
    """
    rule = None if stage.selection is None else stage.selection.score
    if stage.variant is None or stage.selection is None or rule is None or stage.selection.fixed_ratio is None:
        return None
    found = set(labels(evaluation))
    points: dict[float, dict[str, float]] = {}
    shown = suite
    for other in recipe.stages_of(PretrainStage):
        if other.name not in found or (ratio := _ratio_beside(stage, other)) is None:
            continue
        suites = read_results(evaluation, other.name).suites
        shown = shown or next(iter(suites), None)
        if shown in suites:
            points.setdefault(ratio, {})[other.name] = suites[shown].average
    if len(points) < 2 or shown is None:
        return None
    ordered = [RatioPoint(ratio=ratio, accuracies=points[ratio]) for ratio in sorted(points)]
    return AccuracyByRatio(suite=shown, rule=rule, points=ordered)


def _ratio_beside(stage: PretrainStage, other: PretrainStage) -> float | None:
    """Return the ratio of a stage that differs from ``stage`` in ratio and seed alone; None for others."""
    if stage.variant is None or other.variant is None or other.variant.group != stage.variant.group:
        return None
    if _settings(stage.variant.labels) != _settings(other.variant.labels):
        return None
    if other.selection is None:
        return 1.0
    assert stage.selection is not None, "asked for by the caller"
    same = other.selection.model_copy(update={"ratio": None, "token_scores": None})
    wanted = stage.selection.model_copy(update={"ratio": None, "token_scores": None})
    return other.selection.fixed_ratio if same == wanted else None


def _settings(variant: Mapping[str, str]) -> dict[str, str]:
    return {axis: label for axis, label in variant.items() if axis != "seed" and not axis.startswith("selection")}
