"""Whether two evaluated checkpoints may be paired: the same tasks, documents, prompts, decoding and grader.

Place in the pipeline: the ``compare`` stage asks before every pair, ``contest`` before it holds one. What differs is
told by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rho1bench.comparison.bits_per_byte import TextBits
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
from rho1bench.recipe.texts import TextKind, text_of

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
    kinds: tuple[TextKind, TextKind] = ("corpus", "gold_answers")
    corpora, answers = (_paired_texts(kind, treatment, baseline) for kind in kinds)
    return corpora, answers


def _paired_texts(kind: TextKind, treatment: LabelScores, baseline: LabelScores) -> Pairs:
    left, right = treatment.texts[kind], baseline.texts[kind]
    common = [name for name in left if name in right]
    check_same_texts(kind, common, treatment, baseline)
    return {name: (left[name].values(), right[name].values()) for name in common}


def check_same_texts(kind: TextKind, names: Iterable[str], left: LabelScores, right: LabelScores) -> None:
    """Raise ``DataError`` for a text of one name of which the two were measured on other content."""
    ours, theirs = texts_of(left.results)[kind], texts_of(right.results)[kind]
    for name in names:
        if ours[name].data_sha256 != theirs[name].data_sha256:
            raise DataError(
                f"bits per byte of {name}: {left.label!r} and {right.label!r} were measured on other blocks or "
                "answers. Evaluate both with the same settings."
            )


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


def texts_on(results: EvalResults, suite: str) -> dict[str, TextBits]:
    """Return what a checkpoint was measured on under ``corpus:STAGE`` or ``gold_answers:SUITE``, by name."""
    kind, name = text_of(suite) or ("suite", suite)
    if kind == "corpus":
        return {name: results.corpora[name]} if name in results.corpora else {}
    tasks = results.suites[name].tasks if kind == "gold_answers" and name in results.suites else []
    return {task: results.gold_answers[task] for task in tasks if task in results.gold_answers}


def values_on(label: LabelScores, suite: str) -> dict[str, Values]:
    """Return a checkpoint's scores by task, or bits per byte by text, each document's in sorted order of the ids."""
    text = text_of(suite)
    if text is None:
        return {task: label.tasks[task].values() for task in label.suites.get(suite, ())}
    return {name: label.texts[text[0]][name].values() for name in texts_on(label.results, suite)}


def check_comparable_on(suite: str, treatment: LabelScores, baseline: LabelScores) -> None:
    """Raise ``DataError`` with what keeps the two from being paired on one suite, or on the texts of one."""
    text = text_of(suite)
    if text is None:
        check_comparable(on_suite(treatment, suite), on_suite(baseline, suite))
        return
    names = texts_on(baseline.results, suite)
    if not names or list(texts_on(treatment.results, suite)) != list(names):
        raise DataError(f"{treatment.label!r} and {baseline.label!r} have no bits per byte of the same {suite}.")
    check_same_texts(text[0], names, treatment, baseline)


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
