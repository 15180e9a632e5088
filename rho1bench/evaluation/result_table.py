"""The table that ends ``rho1bench eval``: scores with 95% intervals, and the paper's nearest rows beside them.

A pure function of ``results.json`` and ``results/paper/tables.json``. The paper prints no intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rho1bench.comparison.intervals import Interval, average_interval, normal_interval, wilson_interval
from rho1bench.paper.tables import PaperRow, nearest_rows

Record = Mapping[str, Any]


def task_interval(summary: Mapping[str, Any]) -> Interval:
    """Return the 95% interval of a task's score, as fractions, from its ``score``, ``n``, ``binary`` and ``stdev``."""
    if summary.get("binary", True):
        return wilson_interval(summary["score"], summary["n"])
    return normal_interval(summary["score"], summary["stdev"], summary["n"])


def suite_interval(summaries: Sequence[Mapping[str, Any]]) -> Interval:
    """Return the 95% interval of the plain mean of independent tasks."""
    return average_interval([summary["score"] for summary in summaries], [task_interval(one) for one in summaries])


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
    interval = suite_interval(summaries)
    mean = math.fsum(summary["score"] for summary in summaries) / len(summaries)
    counts = [str(sum(summary[key] for summary in summaries)) for key in ("n", "truncated")]
    return [_percent(100 * mean), f"{100 * interval.low:.1f} to {100 * interval.high:.1f}", *counts]


def _printed(row: PaperRow | None, task: str) -> str:
    return _percent(row.scores.get(task)) if row else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
