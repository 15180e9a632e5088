"""What an ``eval`` stage left for one label: its record and the score of every document.

Place in the pipeline: ``evaluation`` writes ``<label>/results.json`` and ``<label>/samples_<task>.jsonl``;
``comparison``, ``speedup`` and ``analysis`` read them through this module.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rho1bench.comparison.statistics import Values
from rho1bench.errors import DataError
from rho1bench.system.files import read_json, read_jsonl, sha256_json

_SCORE_TOLERANCE = 1e-4
_ADVICE = "Run the evaluation of this label again."


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

    label: str
    record: Mapping[str, Any]
    """The ``"rho1bench"`` part of results.json."""
    tasks: Mapping[str, TaskScores]

    @property
    def suites(self) -> dict[str, list[str]]:
        """Task names by suite, in the record's order."""
        return {suite: list(entry["tasks"]) for suite, entry in self.record.get("suites", {}).items()}


def read_record(folder: Path, label: str) -> dict[str, Any]:
    """Return the ``"rho1bench"`` part of a label's results.json; raises ``DataError`` where it is missing or broken."""
    path = folder / label / "results.json"
    if not path.is_file():
        found = ", ".join(labels(folder)) or "none"
        raise DataError(f"{folder}: no results for the checkpoint {label!r} (evaluated: {found}).")
    try:
        record = read_json(path)["rho1bench"]
        tasks, suites = record["tasks"], record["suites"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not the results of an evaluation ({error!r}). {_ADVICE}") from error
    unknown = sorted({task for suite in suites.values() for task in suite["tasks"]} - set(tasks))
    if unknown:
        raise DataError(f"{path}: suites name tasks that have no score: {', '.join(unknown)}. {_ADVICE}")
    return dict(record)


def labels(folder: Path) -> list[str]:
    """Return the labels that an eval stage's folder holds results for, sorted."""
    return sorted(path.parent.name for path in folder.glob("*/results.json"))


def read_label(folder: Path, label: str) -> LabelScores:
    """Read record and samples of ``label``; raises ``DataError`` naming file and line where they do not fit."""
    record = read_record(folder, label)
    tasks = {task: _read_entry(folder / label, task, entry) for task, entry in record["tasks"].items()}
    for task, scores in tasks.items():
        _check_mean(folder / label, task, record["tasks"][task], scores)
    return LabelScores(label, record, tasks)


def _read_entry(folder: Path, task: str, entry: Mapping[str, Any]) -> TaskScores:
    """Read the samples of a task, or of all tasks that count in a benchmark's score, there times their weight."""
    if "members" not in entry:
        return _read_task(folder / f"samples_{task}.jsonl", task)
    scores: dict[str, float] = {}
    hashes: dict[str, str] = {}
    for name, member in entry["members"].items():
        if member["weight"] is not None:
            found = _read_task(folder / f"samples_{name}.jsonl", name)
            scores |= {f"{name}/{doc_id}": score * member["weight"] for doc_id, score in found.scores.items()}
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


def _doc_score(row: Any, where: str) -> tuple[str, float]:
    if not isinstance(row, dict) or "doc_id" not in row or "score" not in row:
        raise DataError(f"{where}: a sample needs doc_id and score. {_ADVICE}")
    score = row["score"]
    if isinstance(score, bool):
        score = float(score)
    if not isinstance(score, int | float) or not math.isfinite(score) or not 0.0 <= score <= 1.0:
        raise DataError(f"{where}: score must be a number from 0 to 1, not {score!r}. {_ADVICE}")
    return str(row["doc_id"]), float(score)


def _check_mean(folder: Path, task: str, entry: Mapping[str, Any], scores: TaskScores) -> None:
    mean = float(scores.values().mean())
    if abs(mean - entry["score"]) > _SCORE_TOLERANCE:
        raise DataError(
            f"{folder}: the score of {task} in results.json is {entry['score']:.6f}, its {len(scores.scores)} samples "
            f"give {mean:.6f}. {_ADVICE}"
        )


def common_doc_ids(tasks: Iterable[TaskScores]) -> list[str]:
    """Return the doc_ids that all ``tasks`` (one task under several labels) hold, sorted."""
    sets = [set(task.scores) for task in tasks]
    return sorted(set.intersection(*sets)) if sets else []
