"""Makes ``rho1bench/leaderboard/records/suite_pins.json`` from the tasks as they are.

``python tests/leaderboard/make_pins.py DATA_ROOT`` (with a local copy of the test data) prints the file. A set of which
the copy holds another number of rows than the hub is pinned without hashes of its data and prompts.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import Any

from rho1bench.evaluation.harness.lm_eval_tasks import Tasks
from rho1bench.evaluation.records import data_sha256, generation_settings, primary_metric
from rho1bench.paper.suites import SUITES
from rho1bench.system.files import sha256_json

ALL_TASKS = tuple(dict.fromkeys(task for tasks in SUITES.values() for task in tasks))


def first_prompt(task: Any, doc: Any) -> str:
    context = task.fewshot_context(doc, task.get_config("num_fewshot"))
    return context if isinstance(context, str) else context[0]


def task_pin(tasks: Tasks, name: str) -> dict[str, dict[str, Any]]:
    """Return the pin of a task under its version: what a record of the whole task holds."""
    loaded = tasks.load([name])
    group = tasks.benchmarks([name]).get(name)
    members = [one.task_name for one in group.get_all_tasks()] if group else list(loaded)
    metric = group.aggregate_metric_list[0].metric if group else primary_metric(loaded[name])
    settings = {member: generation_settings(loaded[member]) for member in members}
    counted = [loaded[member] for member in members if primary_metric(loaded[member]) == metric]
    pin: dict[str, Any] = {"metric": metric, "num_rows": tasks.num_rows(name)}
    hashes: dict[str, Any] = {"data_sha256": None, "prompts_sha256": None}
    if sum(len(task.eval_docs) for task in counted) == pin["num_rows"]:
        data = [data_sha256(loaded[member]) for member in members]
        prompts = [
            sha256_json([first_prompt(loaded[member], doc) for doc in loaded[member].eval_docs]) for member in members
        ]
        hashes = {
            "data_sha256": sha256_json(data) if group else data[0],
            "prompts_sha256": sha256_json(prompts) if group else prompts[0],
        }
    version = group.version if group else loaded[name].VERSION
    return {str(version): pin | hashes | {"generation_kwargs": settings if group else settings[name]}}


def all_pins(names: Iterable[str] = ALL_TASKS) -> dict[str, dict[str, dict[str, Any]]]:
    tasks = Tasks()
    return {name: task_pin(tasks, name) for name in names}


if __name__ == "__main__":
    os.environ["RHO1BENCH_DATA"] = sys.argv[1]
    lines = [f" {json.dumps(name)}: {json.dumps(pin)}" for name, pin in all_pins().items()]
    print("{\n" + ",\n".join(lines) + "\n}")
