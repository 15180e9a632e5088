"""Reads one record and says what is wrong with it by itself: strict JSON, schema, hash, every number from its scores.

Used by ``checks`` for all records, and by ``compare`` for the two that it is given.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from rho1bench.comparison.result_files import JsonObject, schema_problems
from rho1bench.grading.verdict import Verdict
from rho1bench.leaderboard.records import record as rec
from rho1bench.leaderboard.records.contest_record import ContestRecord
from rho1bench.leaderboard.records.from_evaluation import scale_of
from rho1bench.leaderboard.records.pins import pin_problems
from rho1bench.leaderboard.records.record import SCHEMA, Record
from rho1bench.paper.suites import SUITES
from rho1bench.sizing.cost import total_cost

RECORDS = "records"
CLOSE = 1e-9
_SHOWN = 5
_LINES = "generation_kwargs"
"""Where texts may hold ends of lines: those at which generation stops."""


_File = TypeVar("_File", Record, ContestRecord)


def read_one(path: Path, place: str) -> tuple[Record | None, list[str]]:
    """Read one file, and say what is wrong with it by itself; ``place`` is its path under results/."""
    return read_file(path, place, Record, _own_problems)


def read_file(
    path: Path, place: str, model: type[_File], own_problems: Callable[[_File, JsonObject], Iterable[str]]
) -> tuple[_File | None, list[str]]:
    """Read one file of a kind of record; ``own_problems`` says what is wrong with its content."""
    if path.is_symlink():
        return None, ["is a link; a record is a file of its own"]
    if path.suffix != ".json" or not path.is_file():
        return None, ["is no record; only .json files belong here"]
    try:
        text = path.read_text(encoding="utf-8")
        data = strict_json(text)
        if isinstance(data, dict) and type(data.get("schema")) is not int:
            return None, [f"schema: should be the number {SCHEMA}"]
        record = model.model_validate_json(text, strict=True)
        problems = list(own_problems(record, data))
    except ValidationError as error:
        return None, list(schema_problems(error, _SHOWN))
    except RecursionError:
        return None, ["cannot be read: its JSON is nested too deeply"]
    except OverflowError:
        return None, ["cannot be read: its numbers are too large to add up"]
    except (OSError, ValueError) as error:
        return None, [f"cannot be read: {error}"]
    if place != f"{RECORDS}/{record.id}.json":
        problems.append(f"its id is {record.id!r}, so it belongs in {RECORDS}/{record.id}.json")
    return record, problems


def place_of(path: Path, results: Path) -> str:
    """Return a file's place under results/ as messages name it: in ASCII, whatever its name holds."""
    return ascii(path.relative_to(results).as_posix())[1:-1]


def strict_json(text: str) -> Any:
    """Parse JSON without its usual laxness: NaN, infinity, numbers beyond floats and doubled keys are errors."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice = sorted({key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1})
            raise ValueError(f"the key {twice[0]!r} comes twice in one object")
        return found

    def no_number(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number in JSON")

    def finite(digits: str) -> float:
        number = float(digits)
        if not math.isfinite(number):
            raise ValueError(f"the number {digits[:20]} is too large")
        return number

    def whole(digits: str) -> int:
        if len(digits) > 19:
            raise ValueError(f"the number {digits[:20]}... is too large")
        return int(digits)

    if not text.strip():
        raise ValueError("it is empty")
    return json.loads(text, object_pairs_hook=unique, parse_constant=no_number, parse_float=finite, parse_int=whole)


def _own_problems(record: Record, data: JsonObject) -> Iterator[str]:
    if rec.record_sha256(data) != record.sha256:
        yield "sha256 does not match its content: the record was changed after it was written. Pack the run again."
    if rec.eval_fingerprint(data) != record.eval_fingerprint:
        yield "eval_fingerprint does not match tasks, prompts, decoding and grader"
    for place, text in strange_texts(data):
        yield f"{place} holds characters other than printable ASCII: {ascii(text)[:80]}"
    if record.suite in SUITES and list(record.tasks) != list(SUITES[record.suite]):
        yield f"tasks are not those of {record.suite}"
    if not record.id.startswith(f"{record.suite}/"):
        yield f"the id {record.id!r} does not begin with the suite {record.suite!r}"
    for name, task in record.tasks.items():
        for problem in (*_task_problems(task), *_count_problems(task, record.limit)):
            yield f"tasks.{name}: {problem}"
    yield from pin_problems(record.tasks)
    yield from _average_problems(record)
    yield from _scale_problems(record)
    yield from _curve_problems(record)
    yield from _cost_problems(record)


def strange_texts(value: object, place: str = "the record") -> Iterator[tuple[str, str]]:
    """Yield the texts (keys too) that are not plain ASCII: look-alike letters and right-to-left marks mislead."""
    if isinstance(value, str):
        text = value.replace("\n", "").replace("\t", "") if _LINES in place else value
        if not (text.isascii() and text.isprintable()):
            yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from strange_texts(key, place)
            yield from strange_texts(item, str(key) if place == "the record" else f"{place}.{key}")
    elif isinstance(value, list) and not (value and isinstance(value[0], float)):
        for item in value:
            yield from strange_texts(item, place)


def _task_problems(task: rec.TaskRecord) -> Iterator[str]:
    if len(task.scores) != task.n:
        yield f"n is {task.n}, but there are {len(task.scores)} scores"
        return
    if isinstance(task.scores, list):
        if is_answers(task.scores):
            yield "its scores are all 0 or 1, and yet written as numbers"
        elif not task.metrics and max(task.scores) > 1.0:
            yield f"a document scores {max(task.scores):g}, more than 1"
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


def is_answers(scores: Iterable[float]) -> bool:
    """Tell whether scores are right and wrong answers, which a record writes as digits."""
    return set(scores) <= {0.0, 1.0}


def _count_problems(task: rec.TaskRecord, limit: int | None) -> Iterator[str]:
    """Yield counts that cannot be: verdicts, cut-off answers and rows against the scores and the limit."""
    known = {verdict.value for verdict in Verdict}
    for judge, counts in (task.verdicts or {}).items():
        if judge not in ("paper", "verified") or not set(counts) <= known:
            yield f"verdicts.{judge} has unknown names: {', '.join([judge, *sorted(set(counts) - known)])}"
    paper = (task.verdicts or {}).get("paper")
    if paper and isinstance(task.scores, str) and paper.get("correct", 0) != task.scores.count("1"):
        yield f"{paper.get('correct', 0)} answers are correct by the paper's verdict, {task.scores.count('1')} score 1"
    if task.metric in task.metrics and not close(task.metrics[task.metric], task.score):
        yield f"metrics.{task.metric} is {task.metrics[task.metric]}, the score {task.score}"
    answers = task.n * max(1, len(task.metrics))
    if max(task.truncated, task.prompts_too_long) > answers:
        yield f"truncated {task.truncated} and prompts_too_long {task.prompts_too_long}, but n is {task.n}"
    if task.num_rows is not None:
        if task.n > task.num_rows:
            yield f"n is {task.n}, the test set has {task.num_rows} rows"
        elif limit is None and task.n != task.num_rows:
            yield f"n is {task.n} of {task.num_rows} rows, though there is no limit"
        elif limit is not None and not task.metrics and task.n != min(limit, task.num_rows):
            yield f"n is {task.n}, with the limit {limit} and {task.num_rows} rows"


def _average_problems(record: Record) -> Iterator[str]:
    expected = rec.average_of(record.tasks)
    average = record.average
    if not close(average.score, expected.score) or average.n != expected.n:
        yield f"average {average.score} (n {average.n}) is not the mean of its tasks, {expected.score}"
    if not _all_close(average.ci, expected.ci) or not average.ci[0] <= average.score <= average.ci[1]:
        yield f"average: ci {list(average.ci)} does not follow from its tasks"


def _scale_problems(record: Record) -> Iterator[str]:
    if record.scale == "smoke" and record.training is not None:
        return
    expected = scale_of(record.suite, record.tasks)
    if record.scale == "full" and (expected == "limited" or record.limit is not None):
        yield "scale is full, but not every row of every test set was asked"
    elif record.scale == "full" and expected != "full":
        yield f"scale is full, but {record.suite} is none of the paper's suites"
    elif record.scale != expected and not (record.scale == "limited" and record.limit is not None):
        yield f"scale is {record.scale}, by its suite and documents it is {expected}"


def _curve_problems(record: Record) -> Iterator[str]:
    """Yield where the curve does not lead to the record's own scores."""
    curve, training = record.curve, record.training
    if not curve:
        return
    if training is None:
        yield "it has a curve and no training"
        return
    steps, tokens = [point.step for point in curve], [point.tokens for point in curve]
    if sorted(set(steps)) != steps or sorted(set(tokens)) != tokens:
        yield f"the steps {steps} and tokens {tokens} of its curve do not ascend"
    if any(point.selected_tokens > point.tokens for point in curve):
        yield "a point of its curve has more selected tokens than tokens"
    last = curve[-1]
    end = (last.step, last.tokens, last.selected_tokens)
    if end != (training.step, training.tokens, training.selected_tokens):
        yield f"its curve ends at {end} (step, tokens, selected tokens), which training does not say"
    for number, point in enumerate(curve):
        if list(point.scores) != list(record.tasks):
            yield f"curve.{number}: its tasks are not those of the record"
            return
        if [len(scores) for scores in point.scores.values()] != [len(scores) for scores in last.scores.values()]:
            yield f"curve.{number}: it has not as many documents as the last point"
    for name, scores in last.scores.items():
        whole = record.tasks[name].scores
        if len(scores) > len(whole) or not _same_scores(scores, whole[: len(scores)]):
            yield f"the last point of its curve has other scores on {name} than the record"


def _cost_problems(record: Record) -> Iterator[str]:
    """Yield where the sums of what it cost do not follow from the stages."""
    cost, training = record.cost, record.training
    if cost is None:
        return
    if training is None:
        yield "it has a cost and no training"
        return
    expected = total_cost(part.cost for part in cost.stages)
    for field, value in expected:
        found = getattr(cost.total, field)
        is_number = isinstance(found, float) and isinstance(value, float)
        if not (math.isclose(found, value, rel_tol=CLOSE, abs_tol=1e-3) if is_number else found == value):
            yield f"cost.total.{field} is {found}, its stages sum up to {value}"
    names = [part.stage for part in (*cost.stages, *cost.shared)]
    if len(set(names)) < len(names):
        yield "cost: a stage comes twice"
    if (cost.stages[-1].stage if cost.stages else training.stage) != training.stage:
        yield f"cost: the last stage is {cost.stages[-1].stage}, not its own"


def _same_scores(left: rec.Scores, right: rec.Scores) -> bool:
    return bool((rec.decode(left) == rec.decode(right)).all())


def close(left: float, right: float) -> bool:
    """Tell whether two numbers of a record agree."""
    return math.isclose(left, right, rel_tol=0.0, abs_tol=CLOSE)


def _all_close(left: Iterable[float], right: Iterable[float]) -> bool:
    return all(close(one, other) for one, other in zip(left, right, strict=True))
