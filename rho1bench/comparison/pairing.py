"""Whether two evaluated checkpoints may be paired: the same tasks, documents, prompts, decoding and grader.

Place in the pipeline: the ``compare`` stage asks before every pair, ``contest`` before it holds one. What differs is
told by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rho1bench.comparison.eval_results import (
    EvalResults,
    LabelScores,
    TaskScores,
    common_doc_ids,
    eval_fingerprint,
    fingerprint_parts,
    texts_of,
)
from rho1bench.comparison.statistics import Values
from rho1bench.errors import DataError

_NAMES_AT_MOST = 5


def paired(treatment: TaskScores, baseline: TaskScores) -> tuple[Values, Values]:
    """Return both scores of the documents that both have, in one order."""
    doc_ids = common_doc_ids([treatment, baseline])
    return treatment.values(doc_ids), baseline.values(doc_ids)


Pairs = dict[str, tuple[Values, Values]]
"""Both sides' values of the same documents, by text."""


def paired_texts(treatment: LabelScores, baseline: LabelScores) -> tuple[Pairs, Pairs]:
    """Return the bits per byte of the corpora and of the tasks' gold answers that both were measured on.

    Raises ``DataError`` for a text of one name and another content.
    """
    kinds = ((treatment.corpora, baseline.corpora), (treatment.gold_answers, baseline.gold_answers))
    entries = zip(texts_of(treatment.results), texts_of(baseline.results), strict=True)
    found: list[Pairs] = []
    for (left, right), ((_, ours), (_, theirs)) in zip(kinds, entries, strict=True):
        common = [name for name in left if name in right]
        for name in common:
            if ours[name].data_sha256 != theirs[name].data_sha256:
                raise DataError(
                    f"bits per byte of {name}: {treatment.label!r} and {baseline.label!r} were measured on other blocks "
                    "or answers. Evaluate both with the same settings."
                )
        found.append({name: (left[name].values(), right[name].values()) for name in common})
    return found[0], found[1]


def on_suite(label: LabelScores, suite: str) -> LabelScores:
    """Return what a checkpoint has of one suite: what it was evaluated on besides keeps nobody from pairing it."""
    results = label.results
    tasks = {name: results.tasks[name] for name in label.suites[suite]}
    update = {
        "suites": {suite: results.suites[suite]},
        "tasks": tasks,
        "eval_fingerprint": eval_fingerprint(
            {name: dict(task) for name, task in tasks.items()}, results.decoding, results.grader
        ),
    }
    return LabelScores(results.model_copy(update=update), {name: label.tasks[name] for name in tasks})


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
