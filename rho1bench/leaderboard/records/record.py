"""A record: what one checkpoint scored on one suite, with everything needed to check it; a file of ``results/records``.

Place in the pipeline: ``from_evaluation`` and ``from_run`` make records, ``checks`` verifies them, the pages and
``rho1bench compare`` read nothing else. A record holds the score of every document, so that whoever has two records can
pair them; every other number in it follows from those, and ``checks`` recomputes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rho1bench.comparison.benchmark_overlap import CorpusOverlap
from rho1bench.comparison.costs import CheckpointCost
from rho1bench.comparison.equal_flops import CountedTokens, EqualFlops
from rho1bench.comparison.eval_results import fingerprint_parts
from rho1bench.comparison.intervals import Interval, average_interval, normal_interval, wilson_interval
from rho1bench.comparison.result_files import JsonObject
from rho1bench.comparison.statistics import Values, is_binary
from rho1bench.system.files import sha256_json

SCHEMA: Literal[1] = 1
UNHASHED = "0" * 64
"""Stands in for the hashes of a record that :func:`with_hashes` has not filled in yet."""
_OPTIONAL = ("code", "cost", "benchmark_overlap")
_LONG = 500
"""Scores from which on numpy counts faster than a string does."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]
_Numbers = Annotated[list[Annotated[float, Field(ge=0.0)]], Field(min_length=1)]
Scores = Annotated[str, Field(pattern=r"^[01]+$")] | _Numbers
"""Scores of a task's documents in the order of the test set: ``"0110"`` where all are 0 or 1, else numbers."""
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*/[a-z0-9][a-z0-9._-]*$", max_length=200)]
"""``<suite>/<name>``: the record is the file ``results/records/<suite>/<name>.json``."""


Scale = Literal["full", "limited", "mini", "smoke"]
"""``full`` records alone are ranked; ``limited``: not all documents; ``mini``: the embedded world's tasks,
and all others that are not the paper's suites."""


class RecordModel(BaseModel):
    """Base of the models below: frozen, strict about keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CheckpointFacts(RecordModel):
    """Which model; ``source`` is a hub id or a folder's name."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    source: str
    revision: str | None
    weights_sha256: Sha256 | None
    num_parameters: Count | None


class TrainingFacts(RecordModel):
    """How a recipe trained it; None in a record of a checkpoint from elsewhere."""

    recipe: str
    recipe_sha256: Sha256
    """Of the recipe as it was run, without its seeds."""
    stage: str
    method: str
    """``slm``, ``clm`` (full-token training), or the kind of stage."""
    selection: JsonObject | None
    seed: Count
    step: Count | None
    tokens: Count | None
    selected_tokens: Count | None
    validation_loss: float | None
    """Last loss on the recipe's held-out text, in nats."""


class EvaluationFacts(RecordModel):
    """How it was evaluated."""

    engine: str
    engine_version: str
    engine_settings: JsonObject
    dtype: str
    device: str
    decoding: JsonObject
    """Of tasks whose ``generation_kwargs`` say nothing else."""
    grader: Count
    grader_sha256: Sha256
    git: JsonObject | None
    versions: dict[str, str]
    seconds: Annotated[float, Field(ge=0.0)]


class CodeFacts(RecordModel):
    """Hashes of the code of rho1bench that made the numbers; records of earlier versions say nothing of it."""

    training: Sha256 | None
    """Of what trained the model; None for a checkpoint from elsewhere."""
    evaluation: Sha256


class TaskRecord(RecordModel):
    """One task, or benchmark of several lm-eval tasks."""

    metric: str
    score: Share
    ci: tuple[Share, Share]
    n: Annotated[int, Field(ge=1)]
    num_rows: Count | None
    """Rows of the whole test set; None where that is not known."""
    scores: Scores
    metrics: dict[str, Share]
    verdicts: dict[str, dict[str, Count]] | None
    truncated: Count
    prompts_too_long: Count
    version: float | str | int | None
    data_sha256: Sha256
    prompts_sha256: Sha256
    generation_kwargs: JsonObject | None

    @property
    def values(self) -> Values:
        """Scores of the documents, shape (n,)."""
        return decode(self.scores)

    @property
    def is_whole(self) -> bool:
        """True if every row of the test set was asked."""
        return self.num_rows is not None and self.n == self.num_rows


class Average(RecordModel):
    """Plain mean of the suite's tasks."""

    score: Share
    ci: tuple[Share, Share]
    n: Annotated[int, Field(ge=1)]


class CurvePoint(RecordModel):
    """A checkpoint along the way, on the first ``n`` documents of each task; ``tokens`` of its own stage."""

    step: Count
    tokens: Count
    selected_tokens: Count
    scores: dict[str, Scores]

    @property
    def strata(self) -> list[Values]:
        """Scores of each task's documents."""
        return [decode(scores) for scores in self.scores.values()]


class Difference(RecordModel):
    """Treatment minus baseline on the same documents."""

    difference: Annotated[float, Field(ge=-1.0, le=1.0)]
    ci: tuple[float, float] | None
    p: Share
    p_method: str
    p_holm: Share | None = None
    n: Annotated[int, Field(ge=1)]


class SpeedUp(RecordModel):
    """After what share of the baseline's tokens the treatment scores what the baseline ends with (figure 1)."""

    target: Share
    tokens: Annotated[float, Field(ge=0.0)] | None
    at_first_point: bool
    share: Annotated[float, Field(ge=0.0)] | None
    share_ci: tuple[float, float | None] | None
    num_checkpoints: Count
    n: Count
    counted: CountedTokens | None = None
    """The same with the treatment's reference and scoring counted; None where their cost is not known."""


class ComparisonRecord(RecordModel):
    """The treatment's record says how it compares with its baseline's."""

    baseline: Id
    average: Difference
    tasks: dict[str, Difference]
    tokens_to_baseline: SpeedUp | None
    equal_flops: EqualFlops | None = None
    """Both sides after the same number of operations; None without curves and costs of both."""


class Record(RecordModel):
    """One checkpoint on one suite."""

    schema_version: Literal[1] = Field(alias="schema")
    id: Id
    suite: str
    scale: Scale
    limit: Annotated[int, Field(ge=1)] | None
    model: CheckpointFacts
    training: TrainingFacts | None
    evaluation: EvaluationFacts
    command: str
    """What makes this row again."""
    average: Average
    tasks: dict[str, TaskRecord]
    curve: list[CurvePoint]
    comparison: ComparisonRecord | None
    eval_fingerprint: Sha256
    sha256: Sha256
    code: CodeFacts | None = None
    cost: CheckpointCost | None = None
    """What the checkpoint and all that it needed took; records of earlier versions say nothing of it."""
    benchmark_overlap: dict[str, CorpusOverlap] | None = None
    """By corpus that the checkpoint, or what it needed, was trained on: the benchmark texts found; None where none were
    looked for."""

    @property
    def strata(self) -> list[Values]:
        """Scores of each task's documents."""
        return [task.values for task in self.tasks.values()]


def encode(values: Sequence[float]) -> str | list[float]:
    """Return scores as a record keeps them."""
    if all(value in (0.0, 1.0) for value in values):
        return "".join("1" if value else "0" for value in values)
    return [float(value) for value in values]


def decode(scores: str | Sequence[float]) -> Values:
    """Return scores as an array of shape (n,)."""
    if isinstance(scores, str):
        return (np.frombuffer(scores.encode("ascii"), dtype=np.uint8) - ord("0")).astype(np.float64)
    return np.array(scores, dtype=np.float64)


def task_score(scores: str | Sequence[float]) -> float:
    """Return the mean score of the documents."""
    if isinstance(scores, str):
        return _num_ones(scores) / len(scores)
    return math.fsum(scores) / len(scores)


def _num_ones(scores: str) -> int:
    if len(scores) < _LONG:
        return scores.count("1")
    return int(np.frombuffer(scores.encode("ascii"), dtype=np.uint8).sum()) - ord("0") * len(scores)


def task_interval(scores: str | Sequence[float], score: float | None = None) -> Interval:
    """Return the 95% interval of :func:`task_score`, which the caller gives if it has it."""
    score = task_score(scores) if score is None else score
    if isinstance(scores, str):
        return wilson_interval(score, len(scores))
    values = decode(scores)
    if is_binary(values):
        return wilson_interval(score, len(scores))
    return normal_interval(score, float(values.std()), len(scores))


def average_of(tasks: Mapping[str, TaskRecord]) -> Average:
    """Return a record's ``average`` from the scores and intervals of its tasks."""
    scores = [task.score for task in tasks.values()]
    interval = average_interval(scores, [Interval(*task.ci) for task in tasks.values()])
    n = sum(task.n for task in tasks.values())
    return Average(score=math.fsum(scores) / len(scores), ci=(interval.low, interval.high), n=n)


def record_fingerprint_parts(record: JsonObject) -> dict[str, object]:
    """Return the named parts of ``eval_fingerprint``: those of two unlike records tell what differs."""
    return fingerprint_parts(record["tasks"], record["evaluation"]["decoding"], record["evaluation"]["grader"])


def eval_fingerprint(record: JsonObject) -> str:
    """Return the hash of tasks, documents, prompts, decoding and grader: one column of a table has one of them."""
    return sha256_json(record_fingerprint_parts(record))


def record_sha256(record: JsonObject) -> str:
    """Return the hash of a record's content, ``sha256`` itself left out."""
    return sha256_json({key: value for key, value in record.items() if key != "sha256"})


def settings_sha256(recipe: JsonObject) -> str:
    """Return the hash of what a recipe sets; seeds, which of them count, and the description are left out."""
    left_out = ("seed", "seeds", "tuning_seeds", "description")
    return sha256_json({key: recipe[key] for key in recipe if key not in left_out})


def with_hashes(record: Record) -> Record:
    """Return a record's content, validated, with its fingerprint and hash filled in."""
    data = as_json(record)
    data["eval_fingerprint"] = eval_fingerprint(data)
    # Hashed as the file will hold it: with every default written out.
    data = as_json(Record.model_validate(data))
    return Record.model_validate(data | {"sha256": record_sha256(data)})


def as_json(record: Record) -> JsonObject:
    """Return a record as its file holds it; parts that not all versions or runs have are left out where they lack."""
    data: JsonObject = record.model_dump(mode="json", by_alias=True)
    return {key: value for key, value in data.items() if key not in _OPTIONAL or value is not None}


def json_schema() -> JsonObject:
    """Return the JSON Schema of a record, the content of ``results/record.schema.json``."""
    schema = Record.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
