"""The table that ends ``rho1bench eval``: scores with 95% intervals, and the paper's nearest rows beside them.

A pure function of ``results.json`` and ``results/paper/tables.json``. The paper prints no intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from rho1bench.comparison.eval_results import EvalResults, TaskResult, suite_interval
from rho1bench.paper.tables import PaperRow, nearest_rows


def result_table(results: EvalResults) -> Table:
    """Return the table of one checkpoint."""
    columns = {suite: _paper_columns(results, suite) for suite in results.suites}
    names = list(dict.fromkeys(row.model for rows in columns.values() for row in rows))
    table = Table(title=f"{results.label}: score in percent", title_justify="left")
    table.add_column("task", no_wrap=True)
    for name in ("score", "95% interval", "n", "cut off"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in names:
        table.add_column(f"paper: {name}", justify="right")
    for suite, entry in results.suites.items():
        beside = {row.model: row for row in columns[suite]}
        for task in entry.tasks:
            printed = [_printed(beside.get(name), task) for name in names]
            table.add_row(task, *_cells([results.tasks[task]]), *printed)
        averages = [_percent(beside[name].average) if name in beside else "" for name in names]
        if len(entry.tasks) > 1:
            cells = _cells([results.tasks[task] for task in entry.tasks])
            table.add_row(f"{suite} (mean)", *cells, *averages, style="bold")
        table.add_section()
    return table


def bits_table(results: EvalResults) -> Table | None:
    """Return the bits per byte of one checkpoint; None where nothing was measured."""
    texts = {f"{name} (corpus)": entry for name, entry in results.corpora.items()} | results.gold_answers
    if not texts:
        return None
    table = Table(title=f"{results.label}: bits per byte, lower is better", title_justify="left")
    table.add_column("text", no_wrap=True)
    for name in ("bits per byte", "documents", "bytes", "cut off"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, entry in texts.items():
        counts = (str(count) for count in (entry.n, entry.num_bytes, entry.truncated))
        table.add_row(name, f"{entry.bits_per_byte:.4f}", *counts)
    return table


def _paper_columns(results: EvalResults, suite: str) -> list[PaperRow]:
    return nearest_rows(suite, [results.label, Path(results.model).name], results.num_parameters)


def _cells(tasks: Sequence[TaskResult]) -> list[str]:
    interval = suite_interval(tasks)
    mean = math.fsum(task.score for task in tasks) / len(tasks)
    counts = [str(sum(task.n for task in tasks)), str(sum(task.truncated for task in tasks))]
    return [_percent(100 * mean), f"{100 * interval.low:.1f} to {100 * interval.high:.1f}", *counts]


def _printed(row: PaperRow | None, task: str) -> str:
    return _percent(row.scores.get(task)) if row else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
