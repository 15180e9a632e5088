"""The table that ends ``rho1bench eval``: scores with 95% intervals, and the paper's nearest rows beside them.

A pure function of ``results.json`` and ``results/paper/tables.json``. The paper prints no intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rho1bench.paper_tables import PaperRow, nearest_rows

Interval = tuple[float, float]
Record = Mapping[str, Any]


def task_interval(summary: Mapping[str, Any]) -> Interval:
    """Return the 95% interval of a task's score, as fractions: Wilson's for scores of 0 and 1, else the normal one."""
    from scipy.stats import binomtest

    n, score = summary["n"], summary["score"]
    if summary.get("binary", True):
        found = binomtest(round(score * n), n).proportion_ci(method="wilson")
        return float(found.low), float(found.high)
    half = 1.96 * summary["stdev"] / math.sqrt(n)
    return max(0.0, score - half), min(1.0, score + half)


def suite_interval(summaries: Sequence[Mapping[str, Any]]) -> Interval:
    """Return the 95% interval of the plain mean of independent tasks, from the intervals of the tasks.

    The distances of the limits are added in squares (the method of variance estimates recovery), which keeps the
    mean's interval apart from 0 and 1 as Wilson's does.
    """
    mean = math.fsum(summary["score"] for summary in summaries) / len(summaries)
    intervals = [task_interval(summary) for summary in summaries]
    down = math.hypot(*(s["score"] - low for s, (low, _) in zip(summaries, intervals, strict=True)))
    up = math.hypot(*(high - s["score"] for s, (_, high) in zip(summaries, intervals, strict=True)))
    return mean - down / len(summaries), mean + up / len(summaries)


def result_table(record: Record) -> Any:
    """Return the rich table of one checkpoint from the ``rho1bench`` part of its record."""
    from rich.table import Table

    columns = {suite: _paper_columns(record, suite) for suite in record["suites"]}
    names = list(dict.fromkeys(row.model for rows in columns.values() for row in rows))
    table = Table(title=f"{record['label']}: score in percent", title_justify="left")
    table.add_column("task", no_wrap=True)
    for name in ("score", "95% interval", "n", "cut off"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in names:
        table.add_column(f"paper: {name}", justify="right")
    for suite, entry in record["suites"].items():
        beside = {row.model: row for row in columns[suite]}
        for task in entry["tasks"]:
            printed = [_printed(beside.get(name), task) for name in names]
            table.add_row(task, *_cells([record["tasks"][task]]), *printed)
        averages = [_percent(beside[name].average) if name in beside else "" for name in names]
        summaries = [record["tasks"][task] for task in entry["tasks"]]
        if len(summaries) > 1:
            table.add_row(f"{suite} (mean)", *_cells(summaries), *averages, style="bold")
        table.add_section()
    return table


def _paper_columns(record: Record, suite: str) -> list[PaperRow]:
    names = [record["label"], Path(str(record.get("model") or "")).name]
    return nearest_rows(suite, names, record.get("num_parameters"))


def _cells(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    low, high = suite_interval(summaries)
    mean = math.fsum(summary["score"] for summary in summaries) / len(summaries)
    counts = [str(sum(summary[key] for summary in summaries)) for key in ("n", "truncated")]
    return [_percent(100 * mean), f"{100 * low:.1f} to {100 * high:.1f}", *counts]


def _printed(row: PaperRow | None, task: str) -> str:
    return _percent(row.scores.get(task)) if row else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
