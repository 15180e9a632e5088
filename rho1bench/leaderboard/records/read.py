"""Reads one record and says what is wrong with it by itself: strict JSON, schema, hash, every number from its scores.

Used by ``checks`` for all records, and by ``compare`` for the two that it is given.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from rho1bench.comparison.result_files import JsonObject, schema_problems
from rho1bench.leaderboard.records import record as rec
from rho1bench.leaderboard.records.record import Record
from rho1bench.paper.protocol import RANKED_SUITES
from rho1bench.paper.suites import SUITES

RECORDS = "records"
CLOSE = 1e-9
_SHOWN = 5


def read_one(path: Path, place: str) -> tuple[Record | None, list[str]]:
    """Read one file, and say what is wrong with it by itself; ``place`` is its path under results/."""
    if path.suffix != ".json":
        return None, ["is no record; only .json files belong here"]
    try:
        data = _strict_json(path.read_text(encoding="utf-8"))
        record = Record.model_validate(data)
    except ValidationError as error:
        return None, list(schema_problems(error, _SHOWN))
    except (OSError, ValueError) as error:
        return None, [f"cannot be read: {error}"]
    problems = list(_own_problems(record, data))
    if place != f"{RECORDS}/{record.id}.json":
        problems.append(f"its id is {record.id!r}, so it belongs in {RECORDS}/{record.id}.json")
    return record, problems


def _strict_json(text: str) -> Any:
    """Parse JSON without its usual laxness: NaN, infinity and keys that come twice are errors."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice = sorted({key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1})
            raise ValueError(f"the key {twice[0]!r} comes twice in one object")
        return found

    def no_number(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number in JSON")

    return json.loads(text, object_pairs_hook=unique, parse_constant=no_number)


def _own_problems(record: Record, data: JsonObject) -> Iterator[str]:
    if rec.record_sha256(data) != record.sha256:
        yield "sha256 does not match its content: the record was changed after it was written. Pack the run again."
    if rec.eval_fingerprint(data) != record.eval_fingerprint:
        yield "eval_fingerprint does not match tasks, prompts, decoding and grader"
    if record.suite in SUITES and list(record.tasks) != list(SUITES[record.suite]):
        yield f"tasks are not those of {record.suite}"
    if not record.id.startswith(f"{record.suite}/"):
        yield f"the id {record.id!r} does not begin with the suite {record.suite!r}"
    for name, task in record.tasks.items():
        for problem in _task_problems(task):
            yield f"tasks.{name}: {problem}"
    yield from _average_problems(record)
    yield from _scale_problems(record)


def _task_problems(task: rec.TaskRecord) -> Iterator[str]:
    if len(task.scores) != task.n:
        yield f"n is {task.n}, but there are {len(task.scores)} scores"
        return
    expected = rec.task_score(task.scores)
    if not close(task.score, expected):
        yield f"score {task.score} does not follow from its scores, which give {expected}"
    if not _all_close(task.ci, rec.task_interval(task.scores, expected).as_list()):
        yield f"ci {list(task.ci)} does not follow from its scores"
    if not task.ci[0] <= task.score <= task.ci[1]:
        yield f"ci {list(task.ci)} does not hold the score {task.score}"
    for judge, counts in (task.verdicts or {}).items():
        if sum(counts.values()) != task.n:
            yield f"the {judge} verdicts are {sum(counts.values())}, the documents {task.n}"


def _average_problems(record: Record) -> Iterator[str]:
    expected = rec.average_of(record.tasks)
    average = record.average
    if not close(average.score, expected.score) or average.n != expected.n:
        yield f"average {average.score} (n {average.n}) is not the mean of its tasks, {expected.score}"
    if not _all_close(average.ci, expected.ci) or not average.ci[0] <= average.score <= average.ci[1]:
        yield f"average: ci {list(average.ci)} does not follow from its tasks"


def _scale_problems(record: Record) -> Iterator[str]:
    whole = all(task.is_whole for task in record.tasks.values())
    if record.scale == "full" and (not whole or record.limit is not None):
        yield "scale is full, but not every row of every test set was asked"
    if record.scale == "full" and record.suite not in RANKED_SUITES:
        yield f"scale is full, but {record.suite} is none of the paper's suites"


def close(left: float, right: float) -> bool:
    """Tell whether two numbers of a record agree."""
    return math.isclose(left, right, rel_tol=0.0, abs_tol=CLOSE)


def _all_close(left: Iterable[float], right: Iterable[float]) -> bool:
    return all(close(one, other) for one, other in zip(left, right, strict=True))
