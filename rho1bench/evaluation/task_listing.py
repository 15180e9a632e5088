"""What ``rho1bench tasks`` prints: the shipped tasks with their sources, and the prompts that a task sends to a model.

The prompts are those that lm-eval builds, exemplars included, so what is printed is what is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rho1bench.errors import RunError
from rho1bench.evaluation.data_sets import MATH_SETS
from rho1bench.evaluation.harness import Tasks
from rho1bench.evaluation.suites import SUITES, find_suites


@dataclass(frozen=True)
class TaskFacts:
    """One line of ``rho1bench tasks list``; ``metric`` is the task's score."""

    name: str
    suites: tuple[str, ...]
    num_rows: int | None
    metric: str
    source: str


def list_tasks() -> list[TaskFacts]:
    """Return the facts of all shipped tasks, without fetching any data."""
    tasks = Tasks()
    return [_facts(name, tasks) for name in sorted(tasks.names)]


def _facts(name: str, tasks: Tasks) -> TaskFacts:
    config = tasks.config(name)
    suites = {**tasks.groups, **SUITES}
    num_rows, source = _rows_and_source(name, config, tasks)
    return TaskFacts(
        name,
        tuple(sorted(suite for suite, members in suites.items() if name in members)),
        num_rows,
        str(config["metric_list"][0]["metric"]),
        source,
    )


def _rows_and_source(name: str, config: dict[str, Any], tasks: Tasks) -> tuple[int | None, str]:
    options = config.get("dataset_kwargs") or {}
    if (math_set := MATH_SETS.get(options.get("data_set", ""))) is not None:
        repository = math_set.file.repository
        return math_set.num_rows, f"{repository.name}@{repository.commit[:7]}"
    if name.startswith("mini_"):
        return len(tasks.load([name])[name].eval_docs), "embedded mini world"
    return None, str(config.get("dataset_path") or "")


def task_prompts(name: str, limit: int | None = None) -> Iterator[str]:
    """Yield the whole prompt of each test row of a task; the contexts of one row, where it has several, as one text.

    Raises:
        RunError: there is no such task, or the name is that of a group.
        DataError: the task's data cannot be had or are not the pinned ones.
    """
    tasks = Tasks()
    (suite,) = find_suites([name], tasks.groups, tasks.names)
    if suite.tasks != (name,):
        raise RunError(f"{name!r} is a suite; its prompts can be had task by task: {', '.join(suite.tasks)}.")
    task = tasks.load([name])[name]
    return (_whole(task, doc) for doc in islice(task.eval_docs, limit))


def _whole(task: Any, doc: dict[str, Any]) -> str:
    context = task.fewshot_context(doc, task.get_config("num_fewshot"))
    return context if isinstance(context, str) else "\n".join(context)
