"""Benchmarks made of several lm-eval tasks (MMLU's 57 subjects, BBH's 27 tasks, ...): one score each in a suite.

A benchmark is an lm-eval group whose metadata has the key ``benchmark``; that may name the folder of lm-eval's own
tasks which the group is made of (``lm_eval``), looked through only when the benchmark is asked for, and the number of
``rows`` on the hub. The first entry of the group's ``aggregate_metric_list`` is the score; every entry is one of the
record's metrics. Paper section 3.3.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from rho1bench.comparison.result_files import JsonObject
from rho1bench.evaluation.harness.lm_eval_internals import task_index
from rho1bench.evaluation.harness.lm_eval_types import AggregateMetric, EvalTask, TaskEntry, TaskGroup, TaskManager
from rho1bench.system.files import sha256_json


def is_benchmark(entry: TaskEntry | None) -> bool:
    """Return whether an entry of lm-eval's task index is a benchmark."""
    return entry is not None and "benchmark" in ((entry.cfg or {}).get("metadata") or {})


def load_benchmark(manager: TaskManager, name: str) -> tuple[TaskGroup, dict[str, EvalTask]]:
    """Return lm-eval's group called ``name`` and its tasks by name."""
    import lm_eval.tasks

    index = task_index(manager)
    if folder := (index[name].cfg or {})["metadata"]["benchmark"].get("lm_eval"):
        path = Path(lm_eval.tasks.__file__).parent / folder
        others: TaskManager = lm_eval.tasks.TaskManager(include_path=str(path), include_defaults=False)
        for other, entry in task_index(others).items():
            index.setdefault(other, entry)
    loaded = manager.load([name])
    return loaded["groups"][name], dict(loaded["tasks"])


def benchmark_summary(
    group: TaskGroup, summaries: Mapping[str, JsonObject], rows: Mapping[str, Sequence[JsonObject]]
) -> JsonObject:
    """Return what a record says of a benchmark, from the summaries and sample rows of its tasks.

    It has the keys of a task's summary, besides them ``metrics`` (fractions by name) and ``members``: the tasks'
    summaries. A member has a ``weight`` if it counts in the score, which is the mean of all its rows' scores times the
    weight.
    """
    names = [task.task_name for task in group.get_all_tasks()]
    head = group.aggregate_metric_list[0]
    weights = _weights(names, summaries, head)
    values = [weights[name] * row["score"] for name in weights for row in rows[name]]
    metrics = {entry.metric: _mean(names, summaries, entry) for entry in group.aggregate_metric_list}
    members = {name: summaries[name] | {"weight": weights.get(name)} for name in names}
    return {
        "metric": head.metric,
        "score": metrics[head.metric],
        "metrics": metrics,
        "weight_by_size": head.weight_by_size,
        "n": len(values),
        "binary": all(value in (0.0, 1.0) for value in values),
        "stdev": statistics.pstdev(values),
        **{key: sum(member[key] for member in members.values()) for key in ("truncated", "prompts_too_long")},
        "version": group.version,
        **{key: sha256_json([member[key] for member in members.values()]) for key in ("data_sha256", "prompts_sha256")},
        "generation_kwargs": {name: member["generation_kwargs"] for name, member in members.items()},
        "members": members,
    }


def _with_metric(names: Sequence[str], summaries: Mapping[str, JsonObject], metric: str) -> list[str]:
    return [name for name in names if summaries[name]["metric"] == metric]


def _weights(names: Sequence[str], summaries: Mapping[str, JsonObject], entry: AggregateMetric) -> dict[str, float]:
    """Return the weight of a row of each task that counts: 1, or what gives every task the same share."""
    counted = _with_metric(names, summaries, entry.metric)
    total = sum(summaries[name]["n"] for name in counted)
    return {name: 1.0 if entry.weight_by_size else total / (len(counted) * summaries[name]["n"]) for name in counted}


def _mean(names: Sequence[str], summaries: Mapping[str, JsonObject], entry: AggregateMetric) -> float:
    """Return the mean of the scores over rows, or over tasks, as lm-eval's ``aggregate_metric_list`` entry says."""
    counted = [summaries[name] for name in _with_metric(names, summaries, entry.metric)]
    if not entry.weight_by_size:
        return statistics.fmean(summary["score"] for summary in counted)
    return statistics.fmean((summary["score"] for summary in counted), (summary["n"] for summary in counted))
