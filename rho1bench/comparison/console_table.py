"""The table that ends a run on the console, made from its ``summary.json``."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from rho1bench.comparison.differences import PairComparison, ScoreDifference
from rho1bench.comparison.run_summary import PairOverSeeds, RunSummary, SeedsEntry, SeedsSummary
from rho1bench.rendering import numbers as fmt


def comparison_table(summary: RunSummary | SeedsSummary) -> Table:
    """Return treatment against baseline, one row a pair and suite; significant differences are bold.

    Interval and p are over test documents, or over seeds where the summary is; p is adjusted over the suites.
    """
    pairs: Iterable[PairComparison | PairOverSeeds]
    pairs, counted = (summary.pairs, "seeds") if isinstance(summary, SeedsSummary) else (summary.comparisons, "n")
    title = f"{summary.recipe}: scores in percent, differences in points"
    table = Table(title=Text(title), title_justify="left")
    for column in ("comparison", "suite"):
        table.add_column(column, overflow="fold")
    unit = "seeds" if isinstance(summary, SeedsSummary) else "questions"
    for column in ("treatment", "baseline", "difference", "95% CI", f"p over {unit}", "Holm", "p over tasks", counted):
        table.add_column(column, justify="right", overflow="fold")
    for pair in pairs:
        name = f"{fmt.label_name(pair.treatment)} against {fmt.label_name(pair.baseline)}"
        for suite, entry in pair.suites.items():
            p = entry.p if entry.p_holm is None else entry.p_holm
            bold = "bold" if p is not None and p < fmt.SIGNIFICANT else ""
            table.add_row(*(Text(cell) for cell in [name, suite, *_cells(entry)]), style=bold)
    return table


def _cells(entry: ScoreDifference | SeedsEntry) -> list[str]:
    return [
        fmt.percent(entry.treatment),
        fmt.percent(entry.baseline),
        fmt.points(entry.difference),
        fmt.interval(entry.ci),
        fmt.p_value(entry.p),
        fmt.p_value(entry.p_holm),
        fmt.p_value(entry.p_tasks),
        fmt.count(entry.n),
    ]
