"""What an evaluation left for one checkpoint: ``results.json`` and the score of every document.

Place in the pipeline: ``evaluation`` writes ``<label>/results.json`` (lm-eval's fields, and :class:`EvalResults` under
``rho1bench``) and ``<label>/samples_<task>.jsonl``; ``comparison``, ``report`` and ``leaderboard`` read them through
this module. Scores are fractions between 0 and 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from rho1bench.comparison.bits_per_byte import DocumentBits, TextBits, file_name, read_bits
from rho1bench.comparison.intervals import Interval, average_interval, normal_interval, wilson_interval
from rho1bench.comparison.result_files import JsonObject, ResultModel, as_json, read_result_file
from rho1bench.comparison.statistics import Values
from rho1bench.errors import DataError
from rho1bench.recipe.texts import TextKind
from rho1bench.system.files import read_jsonl, sha256_file, sha256_json

_SCORE_TOLERANCE = 1e-4
_ADVICE = "Run the evaluation of this label again."
_OLD = "Run the same command again; its answers are kept."
SETTINGS, EARLIER = "settings.json", "earlier"
"""In the folder of ``rho1bench eval``: what its results were made with, and where those of other settings are kept."""
FINGERPRINTED = ("metric", "n", "version", "data_sha256", "prompts_sha256", "generation_kwargs")
"""What of a task decides whether two scores may stand in one column."""


class TaskResult(ResultModel):
    """What one task came to, or one benchmark of several lm-eval tasks."""

    metric: str
    score: float
    n: int
    binary: bool
    """True if every document scores 0 or 1."""
    stdev: float
    truncated: int
    prompts_too_long: int
    version: float | str | int | None
    data_sha256: str
    prompts_sha256: str
    generation_kwargs: JsonObject | None
    """lm-eval's settings of the task, whatever they are."""
    verdicts: dict[str, dict[str, int]] | None = None
    """Counts by judge, of tasks whose answers are graded."""
    num_rows: int | None = None
    """Rows of the whole test set; None where that is not known."""
    metrics: dict[str, float] = {}
    """Of a benchmark: every metric of the group."""
    weight_by_size: bool | None = None
    members: dict[str, MemberResult] = {}
    """Of a benchmark: its tasks."""

    @property
    def interval(self) -> Interval:
        """The 95% interval of the score."""
        if self.binary:
            return wilson_interval(self.score, self.n)
        return normal_interval(self.score, self.stdev, self.n)


class MemberResult(TaskResult):
    """A task of a benchmark; ``weight`` is None where it does not count in the benchmark's score."""

    weight: float | None


class SuiteResult(ResultModel):
    """A suite: its tasks in order, and the plain mean of their scores."""

    tasks: list[str]
    average: float
    metrics: dict[str, float] = {}
    """``task/metric`` -> value: the scores, and what else the tasks measure."""


class EvalResults(ResultModel):
    """The ``rho1bench`` part of ``results.json``."""

    schema_version: Literal[1] = Field(alias="schema")
    label: str
    stage: str
    step: int | None
    tokens: int | None
    """Tokens of training up to this checkpoint; None where not known."""
    selected_tokens: int | None
    model: str
    revision: str | None
    weights_sha256: str | None
    """Of weights, config and tokenizer files; None for a model that only a server has."""
    num_parameters: int | None
    engine: str
    engine_version: str
    dtype: str
    device: str
    engine_settings: dict[str, int | float | str | bool | None]
    decoding: dict[str, str | int | float]
    grader: int
    grader_sha256: str
    git: dict[str, str | bool] | None
    versions: dict[str, str]
    limits: dict[str, int | None]
    """Documents a task at most, by the suite that they were asked for."""
    suites: dict[str, SuiteResult]
    tasks: dict[str, TaskResult]
    eval_fingerprint: str
    seconds: float
    code_sha256: str | None = None
    """Of the code of rho1bench that evaluated."""
    corpora: dict[str, TextBits] = {}
    """Bits per byte of packed corpora, by name."""
    gold_answers: dict[str, TextBits] = {}
    """Bits per byte of the gold answers of tasks."""
    samples_sha256: dict[str, str] = {}
    """Of the file of samples of each task."""
    sha256: str | None = None
    """Of all of the above."""

    @property
    def content_sha256(self) -> str:
        """What ``sha256`` has to be."""
        return sha256_json({key: value for key, value in as_json(self).items() if key != "sha256"})


def suite_interval(tasks: Sequence[TaskResult]) -> Interval:
    """Return the 95% interval of the plain mean of independent tasks."""
    return average_interval([task.score for task in tasks], [task.interval for task in tasks])


def fingerprint_parts(tasks: Mapping[str, Mapping[str, object]], decoding: object, grader: int) -> dict[str, object]:
    """Return what decides whether two evaluations may stand in one column, part by part, under names for people."""
    parts: dict[str, object] = {"decoding": decoding, "grader": grader}
    for name, task in tasks.items():
        parts |= {f"{key} of {name}": task[key] for key in FINGERPRINTED}
    return parts


def eval_fingerprint(tasks: Mapping[str, Mapping[str, object]], decoding: object, grader: int) -> str:
    """Return the hash of tasks, documents, prompts, decoding and grader: one column of a table has one of them."""
    return sha256_json(fingerprint_parts(tasks, decoding, grader))


@dataclass(frozen=True)
class TaskScores:
    """Scores of one task's documents: doc_id -> score, and doc_id -> hash of the document where samples hold it."""

    scores: Mapping[str, float]
    doc_hashes: Mapping[str, str]

    def values(self, doc_ids: Sequence[str] | None = None) -> Values:
        """Return the scores of ``doc_ids`` (default: all, in sorted order) as an array of shape (n,)."""
        return np.array([self.scores[doc_id] for doc_id in (sorted(self.scores) if doc_ids is None else doc_ids)])


@dataclass(frozen=True)
class LabelScores:
    """One evaluated checkpoint."""

    results: EvalResults
    tasks: Mapping[str, TaskScores]
    texts: Mapping[TextKind, Mapping[str, DocumentBits]] = field(
        default_factory=lambda: {"corpus": {}, "gold_answers": {}}
    )
    """Bits per byte of packed corpora by name, and of gold answers by task."""

    @property
    def label(self) -> str:
        """Name of the checkpoint's folder."""
        return self.results.label

    @property
    def suites(self) -> dict[str, list[str]]:
        """Task names by suite, in the order of the results."""
        return {suite: entry.tasks for suite, entry in self.results.suites.items()}


def read_results(folder: Path, label: str) -> EvalResults:
    """Return the results of a label; raises ``DataError`` where they are missing, broken or of another version."""
    path = folder / label / "results.json"
    if not path.is_file():
        found = ", ".join(labels(folder)) or "none"
        raise DataError(f"{folder}: no results for the checkpoint {label!r} (evaluated: {found}).")
    results = read_result_file(path, EvalResults, "the results of an evaluation", _OLD, part="rho1bench")
    unknown = sorted({task for suite in results.suites.values() for task in suite.tasks} - set(results.tasks))
    if unknown:
        raise DataError(f"{path}: suites name tasks that have no score: {', '.join(unknown)}. {_ADVICE}")
    return results


def labels(folder: Path) -> list[str]:
    """Return the labels that an eval stage's folder holds results for, sorted."""
    return sorted(path.parent.name for path in folder.glob("*/results.json"))


def read_label(folder: Path, label: str) -> LabelScores:
    """Read results and samples of ``label``; raises ``DataError`` naming file and line where they do not fit."""
    results = read_results(folder, label)
    tasks = {task: _read_scores(folder / label, task, entry) for task, entry in results.tasks.items()}
    for task, scores in tasks.items():
        _check_mean(folder / label, task, results.tasks[task].score, scores)
    texts = {
        kind: {name: read_bits(folder / label / file_name(kind, name), entry) for name, entry in entries.items()}
        for kind, entries in texts_of(results).items()
    }
    return LabelScores(results, tasks, texts)


def texts_of(results: EvalResults) -> dict[TextKind, dict[str, TextBits]]:
    """Return the measured texts by kind."""
    return {"corpus": results.corpora, "gold_answers": results.gold_answers}


def _read_scores(folder: Path, task: str, entry: TaskResult) -> TaskScores:
    """Read the samples of a task, or of all tasks that count in a benchmark's score, there times their weight."""
    if not entry.members:
        return _read_task(folder / f"samples_{task}.jsonl", task)
    scores: dict[str, float] = {}
    hashes: dict[str, str] = {}
    for name, member in entry.members.items():
        if member.weight is not None:
            found = _read_task(folder / f"samples_{name}.jsonl", name)
            scores |= {f"{name}/{doc_id}": score * member.weight for doc_id, score in found.scores.items()}
            hashes |= {f"{name}/{doc_id}": value for doc_id, value in found.doc_hashes.items()}
    return TaskScores(scores, hashes)


def _read_task(path: Path, task: str) -> TaskScores:
    try:
        rows = read_jsonl(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing, though results.json holds a score of {task}. {_ADVICE}") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: a line is not JSON ({error}). {_ADVICE}") from error
    scores: dict[str, float] = {}
    hashes: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        doc_id, score = _doc_score(row, f"{path}:{number}")
        if doc_id in scores:
            raise DataError(f"{path}:{number}: doc_id {doc_id} comes twice. {_ADVICE}")
        scores[doc_id] = score
        if "doc" in row:
            hashes[doc_id] = sha256_json(row["doc"])
    if not scores:
        raise DataError(f"{path}: no documents. {_ADVICE}")
    return TaskScores(scores, hashes)


def _doc_score(row: object, where: str) -> tuple[str, float]:
    if not isinstance(row, dict) or "doc_id" not in row or "score" not in row:
        raise DataError(f"{where}: a sample needs doc_id and score. {_ADVICE}")
    score = row["score"]
    if isinstance(score, bool):
        score = float(score)
    if not isinstance(score, int | float) or not math.isfinite(score) or not 0.0 <= score <= 1.0:
        raise DataError(f"{where}: score must be a number from 0 to 1, not {score!r}. {_ADVICE}")
    return str(row["doc_id"]), float(score)


def _check_mean(folder: Path, task: str, expected: float, scores: TaskScores) -> None:
    mean = float(scores.values().mean())
    if abs(mean - expected) > _SCORE_TOLERANCE:
        raise DataError(
            f"{folder}: the score of {task} in results.json is {expected:.6f}, its {len(scores.scores)} samples "
            f"give {mean:.6f}. {_ADVICE}"
        )


def check_unchanged(folder: Path, results: EvalResults) -> None:
    """Raise ``DataError`` where ``results.json`` or the samples in ``folder`` are not as the evaluation wrote them."""
    path = folder / "results.json"
    if results.sha256 is None or not results.samples_sha256:
        raise DataError(f"{path}: says nothing of what it was written with. {_OLD}")
    if results.sha256 != results.content_sha256:
        raise DataError(f"{path}: was changed after the evaluation wrote it. {_OLD}")
    for task, expected in results.samples_sha256.items():
        samples = folder / f"samples_{task}.jsonl"
        if not samples.is_file() or sha256_file(samples) != expected:
            raise DataError(f"{samples}: is missing or was changed after the evaluation wrote it. {_OLD}")
    for kind, entries in texts_of(results).items():
        for name, entry in entries.items():
            samples = folder / file_name(kind, name)
            if not samples.is_file() or sha256_file(samples) != entry.samples_sha256:
                raise DataError(f"{samples}: is missing or was changed after the evaluation wrote it. {_OLD}")


def common_doc_ids(tasks: Iterable[TaskScores]) -> list[str]:
    """Return the doc_ids that all ``tasks`` (one task under several labels) hold, sorted."""
    sets = [set(task.scores) for task in tasks]
    return sorted(set.intersection(*sets)) if sets else []
