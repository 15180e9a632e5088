"""What a record of a suite's task must say: rows, documents, prompts, metric and decoding, pinned by task and version.

``suite_pins.json`` is made from the tasks themselves (``tests/leaderboard/make_pins.py``); a task that changes gets a
new version, and the pin of the old one stays for the records that were made with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from rho1bench.comparison.result_files import JsonObject
from rho1bench.leaderboard.records.contest_record import TaskFacts
from rho1bench.leaderboard.records.record import RecordModel, TaskRecord

PINS_FILE = Path(__file__).with_name("suite_pins.json")


class TaskPin(RecordModel):
    """One version of a task; a hash is None for a test set that was not at hand whole."""

    metric: str
    num_rows: int | None
    data_sha256: str | None
    prompts_sha256: str | None
    """Of the prompts of all rows."""
    generation_kwargs: JsonObject | None


@cache
def task_pins() -> Mapping[str, Mapping[str, TaskPin]]:
    """Return the pins by task and version."""
    return TypeAdapter(dict[str, dict[str, TaskPin]]).validate_json(PINS_FILE.read_bytes())


def pin_problems(tasks: Mapping[str, TaskRecord] | Mapping[str, TaskFacts]) -> Iterator[str]:
    """Yield where the tasks of a record are not the pinned ones; tasks of other suites are not pinned."""
    for name, task in tasks.items():
        versions = task_pins().get(name)
        if versions is None:
            continue
        pin = versions.get(str(task.version))
        if pin is None:
            yield f"tasks.{name}: version {task.version} of the task is unknown, known: {', '.join(versions)}"
        else:
            yield from (f"tasks.{name}: {problem}" for problem in _differences(task, pin))


def _differences(task: TaskRecord | TaskFacts, pin: TaskPin) -> Iterator[str]:
    if task.num_rows != pin.num_rows:
        yield f"num_rows is {task.num_rows}, the test set has {pin.num_rows} rows"
    if task.metric != pin.metric:
        yield f"the metric is {task.metric}, that of the task is {pin.metric}"
    if task.generation_kwargs != pin.generation_kwargs:
        yield "generation_kwargs are not those of the task"
    if pin.data_sha256 not in (None, task.data_sha256):
        yield "data_sha256 is not that of the pinned test set"
    if task.is_whole and pin.prompts_sha256 not in (None, task.prompts_sha256):
        yield "prompts_sha256 is not that of the pinned prompts"
