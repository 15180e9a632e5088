"""A contest's record: the answers of every run that counts, what the choice saw, and what came of it.

A file of ``results/records/contest``. ``contest_from_run`` makes it, ``contest_checks`` computes its result again from
the answers. Runs that only served to choose a setting are there with what the choice went by, and without answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from rho1bench.comparison.contest.choice import Trial
from rho1bench.comparison.contest.contest import Entrant, hold
from rho1bench.comparison.contest.results import ContestResult, ContestTerms
from rho1bench.comparison.costs import StageCost
from rho1bench.comparison.eval_results import fingerprint_parts
from rho1bench.comparison.result_files import JsonObject
from rho1bench.leaderboard.records.record import (
    Count,
    EvaluationFacts,
    Id,
    RecordModel,
    Scale,
    Scores,
    Sha256,
    decode,
    record_sha256,
    task_score,
)
from rho1bench.recipe.models.contest import Role
from rho1bench.recipe.texts import text_of
from rho1bench.sizing.cost import total_cost
from rho1bench.system.files import sha256_json

FOLDER = "contest"
"""Under ``results/records``: no suite has this name."""
DIGITS = 6
"""Significant digits of the result's numbers, which follow from the answers."""


class TaskFacts(RecordModel):
    """One task of a suite, the same for all runs; or one text whose bits per byte were measured."""

    metric: str
    n: Annotated[int, Field(ge=2)]
    num_rows: Count | None
    version: float | str | int | None
    data_sha256: Sha256
    prompts_sha256: Sha256
    """Of a text the hash of its data again."""
    generation_kwargs: JsonObject | None

    @property
    def is_whole(self) -> bool:
        """True if every row of the test set was asked."""
        return self.num_rows is not None and self.n == self.num_rows


class SuiteFacts(RecordModel):
    """One suite of the contest."""

    limit: Annotated[int, Field(ge=1)] | None
    scale: Scale
    tasks: dict[str, TaskFacts]


class TrialRecord(RecordModel):
    """One trained stage as far as the choice may see it."""

    stage: str
    arm: str
    setting: str
    number: float | None
    seed: Count | None
    value: float | None
    """What the choice goes by; on tuning seeds alone."""


class RunRecord(RecordModel):
    """One trained stage that counts: its model and its answers."""

    stage: str
    arm: str
    role: Role
    setting: str
    seed: Count | None
    """None: trained once, for all seeds."""
    weights_sha256: Sha256 | None
    num_parameters: Count | None
    step: Count
    tokens: Count
    selected_tokens: Count
    validation_loss: float | None
    needed: list[str]
    """Stages that it alone needed, its own training last; what each took stands in ``costs``."""
    scores: dict[str, dict[str, Scores]]
    """By suite and task, in the order of the test set; of texts each document's bits over the mean bytes of one."""
    late: dict[str, list[dict[str, Scores]]]
    """By suite: the same of the last checkpoints along the training, in order."""


class ContestCode(RecordModel):
    """Hashes of the code of rho1bench that made the numbers."""

    training: dict[str, Sha256]
    """By kind of stage."""
    evaluation: Sha256 | None


class ContestRecord(RecordModel):
    """One contest of one run."""

    schema_version: Literal[1] = Field(alias="schema")
    id: Id
    recipe: str
    recipe_sha256: Sha256
    seed: Count
    """Of the recipe; stages of a matrix have their own."""
    scale: Scale
    command: str
    evaluation: EvaluationFacts
    code: ContestCode
    terms: ContestTerms
    suites: dict[str, SuiteFacts]
    trials: list[TrialRecord]
    runs: list[RunRecord]
    costs: dict[str, StageCost]
    """By stage: what the runs needed."""
    result: ContestResult
    eval_fingerprint: Sha256
    sha256: Sha256


def scale_of_suites(suites: Mapping[str, SuiteFacts]) -> Scale:
    """Return the scale of a contest: that of its suites of tasks, ``limited`` where they have several."""
    of_tasks = {facts.scale for suite, facts in suites.items() if text_of(suite) is None}
    scales = of_tasks or {facts.scale for facts in suites.values()}
    return next(iter(scales)) if len(scales) == 1 else "limited"


def held_again(record: ContestRecord) -> ContestResult:
    """Return the result as its answers give it; raises ``DataError`` or ``ValueError`` where they cannot."""
    trials = [Trial(one.stage, one.arm, one.setting, one.number, one.seed, one.value) for one in record.trials]
    return rounded(hold(record.terms, trials, lambda settings: _entrants(record, settings)))


def _entrants(record: ContestRecord, settings: Mapping[str, str]) -> dict[str, list[Entrant]]:
    arms: dict[str, list[RunRecord]] = {arm: [] for arm in settings}
    for one in record.runs:
        chosen = settings.get(one.arm)
        if chosen != one.setting:
            raise ValueError(f"{one.stage} counts with the setting {one.setting!r}, the choice is {chosen!r}")
        arms[one.arm].append(one)
    missing = [arm for arm, runs in arms.items() if not runs]
    if missing:
        raise ValueError(f"the arm {missing[0]} has no run that counts")
    costs = record.costs
    return {
        suite: [_entrant(suite, facts, runs, costs) for runs in arms.values()] for suite, facts in record.suites.items()
    }


def _entrant(suite: str, facts: SuiteFacts, runs: Sequence[RunRecord], costs: Mapping[str, StageCost]) -> Entrant:
    first = runs[0]
    late = [one.late[suite] for one in runs if one.late.get(suite)]
    return Entrant(
        arm=first.arm,
        role=first.role,
        setting=first.setting,
        seeds=tuple(one.seed for one in runs if one.seed is not None),
        scores={task: np.stack([decode(one.scores[suite][task]) for one in runs]) for task in facts.tasks},
        late={task: [[task_score(point[task]) for point in run] for run in late] for task in facts.tasks},
        costs=[total_cost(costs[name].cost for name in one.needed) for one in runs]
        if all(one.needed and set(one.needed) <= set(costs) for one in runs)
        else (),
    )


def rounded(result: ContestResult) -> ContestResult:
    """Return a result with ``DIGITS`` significant digits."""
    return ContestResult.model_validate(_rounded(result.model_dump(mode="json")))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def with_hashes(record: ContestRecord) -> ContestRecord:
    """Return a record's content, validated, with its fingerprint and hash filled in."""
    data = as_json(record)
    data["eval_fingerprint"] = contest_fingerprint(data)
    data = as_json(ContestRecord.model_validate(data))
    return ContestRecord.model_validate(data | {"sha256": record_sha256(data)})


def contest_fingerprint(record: JsonObject) -> str:
    """Return the hash of tasks, documents, prompts, decoding and grader."""
    tasks = {
        name if text_of(suite) is None else f"{suite} {name}": task
        for suite, facts in record["suites"].items()
        for name, task in facts["tasks"].items()
    }
    return sha256_json(fingerprint_parts(tasks, record["evaluation"]["decoding"], record["evaluation"]["grader"]))


def as_json(record: ContestRecord) -> JsonObject:
    """Return a record as its file holds it."""
    data: JsonObject = record.model_dump(mode="json", by_alias=True)
    return data


def record_text(data: JsonObject) -> str:
    """Return a record as the text of its file: an item of a list a line, so that hundreds of runs stay readable."""
    parts = []
    for key, value in data.items():
        items = [json.dumps(item, separators=(",", ":")) for item in value] if isinstance(value, list) else []
        text = "[\n" + ",\n".join(items) + "\n]" if items else json.dumps(value, separators=(",", ":"))
        parts.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def json_schema() -> JsonObject:
    """Return the JSON Schema of a contest's record, the content of ``results/contest.schema.json``."""
    schema = ContestRecord.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
