"""Everything that the report reads from the other stages' folders, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rho1bench.comparison import eval_results
from rho1bench.comparison.stage import read_comparison
from rho1bench.comparison.tokens_to_baseline import TokensToBaseline
from rho1bench.errors import DataError
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import Recipe, ReportStage
from rho1bench.report import curves, token_passages
from rho1bench.report.curves import AccuracyPoint, Points, PointSource
from rho1bench.system.files import read_json


@dataclass(frozen=True)
class Speedup:
    """The reading of figure 1 and what it is about."""

    suite: str
    treatment: str
    baseline: str
    reading: TokensToBaseline


@dataclass(frozen=True)
class RunData:
    """A finished run as the report sees it."""

    recipe: Recipe
    seed: int
    comparison: Mapping[str, Any]
    records: Mapping[str, Mapping[str, Any]]
    """The ``"rho1bench"`` part of results.json by label: final checkpoints in the recipe's order first."""
    trajectory: Mapping[str, Sequence[AccuracyPoint]]
    """By suite."""
    speedups: Sequence[Speedup]
    losses: Mapping[str, Mapping[str, Points]]
    training: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float | None]
    probe_stage: str | None
    probe: Sequence[token_passages.Passage]

    @property
    def final_labels(self) -> list[str]:
        """Labels of finished stages, without the checkpoints along the way."""
        return [label for label in self.records if "@" not in label]


def read_run(context: StageContext) -> RunData:
    """Read the run; raises ``DataError`` for a missing or broken file of another stage."""
    stage = context.config(ReportStage)
    evaluation = context.input(stage.evaluation)
    comparison = read_comparison(context.input(stage.comparison))
    training = {
        name: _read_training(folder / "training.json")
        for name, folder in _inputs(context)
        if context.recipe.stage(name).kind in ("pretrain", "sft")
    }
    order = list(context.recipe.stages)
    records = {label: eval_results.read_record(evaluation, label) for label in eval_results.labels(evaluation)}
    records = dict(sorted(records.items(), key=lambda item: _label_order([s.name for s in order], item[0])))
    drawn = list(stage.curves)
    sources = _sources(context.recipe, evaluation, records, training, drawn)
    probe_stage, probe = _probe(context, comparison, drawn)
    return RunData(
        recipe=context.recipe,
        seed=context.seed,
        comparison=comparison,
        records=records,
        trajectory={suite: curves.accuracy_points(suite, found, seed=context.seed) for suite, found in sources.items()},
        speedups=_speedups(comparison, sources, context.seed),
        losses={name: curves.read_losses(context.input(name)) for name in drawn},
        training=training,
        seconds={name: _seconds(folder) for name, folder in _inputs(context)},
        probe_stage=probe_stage,
        probe=probe,
    )


def _inputs(context: StageContext) -> list[tuple[str, Path]]:
    return [(stage.name, context.input(stage.name)) for stage in context.recipe.stages if stage.name in context.inputs]


def _read_training(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: not the record of a training stage ({error!r}). Run the stage again.") from error


def _seconds(folder: Path) -> float | None:
    """Return the wall seconds from the runner's manifest; None where a stage was run without the runner."""
    path = folder / "manifest.json"
    return float(read_json(path)["seconds"]) if path.exists() else None


def _label_order(names: Sequence[str], label: str) -> tuple[bool, int, str]:
    stage = label.partition("@")[0]
    return "@" in label, names.index(stage) if stage in names else len(names), label


def _sources(
    recipe: Recipe,
    evaluation: Path,
    records: Mapping[str, Mapping[str, Any]],
    training: Mapping[str, Mapping[str, Any]],
    drawn: Sequence[str],
) -> dict[str, list[PointSource]]:
    """Return the checkpoints of figure 1 by suite: where a stage began, those along the way, its end."""
    along = {label for label in records if label.partition("@")[0] in drawn and "@" in label}
    suites = dict.fromkeys(suite for label in records if label in along for suite in records[label]["suites"])
    if not along:
        return {}
    chosen = along | set(drawn) | {start for name in drawn if (start := _start(recipe, name))}
    read = {label: eval_results.read_label(evaluation, label) for label in records if label in chosen}
    sources = {}
    for suite in suites:
        found = [source for name in drawn for source in _curve(suite, name, _start(recipe, name), read, training)]
        sources[suite] = found
    return sources


def _start(recipe: Recipe, name: str) -> str | None:
    init = getattr(recipe.stage(name), "init", None)
    return init if isinstance(init, str) else None


def _curve(
    suite: str,
    stage: str,
    start: str | None,
    read: Mapping[str, eval_results.LabelScores],
    training: Mapping[str, Mapping[str, Any]],
) -> list[PointSource]:
    points = []
    if start is not None and start in read and suite in read[start].suites:
        points.append(PointSource(stage, 0, 0, 0, read[start]))
    for label, scores in read.items():
        if label.partition("@")[0] == stage and suite in scores.suites:
            entry = scores.record if "@" in label else {**scores.record, **_end(training[stage])}
            points.append(PointSource(stage, entry["step"], entry["tokens"], entry["selected_tokens"], scores))
    return sorted(points, key=lambda point: point.tokens)


def _end(training: Mapping[str, Any]) -> dict[str, Any]:
    return {"step": training["max_steps"], **{key: training[key] for key in ("tokens", "selected_tokens")}}


def _speedups(comparison: Mapping[str, Any], sources: Mapping[str, Sequence[PointSource]], seed: int) -> list[Speedup]:
    speedups = []
    for pair in comparison["pairs"]:
        for suite, found in sources.items():
            reading = curves.read_speedup(suite, found, pair["treatment"], pair["baseline"], seed=seed)
            if reading:
                speedups.append(Speedup(suite, pair["treatment"], pair["baseline"], reading))
    return speedups


def _probe(
    context: StageContext, comparison: Mapping[str, Any], drawn: Sequence[str]
) -> tuple[str | None, list[token_passages.Passage]]:
    """Return the first selective stage with a probe among the drawn stages and the treatments."""
    for name in dict.fromkeys([*drawn, *(pair["treatment"] for pair in comparison["pairs"])]):
        if name in context.inputs and getattr(context.recipe.stage(name), "selection", None) is not None:
            found = token_passages.read_probe(context.input(name))
            if found:
                return name, found
    return None, []
