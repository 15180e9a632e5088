"""What must be true of the files in ``results/``: ``rho1bench leaderboard check``, run before every build.

A record is checked by itself (strict JSON, schema, hash, and every number that follows from its scores), in its place
(the file's name is its id) and among the others (one evaluation a column, no row twice, the baseline is there).
Everything is reported at once. Whether the pages are stale is for ``building`` to say.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rho1bench.files import read_json
from rho1bench.leaderboard import record as rec
from rho1bench.leaderboard.entry import Entry, reduced
from rho1bench.leaderboard.paired import differing_parts
from rho1bench.leaderboard.record import ComparisonRecord, Record
from rho1bench.leaderboard.statistics import mcnemar_exact_p
from rho1bench.paper_tables import paper_tables
from rho1bench.suites import SUITES

RECORDS = "records"
_CLOSE = 1e-9
_SHOWN = 5
_KEPT_RECIPE = re.compile(r"\bresults/(recipes/[a-z0-9._-]+\.yaml)\b")


def read_records(results: Path) -> tuple[list[Entry], list[str]]:
    """Return the records under ``results/records`` in the order of their ids, reduced, and every problem of them.

    A record with a problem of its own is left out. They are read one by one, so that thousands fit into memory.
    """
    records, problems = [], []
    for path in sorted((results / RECORDS).rglob("*"), key=lambda path: path.as_posix()):
        if path.is_dir():
            continue
        place = path.relative_to(results).as_posix()
        record, found = read_one(path, place)
        problems += [f"{place}: {problem}" for problem in found]
        if record is not None and not found:
            records.append(reduced(record))
            problems += [f"{place}: {problem}" for problem in _recipe_problems(record, results)]
    return sorted(records, key=lambda one: one.id), problems + list(_among(records, results))


def read_one(path: Path, place: str) -> tuple[Record | None, list[str]]:
    """Read one file, and say what is wrong with it by itself; ``place`` is its path under results/."""
    if path.suffix != ".json":
        return None, ["is no record; only .json files belong here"]
    try:
        data = _strict_json(path.read_text(encoding="utf-8"))
        record = Record.model_validate(data)
    except ValidationError as error:
        return None, list(_schema_problems(error))
    except (OSError, ValueError) as error:
        return None, [f"cannot be read: {error}"]
    problems = list(_own_problems(record, data))
    if place != f"{RECORDS}/{record.id}.json":
        problems.append(f"its id is {record.id!r}, so it belongs in {RECORDS}/{record.id}.json")
    return record, problems


def _recipe_problems(record: Record, results: Path) -> Iterator[str]:
    """Yield what is wrong with the recipe that is kept for a record because it does not ship."""
    match = _KEPT_RECIPE.search(record.command)
    if match is None or record.training is None:
        return
    try:
        recipe = yaml.safe_load((results / match[1]).read_text(encoding="utf-8"))
        fits = rec.settings_sha256(recipe) == record.training.recipe_sha256
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        yield f"its recipe {match[1]} cannot be read: {error}"
        return
    if not fits:
        yield f"{match[1]} is not the recipe that it was made with"


def _strict_json(text: str) -> Any:
    """Parse JSON without its usual laxness: NaN, infinity and keys that come twice are errors."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice = sorted({key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1})
            raise ValueError(f"the key {twice[0]!r} comes twice in one object")
        return found

    def no_number(name: str) -> Any:
        raise ValueError(f"{name} is no number in JSON")

    return json.loads(text, object_pairs_hook=unique, parse_constant=no_number)


def _schema_problems(error: ValidationError) -> Iterator[str]:
    details = error.errors(include_url=False)
    for detail in details[:_SHOWN]:
        yield f"{'.'.join(map(str, detail['loc'])) or 'the record'}: {detail['msg']}"
    if len(details) > _SHOWN:
        yield f"and {len(details) - _SHOWN} further problems of form"


def _own_problems(record: Record, data: Mapping[str, Any]) -> Iterator[str]:
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
    yield from _average_problems(record, data)
    yield from _scale_problems(record)


def _task_problems(task: rec.TaskRecord) -> Iterator[str]:
    if len(task.scores) != task.n:
        yield f"n is {task.n}, but there are {len(task.scores)} scores"
        return
    expected = rec.task_score(task.scores)
    if not _close(task.score, expected):
        yield f"score {task.score} does not follow from its scores, which give {expected}"
    if not _all_close(task.ci, rec.task_interval(task.scores, expected).as_list()):
        yield f"ci {list(task.ci)} does not follow from its scores"
    if not task.ci[0] <= task.score <= task.ci[1]:
        yield f"ci {list(task.ci)} does not hold the score {task.score}"
    for judge, counts in (task.verdicts or {}).items():
        if sum(counts.values()) != task.n:
            yield f"the {judge} verdicts are {sum(counts.values())}, the documents {task.n}"


def _average_problems(record: Record, data: Mapping[str, Any]) -> Iterator[str]:
    expected = rec.average_of(data["tasks"])
    average = record.average
    if not _close(average.score, expected["score"]) or average.n != expected["n"]:
        yield f"average {average.score} (n {average.n}) is not the mean of its tasks, {expected['score']}"
    if not _all_close(average.ci, expected["ci"]) or not average.ci[0] <= average.score <= average.ci[1]:
        yield f"average: ci {list(average.ci)} does not follow from its tasks"


def _scale_problems(record: Record) -> Iterator[str]:
    whole = all(task.is_whole for task in record.tasks.values())
    if record.scale == "full" and (not whole or record.limit is not None):
        yield "scale is full, but not every row of every test set was asked"
    if record.scale == "full" and record.suite not in {table["suite"] for table in paper_tables()["tables"]} | {
        "rho1_general15"
    }:
        yield f"scale is full, but {record.suite} is none of the paper's suites"


def _among(records: Iterable[Entry], results: Path) -> Iterator[str]:
    """Yield what is wrong among records that are right by themselves."""
    by_id = {record.id: record for record in records}
    columns: dict[tuple[str, str, int | None], list[Entry]] = defaultdict(list)
    for record in by_id.values():
        columns[record.suite, record.scale, record.limit].append(record)
    for column in columns.values():
        yield from _unlike(column, results)
        yield from _twice(column)
    for record in by_id.values():
        if record.comparison is not None:
            yield from _comparison_problems(record, record.comparison, by_id.get(record.comparison.baseline))


def _unlike(column: list[Entry], results: Path) -> Iterator[str]:
    first = column[0]
    for other in column[1:]:
        if other.eval_fingerprint != first.eval_fingerprint:
            whole = (Record.model_validate(read_json(results / RECORDS / f"{one.id}.json")) for one in (first, other))
            parts = "; ".join(list(differing_parts(*whole))[:3])
            yield f"{RECORDS}/{other.id}.json: may not stand in one column with {first.id}, it differs in {parts}"


def _twice(column: list[Entry]) -> Iterator[str]:
    seen: dict[tuple[Any, ...], str] = {}
    for record in column:
        model, training = record.model, record.training
        identity = (
            model.weights_sha256 or (model.source, model.revision),
            record.engine,
            (training.recipe, training.stage, training.seed) if training else None,
        )
        if identity in seen:
            yield f"{RECORDS}/{record.id}.json: the same row as {seen[identity]}"
        seen[identity] = record.id


def _comparison_problems(record: Entry, comparison: ComparisonRecord, baseline: Entry | None) -> Iterator[str]:
    place = f"{RECORDS}/{record.id}.json"
    if baseline is None:
        yield f"{place}: its baseline {comparison.baseline} has no record, or a broken one"
        return
    if baseline.eval_fingerprint != record.eval_fingerprint or list(comparison.tasks) != list(record.tasks):
        yield f"{place}: its baseline {baseline.id} was evaluated otherwise"
        return
    entries = {name: (comparison.tasks[name], record.tasks[name], baseline.tasks[name]) for name in record.tasks}
    expected = {name: (entry, left.score - right.score) for name, (entry, left, right) in entries.items()}
    expected["the average"] = (comparison.average, record.average.score - baseline.average.score)
    for name, (entry, difference) in expected.items():
        if not _close(entry.difference, difference):
            yield f"{place}: comparison of {name}: the difference is {difference}, not {entry.difference}"
        if entry.ci is not None and not entry.ci[0] - _CLOSE <= entry.difference <= entry.ci[1] + _CLOSE:
            yield f"{place}: comparison of {name}: ci {list(entry.ci)} does not hold the difference {entry.difference}"
    for name, (entry, left, right) in entries.items():
        if left.is_binary and right.is_binary and not _close(entry.p, mcnemar_exact_p(left.values, right.values)):
            yield f"{place}: comparison of {name}: p is not that of McNemar's test"


def _close(left: float, right: float) -> bool:
    return math.isclose(left, right, rel_tol=0.0, abs_tol=_CLOSE)


def _all_close(left: Iterable[float], right: Iterable[float]) -> bool:
    return all(_close(one, other) for one, other in zip(left, right, strict=True))
