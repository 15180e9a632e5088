"""Numbers that a pretraining stage wrote along its way, as curves against tokens (``metrics.jsonl``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rho1bench.errors import DataError
from rho1bench.system.files import read_jsonl

LOSSES = ("loss_selected", "loss_unselected", "validation_loss")
SELECT_RATIO = "select_ratio"
"""The share of the tokens that a step kept."""
Points = list[tuple[float, float]]


def read_curves(folder: Path, names: Sequence[str] = LOSSES) -> dict[str, Points]:
    """Return ``{name: [(tokens, number), ...]}`` of a pretraining stage, without what was not measured.

    Raises DataError for a folder without metrics.
    """
    path = folder / "metrics.jsonl"
    try:
        rows = read_jsonl(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not the metrics of a training stage ({error!r}). Run the stage again.") from error
    curves = {
        name: [(float(row["tokens"]), float(row[name])) for row in rows if row.get(name) is not None] for name in names
    }
    return {name: points for name, points in curves.items() if points}
