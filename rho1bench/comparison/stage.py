"""Stage ``compare``: two checkpoints on the same documents; difference, interval and p for every task and suite.

Reads the ``eval`` stage, writes ``comparison.json`` for ``analysis``. The paper compares SLM with CLM by averages only
(section 3.3); here every difference comes with a paired bootstrap interval, an exact McNemar p (0/1 scores) or a
sign-flip permutation p (other scores, suite averages), and Holm's adjustment over all tasks of the pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rho1bench.comparison import statistics
from rho1bench.comparison.eval_results import LabelScores, TaskScores, common_doc_ids, read_label
from rho1bench.comparison.statistics import Values
from rho1bench.errors import DataError
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import CompareStage
from rho1bench.system.files import read_json, write_json

CONFIDENCE = 0.95
MCNEMAR = "exact McNemar"
SIGN_FLIP = f"sign-flip permutation ({statistics.NUM_SIGN_FLIPS} draws)"
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
    settings = {"confidence": CONFIDENCE, "num_resamples": stage.num_resamples, "seed": context.seed}
    write_json(context.folder / "comparison.json", {"pairs": pairs, "settings": settings})


def compare_labels(
    treatment: LabelScores, baseline: LabelScores, *, seed: int, num_resamples: int = 2000
) -> dict[str, Any]:
    """Return one entry of comparison.json's ``pairs``.

    Raises ``DataError`` naming what differs where tasks, documents or ``eval_fingerprint`` of the two differ.
    """
    check_comparable(treatment, baseline)
    suite_of = {task: suite for suite, tasks in reversed(treatment.suites.items()) for task in tasks}
    scores = {task: _paired(treatment.tasks[task], baseline.tasks[task]) for task in treatment.tasks}
    tasks: dict[str, dict[str, Any]] = {}
    for task, (left, right) in scores.items():
        head = {"suite": suite_of.get(task), "metric": treatment.record["tasks"][task].get("metric")}
        tasks[task] = head | compare_scores([(left, right)], seed=seed, num_resamples=num_resamples)
    for entry, p_holm in zip(tasks.values(), statistics.holm([entry["p"] for entry in tasks.values()]), strict=True):
        entry["p_holm"] = p_holm
    suites = {
        suite: compare_scores([scores[task] for task in names], seed=seed, num_resamples=num_resamples)
        for suite, names in treatment.suites.items()
    }
    return {"treatment": treatment.label, "baseline": baseline.label, "suites": suites, "tasks": tasks}


def compare_scores(pairs: Sequence[tuple[Values, Values]], *, seed: int, num_resamples: int = 2000) -> dict[str, Any]:
    """Compare the scores of one task (one pair of arrays), or of a suite (one pair a task), on the same documents.

    Returns ``treatment``, ``baseline`` (plain means of the tasks' means), ``difference``, ``ci`` (paired bootstrap,
    None where a task has fewer than two documents), ``p``, ``p_method`` and ``n`` (documents over all tasks).
    """
    differences = [left - right for left, right in pairs]
    interval = statistics.bootstrap_interval(differences, seed=seed, num_resamples=num_resamples, confidence=CONFIDENCE)
    if len(pairs) == 1 and all(statistics.is_binary(values) for values in pairs[0]):
        p, p_method = statistics.mcnemar_exact_p(*pairs[0]), MCNEMAR
    else:
        p, p_method = statistics.sign_flip_p(differences, seed=seed), SIGN_FLIP
    return {
        "treatment": statistics.stratified_mean([left for left, _ in pairs]),
        "baseline": statistics.stratified_mean([right for _, right in pairs]),
        "difference": statistics.stratified_mean(differences),
        "ci": interval.as_list() if interval else None,
        "p": p,
        "p_method": p_method,
        "n": sum(len(values) for values in differences),
    }


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
    left, right = treatment.record.get("eval_fingerprint"), baseline.record.get("eval_fingerprint")
    if left == right:
        return
    parts = dict(_settings(treatment.record)), dict(_settings(baseline.record))
    differing = [key for key in parts[0] | parts[1] if parts[0].get(key) != parts[1].get(key)]
    for key in differing:
        yield f"{key}: {parts[0].get(key)!r} for {treatment.label!r}, {parts[1].get(key)!r} for {baseline.label!r}"
    if not differing:
        yield f"eval_fingerprint: {left!r} for {treatment.label!r}, {right!r} for {baseline.label!r}"


def _settings(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the named parts of a record that decide whether two rows may stand in one column."""
    for key in ("decoding", "grader", "dtype", "engine", "engine_version"):
        if key in record:
            yield key, record[key]
    for task, entry in record["tasks"].items():
        for key in ("metric", "n", "version", "data_sha256", "prompts_sha256", "generation_kwargs"):
            yield f"{key} of {task}", entry.get(key)
    fingerprint = record.get("eval_fingerprint")
    if isinstance(fingerprint, Mapping):
        for key, value in fingerprint.items():
            yield f"eval_fingerprint of {key}", value


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMES_AT_MOST])
    return shown if len(names) <= _NAMES_AT_MOST else f"{shown}, ..."


def read_comparison(folder: Path) -> dict[str, Any]:
    """Read a compare stage's ``comparison.json``; raises ``DataError`` where it is missing or broken."""
    path = folder / "comparison.json"
    try:
        comparison = read_json(path)
        comparison["pairs"][0]["suites"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path}: not a comparison ({error!r}). Run the compare stage again.") from error
    return dict(comparison)
