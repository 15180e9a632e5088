"""Tables for the console, made from a run's ``summary.json``; ``cli`` prints them after a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from rho1bench.rendering import numbers as fmt


def comparison_table(summary: Mapping[str, Any]) -> Table:
    """Return treatment against baseline, one row a pair and suite; significant differences are bold.

    ``summary`` is a run's summary.json, or the one over seeds (then interval and p are over seeds).
    """
    over_seeds = "pairs" in summary
    title = f"{summary.get('recipe', '')}: scores in percent, differences in points"
    table = Table(title=Text(title), title_justify="left")
    for column in ("comparison", "suite"):
        table.add_column(column, overflow="fold")
    for column in ("treatment", "baseline", "difference", "95% CI", "p", "seeds" if over_seeds else "n"):
        table.add_column(column, justify="right", overflow="fold")
    for pair in summary["pairs" if over_seeds else "comparisons"]:
        for suite, entry in pair["suites"].items():
            table.add_row(*(Text(cell) for cell in _cells(pair, suite, entry)), style=_style(entry["p"]))
    return table


def _cells(pair: Mapping[str, Any], suite: str, entry: Mapping[str, Any]) -> list[str]:
    return [
        f"{fmt.label_name(pair['treatment'])} against {fmt.label_name(pair['baseline'])}",
        suite,
        fmt.percent(entry["treatment"]),
        fmt.percent(entry["baseline"]),
        fmt.points(entry["difference"]),
        fmt.interval(entry["ci"]),
        fmt.p_value(entry["p"]),
        fmt.count(entry["n"]),
    ]


def _style(p: float | None) -> str:
    return "bold" if p is not None and p < fmt.SIGNIFICANT else ""
