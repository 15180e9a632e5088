"""What ``rho1bench tasks`` prints: the shipped tasks with their sources, and the prompts that a task sends to a model.

The prompts are those that lm-eval builds, exemplars included, so what is printed is what is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from rho1bench.errors import RunError
from rho1bench.evaluation.data.math_sets import MATH_SETS
from rho1bench.evaluation.harness.lm_eval_tasks import Tasks
from rho1bench.evaluation.harness.lm_eval_types import Doc, EvalTask
from rho1bench.paper.suites import SUITES, find_suites


@dataclass(frozen=True)
class TaskFacts:
    """One line of ``rho1bench tasks list``; ``metric`` is the task's score."""

    name: str
    suites: tuple[str, ...]
    num_rows: int | None
    metric: str
    source: str


def list_tasks() -> list[TaskFacts]:
    """Return the facts of all shipped tasks and benchmarks (not of their parts), without fetching any data."""
    tasks = Tasks()
    configs = {name: tasks.config(name) for name in tasks.names}
    parts = {part for config in configs.values() if "group" in config for part in config["task"]}
    return [_facts(name, tasks) for name in sorted(set(configs) - parts)]


def _facts(name: str, tasks: Tasks) -> TaskFacts:
    config = tasks.config(name)
    suites = {**tasks.groups, **SUITES}
    return TaskFacts(
        name,
        tuple(sorted(suite for suite, members in suites.items() if name in members)),
        tasks.num_rows(name),
        str((config.get("aggregate_metric_list") or config["metric_list"])[0]["metric"]),
        _source(name, config, tasks),
    )


def _source(name: str, config: Doc, tasks: Tasks) -> str:
    options = config.get("dataset_kwargs") or {}
    if (math_set := MATH_SETS.get(options.get("data_set", ""))) is not None:
        repository = math_set.file.repository
        return f"{repository.name}@{repository.commit[:7]}"
    if name.startswith("mini_"):
        return "embedded mini world"
    members = [name for name in config["task"] if name in tasks.names] if "group" in config else []
    revisions = options.get("revisions") or (tasks.config(members[0])["dataset_kwargs"]["revisions"] if members else {})
    pins = [f"{path}@{revision[:7]}" for path, revision in revisions.items()]
    return pins[0] + (", ..." if len(pins) > 1 else "") if pins else ""


def task_prompts(name: str, limit: int | None = None) -> Iterator[str]:
    """Yield the whole prompt of each test row of a task or a benchmark.

    A row that has several contexts gives them as one text.

    Raises:
        RunError: there is no such task, or the name is that of a group.
        DataError: the task's data cannot be obtained or are not the pinned ones.
    """
    tasks = Tasks()
    (suite,) = find_suites([name], tasks.groups, tasks.names)
    if suite.tasks != (name,):
        raise RunError(f"{name!r} is a suite; its prompts can be had task by task: {', '.join(suite.tasks)}.")
    loaded = tasks.load([name]).values()
    return (_whole(task, doc) for task in loaded for doc in islice(task.eval_docs, limit))


def _whole(task: EvalTask, doc: Doc) -> str:
    context = task.fewshot_context(doc, task.get_config("num_fewshot"))
    return context if isinstance(context, str) else "\n".join(context)
