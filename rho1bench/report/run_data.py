"""Everything that the report reads from the other stages' folders, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rho1bench.analysis.results import Analysis, read_analysis
from rho1bench.comparison.accuracy_points import AccuracyPoint, PointSource, accuracy_points
from rho1bench.comparison.benchmark_overlap import CorpusOverlap, corpus_overlaps
from rho1bench.comparison.contest.results import ContestResult
from rho1bench.comparison.costs import CheckpointCost
from rho1bench.comparison.differences import Comparison, PairComparison, read_comparison
from rho1bench.comparison.equal_flops import ArmCost, CountedTokens, EqualFlops, arm_cost, counted_tokens
from rho1bench.comparison.eval_results import EvalResults, LabelScores, labels, read_label, read_results
from rho1bench.comparison.run_summary import TrainingSummary, read_training
from rho1bench.comparison.tokens_to_baseline import TokensToBaseline
from rho1bench.comparison.training_curves import LOSSES, Points, read_curves
from rho1bench.pipeline.manifest import read_manifest
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import PretrainStage, Recipe, ReportStage, TrainStage
from rho1bench.rendering.axes import NUM_STYLES
from rho1bench.report import curves, token_passages


@dataclass(frozen=True)
class Speedup:
    """The reading of figure 1 and what it is about."""

    suite: str
    treatment: str
    baseline: str
    reading: TokensToBaseline
    counted: CountedTokens | None
    """With reference and scoring counted; None where their cost is not known."""
    equal: EqualFlops | None
    """Both sides at equal operations, likewise."""


@dataclass(frozen=True)
class RunData:
    """A finished run as the report sees it."""

    recipe: Recipe
    seed: int
    comparison: Comparison | None
    """None of a run that compares nothing."""
    results: Mapping[str, EvalResults]
    """By label: final checkpoints in the recipe's order first."""
    trajectory: Mapping[str, Sequence[AccuracyPoint]]
    """By suite."""
    speedups: Sequence[Speedup]
    costs: Mapping[str, CheckpointCost]
    """By evaluated checkpoint, where its stages tell."""
    overlaps: Mapping[str, CorpusOverlap]
    """By corpus stage, where benchmark texts were looked for."""
    losses: Mapping[str, Mapping[str, Points]]
    training: Mapping[str, TrainingSummary]
    seconds: Mapping[str, float | None]
    probe_stage: str | None
    probe: Sequence[token_passages.Passage]
    analysis: Analysis | None = None
    """What the stage ``analysis`` found, where the report names one."""

    def arm_cost(self, stage: str) -> ArmCost | None:
        """Return the operations of a stage's training and of what it needed; None where they are not known."""
        return arm_cost(self.costs.get(stage), self.training[stage].tokens if stage in self.training else None)

    @property
    def pairs(self) -> list[PairComparison]:
        """The compared pairs."""
        return self.comparison.pairs if self.comparison else []

    @property
    def contests(self) -> list[ContestResult]:
        """The contests that were held."""
        return self.comparison.contests if self.comparison else []

    @property
    def final_labels(self) -> list[str]:
        """Labels of finished stages, without the checkpoints along the way."""
        return [label for label in self.results if "@" not in label]

    @property
    def shown_labels(self) -> list[str]:
        """Those that the page shows one by one; the arms of contests have tables of their own."""
        elsewhere = self.recipe.only_in_contests
        return [label for label in self.final_labels if label not in elsewhere]


def read_run(context: StageContext) -> RunData:
    """Read the run; raises ``DataError`` for a missing or broken file of another stage."""
    stage = context.config(ReportStage)
    evaluation = context.input(stage.evaluation) if stage.evaluation else None
    comparison = read_comparison(context.input(stage.comparison)) if stage.comparison else None
    trained = [one.name for one in context.recipe.stages_of(TrainStage) if one.name in context.inputs]
    training = {name: read_training(context.input(name)) for name in trained}
    order = [one.name for one in context.recipe.stages]
    results = {}
    if evaluation is not None:
        found = sorted(labels(evaluation), key=lambda label: _label_order(order, label))
        results = {label: read_results(evaluation, label) for label in found}
    drawn = list(stage.curves) or ([] if comparison else _last_pretrained(context))
    sources = _sources(context.recipe, evaluation, results, training, drawn) if evaluation is not None else {}
    probe_stage, probe = _probe(context, comparison, drawn)
    return RunData(
        recipe=context.recipe,
        seed=context.seed,
        comparison=comparison,
        results=results,
        trajectory={suite: accuracy_points(suite, found, seed=context.seed) for suite, found in sources.items()},
        speedups=_speedups(comparison, sources, training, context.seed),
        costs=comparison.costs if comparison else {},
        overlaps=corpus_overlaps(context.recipe, context.inputs),
        losses={name: read_curves(context.input(name), (*LOSSES, "loss_all")) for name in drawn},
        training=training,
        seconds={name: _seconds(context.input(name)) for name in order if name in context.inputs},
        probe_stage=probe_stage,
        probe=probe,
        analysis=None if stage.analysis is None else read_analysis(context.input(stage.analysis)),
    )


def _last_pretrained(context: StageContext) -> list[str]:
    """Return the last pretraining stages, as many as curves can be told apart."""
    names = [stage.name for stage in context.recipe.stages_of(PretrainStage) if stage.name in context.inputs]
    return names[-NUM_STYLES:]


def _seconds(folder: Path) -> float | None:
    """Return the wall seconds from the runner's manifest; None where a stage was run without the runner."""
    manifest = read_manifest(folder)
    return manifest.seconds if manifest else None


def _label_order(names: Sequence[str], label: str) -> tuple[bool, int, str]:
    stage = label.partition("@")[0]
    return "@" in label, names.index(stage) if stage in names else len(names), label


def _sources(
    recipe: Recipe,
    evaluation: Path,
    results: Mapping[str, EvalResults],
    training: Mapping[str, TrainingSummary],
    drawn: Sequence[str],
) -> dict[str, list[PointSource]]:
    """Return the checkpoints of figure 1 by suite: where a stage began, those along the way, its end."""
    along = {label for label in results if label.partition("@")[0] in drawn and "@" in label}
    if not along:
        return {}
    suites = dict.fromkeys(suite for label in results if label in along for suite in results[label].suites)
    starts = {name: recipe.stage(name, TrainStage).init_stage for name in drawn}
    chosen = along | set(drawn) | {start for start in starts.values() if start}
    read = {label: read_label(evaluation, label) for label in results if label in chosen}
    return {
        suite: [source for name in drawn for source in _curve(suite, name, starts[name], read, training[name])]
        for suite in suites
    }


def _curve(
    suite: str, stage: str, start: str | None, read: Mapping[str, LabelScores], training: TrainingSummary
) -> list[PointSource]:
    points = []
    if start is not None and start in read and suite in read[start].suites:
        points.append(PointSource(stage, 0, 0, 0, read[start]))
    for label, scores in read.items():
        if label.partition("@")[0] == stage and suite in scores.suites:
            if "@" in label:
                found = scores.results
                place = found.step or 0, found.tokens or 0, found.selected_tokens or 0
            else:
                place = training.max_steps, training.tokens, training.selected_tokens
            points.append(PointSource(stage, *place, scores))
    return sorted(points, key=lambda point: point.tokens)


def _speedups(
    comparison: Comparison | None,
    sources: Mapping[str, Sequence[PointSource]],
    training: Mapping[str, TrainingSummary],
    seed: int,
) -> list[Speedup]:
    speedups: list[Speedup] = []
    if comparison is None:
        return speedups
    for pair in comparison.pairs:
        sides = pair.treatment, pair.baseline
        costs = [arm_cost(comparison.costs.get(side), training[side].tokens) for side in sides if side in training]
        for suite, found in sources.items():
            reading = curves.read_speedup(suite, found, *sides, seed=seed)
            if reading:
                counted = equal = None
                if len(costs) == 2 and costs[0] and costs[1]:
                    counted = counted_tokens(reading, costs[0], costs[1])
                    equal = curves.read_equal_flops(suite, found, sides, (costs[0], costs[1]), seed=seed)
                speedups.append(Speedup(suite, *sides, reading, counted, equal))
    return speedups


def _probe(
    context: StageContext, comparison: Comparison | None, drawn: Sequence[str]
) -> tuple[str | None, list[token_passages.Passage]]:
    """Return the first selective stage with a probe among the drawn stages and the treatments."""
    treatments = [pair.treatment for pair in comparison.pairs] if comparison else []
    for name in dict.fromkeys([*drawn, *treatments]):
        if name in context.inputs and context.recipe.stage(name, TrainStage).selection is not None:
            found = token_passages.read_probe(context.input(name))
            if found:
                return name, found
    return None, []
