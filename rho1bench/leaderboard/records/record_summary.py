"""Summaries of records: what the checks among them and the pages need, so that thousands fit into little memory.

Scores of documents are kept as bits (or as numbers where they are not 0 or 1), what thousands of records say alike is
kept once, and a curve as its averages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern

import numpy as np

from rho1bench.comparison.costs import CheckpointCost
from rho1bench.comparison.intervals import average_interval
from rho1bench.comparison.result_files import JsonObject
from rho1bench.comparison.statistics import Values
from rho1bench.leaderboard.records.record import (
    Average,
    CheckpointFacts,
    CodeFacts,
    ComparisonRecord,
    CurvePoint,
    Record,
    TaskRecord,
    TrainingFacts,
    task_interval,
    task_score,
)
from rho1bench.system.files import sha256_json

_CODE_LENGTH = 12
STAGE_FACTS = ("engine", "dtype", "grader", "grader_sha256", "decoding")
"""What one ``eval`` stage uses for all its checkpoints; device, versions and commit may change where it is resumed."""


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """Score, interval and documents of one task."""

    score: float
    ci: tuple[float, float]
    n: int
    is_binary: bool
    measured: str
    """Names of its further metrics and of the judges of its answers."""
    packed: bytes
    """The documents' scores: a bit each where all are 0 or 1, else float64."""

    @property
    def values(self) -> Values:
        """Scores of the documents, shape (n,)."""
        if self.is_binary:
            return np.unpackbits(np.frombuffer(self.packed, dtype=np.uint8), count=self.n).astype(np.float64)
        return np.frombuffer(self.packed, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class PointSummary:
    """A checkpoint along the way: the suite's average and its interval, fractions of 1."""

    tokens: int
    score: float
    ci: tuple[float, float]
    n: int


@dataclass(frozen=True, slots=True)
class Origin:
    """How a row of ours is made again."""

    record: str
    """The record's id."""
    command: str
    source: str
    revision: str | None
    weights_sha256: str | None
    recipe: str | None
    recipe_sha256: str | None
    stage: str | None
    seed: int | None
    selection: str | None
    commit: str | None
    dirty: bool
    engine: str
    dtype: str
    device: str
    eval_fingerprint: str
    code: str | None
    """Hashes of the code that trained and evaluated, shortened; None in records of earlier versions."""


@dataclass(frozen=True, slots=True)
class RecordSummary:
    """One record without what only its own check needs."""

    id: str
    suite: str
    scale: str
    limit: int | None
    model: CheckpointFacts
    training: TrainingFacts | None
    engine: str
    origin: Origin
    average: Average
    tasks: Mapping[str, TaskSummary]
    curve: tuple[PointSummary, ...]
    comparison: ComparisonRecord | None
    eval_fingerprint: str
    cost: CheckpointCost | None
    facts_sha256: str
    """Of how it was evaluated and what it cost, all of it: the same for one checkpoint on all suites."""
    stage_facts_sha256: str
    """Of what one ``eval`` stage uses for all of its checkpoints."""
    training_code: str | None
    counts: bool = True
    """False: settings were chosen on its seed, so it is in no mean and no p over seeds."""


def summarize(record: Record, *, counts: bool = True) -> RecordSummary:
    """Return what is needed of a record."""
    return RecordSummary(
        id=record.id,
        suite=intern(record.suite),
        scale=intern(record.scale),
        limit=record.limit,
        model=record.model,
        training=record.training,
        engine=intern(record.evaluation.engine),
        origin=origin_of(record),
        average=record.average,
        tasks={intern(name): _task(task) for name, task in record.tasks.items()},
        curve=tuple(_point(point) for point in record.curve),
        comparison=record.comparison,
        eval_fingerprint=intern(record.eval_fingerprint),
        cost=record.cost,
        facts_sha256=intern(_sha256_of_facts(record)),
        stage_facts_sha256=intern(_sha256_of_stage(record)),
        training_code=record.code.training if record.code else None,
        counts=counts,
    )


def _sha256_of_facts(record: Record) -> str:
    facts = record.model_dump(mode="json", include={"evaluation", "code", "cost", "benchmark_overlap"})
    return sha256_json(facts)


def _sha256_of_stage(record: Record) -> str:
    facts = record.evaluation.model_dump(mode="json", include=set(STAGE_FACTS))
    return sha256_json(facts | {"code": record.code.evaluation if record.code else None})


def _task(task: TaskRecord) -> TaskSummary:
    measured = intern(", ".join([*task.metrics, *(f"verdicts {judge}" for judge in task.verdicts or ())]))
    if isinstance(task.scores, str):
        bits = np.frombuffer(task.scores.encode("ascii"), dtype=np.uint8) & 1
        return TaskSummary(task.score, task.ci, task.n, True, measured, np.packbits(bits).tobytes())
    return TaskSummary(task.score, task.ci, task.n, False, measured, np.array(task.scores, dtype=np.float64).tobytes())


def _point(point: CurvePoint) -> PointSummary:
    scores = [task_score(values) for values in point.scores.values()]
    pairs = zip(point.scores.values(), scores, strict=True)
    interval = average_interval(scores, [task_interval(values, score) for values, score in pairs])
    n = sum(len(values) for values in point.scores.values())
    return PointSummary(point.tokens, math.fsum(scores) / len(scores), (interval.low, interval.high), n)


def origin_of(record: Record) -> Origin:
    """Return how the row of ``record`` is made again."""
    model, training, evaluation = record.model, record.training, record.evaluation
    git = evaluation.git or {}
    return Origin(
        record=record.id,
        command=record.command,
        source=model.source,
        revision=model.revision,
        weights_sha256=model.weights_sha256,
        recipe=training.recipe if training else None,
        recipe_sha256=training.recipe_sha256 if training else None,
        stage=training.stage if training else None,
        seed=training.seed if training else None,
        selection=selection_text(training.selection) if training else None,
        commit=str(git["commit"]) if git.get("commit") else None,
        dirty=bool(git.get("dirty")),
        engine=f"{evaluation.engine} {evaluation.engine_version}",
        dtype=evaluation.dtype,
        device=evaluation.device,
        eval_fingerprint=record.eval_fingerprint,
        code=_code_text(record.code) if record.code else None,
    )


def _code_text(code: CodeFacts) -> str:
    training = f"training {code.training[:_CODE_LENGTH]}, " if code.training else ""
    return f"{training}evaluation {code.evaluation[:_CODE_LENGTH]}"


def selection_text(selection: JsonObject | None) -> str | None:
    """Return a token selection in words: its score functions, joined as they are combined."""
    if selection is None:
        return None
    for key, word in (("all_of", " AND "), ("any_of", " OR ")):
        if selection.get(key):
            return word.join(_part_text(part) for part in selection[key])
    return _part_text(selection)


def _part_text(part: object) -> str:
    if not isinstance(part, dict):
        return str(part)
    parameters = ", ".join(f"{name} {value}" for name, value in (part.get("parameters") or {}).items())
    words = f" ({parameters})" if parameters else ""
    return f"{part.get('score', 'excess_loss')}{words}{_share_text(part.get('ratio'))}"


def _share_text(ratio: object) -> str:
    if isinstance(ratio, int | float):
        return f" {100 * ratio:g}%"
    if not isinstance(ratio, dict):
        return ""
    if ratio.get("schedule") == "linear":
        return f" {100 * ratio['start']:g}% to {100 * ratio['end']:g}%"
    before = f"100% for {ratio['steps']} steps, then " if ratio.get("steps") else ""
    return f" {before}{100 * ratio['ratio']:g}%"
