"""Makes ``rho1bench/leaderboard/records/suite_pins.json`` from the tasks as they are.

``python tests/leaderboard/make_pins.py DATA_ROOT`` (with a local copy of the test data) prints the file. A set of which
the copy holds another number of rows than the hub is pinned by its rows, metric and version alone.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from rho1bench.evaluation.harness.lm_eval_tasks import Tasks
from rho1bench.evaluation.records import data_sha256, generation_settings, primary_metric
from rho1bench.paper.suites import SUITES
from rho1bench.system.files import sha256_json


def first_prompt(task: Any, doc: Any) -> str:
    context = task.fewshot_context(doc, task.get_config("num_fewshot"))
    return context if isinstance(context, str) else context[0]


def task_pin(tasks: Tasks, name: str, limit: int | None = None) -> dict[str, Any]:
    """Return what a record of the whole task holds; ``limit`` cuts the prompts."""
    loaded = tasks.load([name])
    group = tasks.benchmarks([name]).get(name)
    members = [one.task_name for one in group.get_all_tasks()] if group else list(loaded)
    data = [data_sha256(loaded[member]) for member in members]
    prompts = [
        sha256_json([first_prompt(loaded[member], doc) for doc in list(loaded[member].eval_docs)[:limit]])
        for member in members
    ]
    settings = {member: generation_settings(loaded[member]) for member in members}
    one = loaded[members[0]]
    counted = [
        member
        for member in members
        if group is None or primary_metric(loaded[member]) == group.aggregate_metric_list[0].metric
    ]
    return {
        "metric": group.aggregate_metric_list[0].metric if group else primary_metric(one),
        "num_rows": tasks.num_rows(name),
        "version": group.version if group else one.VERSION,
        "data_sha256": sha256_json(data) if group else data[0],
        "prompts_sha256": sha256_json(prompts) if group else prompts[0],
        "generation_kwargs": settings if group else settings[name],
        "rows_here": sum(len(loaded[member].eval_docs) for member in counted),
        "num_members": len(members) if group else None,
    }


def all_pins(suites: list[str]) -> dict[str, Any]:
    tasks = Tasks()
    pins = {}
    for name in dict.fromkeys(task for suite in suites for task in SUITES[suite]):
        pin = task_pin(tasks, name)
        whole = pin.pop("rows_here") == pin["num_rows"]
        pins[name] = pin if whole else pin | {"data_sha256": None, "prompts_sha256": None}
        print(name, whole, file=sys.stderr)
    return pins


if __name__ == "__main__":
    os.environ["RHO1BENCH_DATA"] = sys.argv[1]
    print(json.dumps(all_pins(list(SUITES)), indent=1))
