"""The scores that the paper prints, from ``results/paper/tables.json``, and which of them stand beside a checkpoint.

Shown by ``rho1bench eval`` beside its own scores. Published numbers are in percent; everywhere else in this package
scores are fractions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from rho1bench.system.files import read_json
from rho1bench.system.paths import results_dir

PrintedRow = Mapping[str, Any]
"""A table or a row of the file, as it is."""
TABLES_SHA256 = "86c36244360b2fc07d456af67af5481b51449feebbd9ef6bebb7ea99811335eb"
"""Of the file, whose numbers were compared with the paper's."""
MOST_ROWS = 3


@dataclass(frozen=True)
class PaperRow:
    """One printed row: scores in percent by task name (those that are reported), and the printed average."""

    model: str
    table: str
    scores: dict[str, float]
    average: float | None


@cache
def paper_tables() -> dict[str, Any]:
    """Return the file as it is."""
    tables: dict[str, Any] = read_json(results_dir() / "paper" / "tables.json")
    return tables


def nearest_rows(suite: str, checkpoint_names: Iterable[str], num_parameters: int | None) -> list[PaperRow]:
    """Return the rows of the paper's main table of ``suite`` that a checkpoint may be read against.

    A model that the paper evaluated has its own row (found by any of ``checkpoint_names``); any other gets the rows of
    the nearest number of parameters, on a log scale, at most three. Empty for a suite that the paper does not print.
    """
    table = next((table for table in paper_tables()["tables"] if table["suite"] == suite), None)
    if table is None:
        return []
    known = [tuple(table.get("checkpoints", {}).get(name, ())) for name in checkpoint_names]
    rows = [row for row in table["rows"] if (row["model"], row.get("params")) in known]
    return [_row(table, row) for row in rows or _by_size(table["rows"], num_parameters)]


def _by_size(rows: list[PrintedRow], num_parameters: int | None) -> list[PrintedRow]:
    sized = [row for row in rows if row.get("params") and row["average"] is not None]
    if not num_parameters or not sized:
        return []
    distances = [abs(math.log(row["params"] / num_parameters)) for row in sized]
    nearest = min(distances)
    return [row for row, distance in zip(sized, distances, strict=True) if distance == nearest][:MOST_ROWS]


def _row(table: PrintedRow, row: PrintedRow) -> PaperRow:
    scores = {task: score for task, score in zip(table["tasks"], row["scores"], strict=True) if score is not None}
    params = f" {row['params'] / 1e9:.3g}B" if row.get("params") else ""
    return PaperRow(f"{row['model']}{params}", table["table"], scores, row["average"])
