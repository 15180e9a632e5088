"""Stage ``compare``: two checkpoints on the same documents; difference, interval and p for every task and suite.

Reads the ``eval`` stage, writes ``comparison.json`` for ``report``. The paper compares SLM with CLM by averages only
(section 3.3); here every difference comes with a paired bootstrap interval, an exact McNemar p (0/1 scores) or a
sign-flip permutation p (other scores, suite averages), and Holm's adjustment over all tasks of the pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rho1bench.comparison import statistics
from rho1bench.comparison.costs import checkpoint_costs
from rho1bench.comparison.differences import (
    CONFIDENCE,
    Comparison,
    ComparisonSettings,
    PairComparison,
    TaskDifference,
    compare_scores,
)
from rho1bench.comparison.eval_results import (
    EvalResults,
    LabelScores,
    TaskScores,
    common_doc_ids,
    fingerprint_parts,
    read_label,
)
from rho1bench.comparison.result_files import SCHEMA, as_json
from rho1bench.comparison.statistics import Values
from rho1bench.errors import DataError
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import CompareStage
from rho1bench.system.files import write_json

_NAMES_AT_MOST = 5


def run(context: StageContext) -> None:
    """Compare the recipe's pairs and write ``comparison.json``; raises ``DataError`` where a pair does not fit."""
    stage = context.config(CompareStage)
    folder = context.input(stage.evaluation)
    read: dict[str, LabelScores] = {}
    pairs = []
    for pair in context.progress.track(stage.pairs, len(stage.pairs), "pairs"):
        for label in (pair.treatment, pair.baseline):
            if label not in read:
                read[label] = read_label(folder, label)
        pairs.append(
            compare_labels(
                read[pair.treatment], read[pair.baseline], seed=context.seed, num_resamples=stage.num_resamples
            )
        )
    settings = ComparisonSettings(confidence=CONFIDENCE, num_resamples=stage.num_resamples, seed=context.seed)
    costs = checkpoint_costs(context.recipe, context.inputs)
    comparison = Comparison(schema=SCHEMA, pairs=pairs, settings=settings, costs=costs)
    write_json(context.folder / "comparison.json", as_json(comparison))


def compare_labels(
    treatment: LabelScores, baseline: LabelScores, *, seed: int, num_resamples: int = 2000
) -> PairComparison:
    """Return one entry of comparison.json's ``pairs``.

    Raises ``DataError`` naming what differs where tasks, documents or ``eval_fingerprint`` of the two differ.
    """
    check_comparable(treatment, baseline)
    suite_of = {task: suite for suite, tasks in reversed(treatment.suites.items()) for task in tasks}
    scores = {task: _paired(treatment.tasks[task], baseline.tasks[task]) for task in treatment.tasks}
    found = {task: compare_scores([pair], seed=seed, num_resamples=num_resamples) for task, pair in scores.items()}
    adjusted = statistics.holm([entry.p for entry in found.values()])
    tasks = {
        task: TaskDifference(
            **dict(entry), suite=suite_of.get(task), metric=treatment.results.tasks[task].metric, p_holm=p_holm
        )
        for (task, entry), p_holm in zip(found.items(), adjusted, strict=True)
    }
    suites = {
        suite: compare_scores([scores[task] for task in names], seed=seed, num_resamples=num_resamples)
        for suite, names in treatment.suites.items()
    }
    return PairComparison(treatment=treatment.label, baseline=baseline.label, suites=suites, tasks=tasks)


def _paired(treatment: TaskScores, baseline: TaskScores) -> tuple[Values, Values]:
    doc_ids = common_doc_ids([treatment, baseline])
    return treatment.values(doc_ids), baseline.values(doc_ids)


def check_comparable(treatment: LabelScores, baseline: LabelScores) -> None:
    """Raise ``DataError`` with everything that keeps the two from being paired."""
    problems = list(_differing_tasks(treatment, baseline)) + list(_differing_settings(treatment, baseline))
    if problems:
        raise DataError(
            f"{treatment.label!r} and {baseline.label!r} cannot be compared:\n"
            + "\n".join(f"  - {problem}" for problem in problems)
            + "\nEvaluate both on the same suites with the same settings."
        )


def _differing_tasks(treatment: LabelScores, baseline: LabelScores) -> Iterator[str]:
    for here, other in ((treatment, baseline), (baseline, treatment)):
        missing = [task for task in here.tasks if task not in other.tasks]
        if missing:
            yield f"{_some(missing)}: evaluated for {here.label!r} only"
    for task in treatment.tasks:
        if task in baseline.tasks:
            yield from _differing_documents(task, treatment, baseline)


def _differing_documents(task: str, treatment: LabelScores, baseline: LabelScores) -> Iterator[str]:
    left, right = treatment.tasks[task], baseline.tasks[task]
    for here, other, label in ((left, right, treatment.label), (right, left, baseline.label)):
        extra = sorted(set(here.scores) - set(other.scores))
        if extra:
            yield f"{task}: {len(extra)} documents only under {label!r} (doc_id {_some(extra)})"
    hashes = right.doc_hashes
    unlike = [doc_id for doc_id, value in left.doc_hashes.items() if hashes.get(doc_id, value) != value]
    if unlike:
        yield f"{task}: {len(unlike)} documents have other contents under the same doc_id ({_some(unlike)})"


def _differing_settings(treatment: LabelScores, baseline: LabelScores) -> Iterator[str]:
    left, right = treatment.results, baseline.results
    if left.eval_fingerprint == right.eval_fingerprint:
        return
    parts = _settings(left), _settings(right)
    differing = [key for key in parts[0] | parts[1] if parts[0].get(key) != parts[1].get(key)]
    for key in differing:
        yield f"{key}: {parts[0].get(key)!r} for {treatment.label!r}, {parts[1].get(key)!r} for {baseline.label!r}"
    if not differing:
        ours, theirs = left.eval_fingerprint, right.eval_fingerprint
        yield f"eval_fingerprint: {ours!r} for {treatment.label!r}, {theirs!r} for {baseline.label!r}"


def _settings(results: EvalResults) -> dict[str, object]:
    """Return what may keep two evaluations out of one column, by names for people."""
    engine = {"dtype": results.dtype, "engine": results.engine, "engine_version": results.engine_version}
    tasks = {name: dict(task) for name, task in results.tasks.items()}
    return fingerprint_parts(tasks, results.decoding, results.grader) | engine


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMES_AT_MOST])
    return shown if len(names) <= _NAMES_AT_MOST else f"{shown}, ..."
