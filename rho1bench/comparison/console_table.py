"""The tables that end a run on the console, made from its ``summary.json``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.table import Table
from rich.text import Text

from rho1bench.comparison.contest.results import ContestResult
from rho1bench.comparison.contest.text import DifferenceText, arm_rows, choices, coverage, findings, parts_of
from rho1bench.comparison.differences import PairComparison, ScoreDifference
from rho1bench.comparison.run_summary import PairOverSeeds, RunSummary, SeedsEntry, SeedsSummary
from rho1bench.rendering import numbers as fmt


def result_tables(summary: RunSummary | SeedsSummary) -> list[Table | Text]:
    """Return all that the console shows of a finished run: its contests, then its pairs."""
    contests = summary.contests if isinstance(summary, RunSummary) else []
    shown: list[Table | Text] = [part for contest in contests for part in contest_tables(contest)]
    pairs = summary.pairs if isinstance(summary, SeedsSummary) else summary.comparisons
    return [*shown, comparison_table(summary)] if pairs else shown


def contest_tables(contest: ContestResult) -> Iterator[Table | Text]:
    """Yield a table a suite, the best arm first, and below it what it says and what it speaks of."""
    for suite in contest.suites:
        unit = "percent, differences in points" if suite.unit == "share" else suite.unit
        table = Table(title=Text(f"{contest.terms.name} on {suite.suite}: {unit}"), title_justify="left")
        for column in ("arm", "setting"):
            table.add_column(column, overflow="fold")
        for column in ("score", *(f"minus {name}" for name in parts_of(suite).values())):
            table.add_column(column, justify="right", overflow="fold")
        for row in arm_rows(suite):
            cells = [_against(value) for value in row.against.values()]
            table.add_row(Text(row.arm), Text(row.setting), Text(row.score), *cells)
        yield table
        yield Text("\n".join([*(one.sentence for one in findings(suite)), *coverage(contest, suite)]))
    if text := choices(contest):
        yield Text(text)


def _against(value: DifferenceText | None) -> Text:
    """Return a difference with its interval and Holm's p; bold where significant, ``=`` where negligible."""
    if value is None:
        return Text("")
    same = ", =" if value.is_equivalent else ""
    style = "bold" if value.significant else ""
    return Text(f"{value.difference} ({value.ci}), p {value.p}{same}", style=style)


def comparison_table(summary: RunSummary | SeedsSummary) -> Table:
    """Return treatment against baseline, one row a pair and suite; significant differences are bold.

    Interval and p are over test documents, or over seeds where the summary is; p is adjusted over the suites.
    """
    pairs: Iterable[PairComparison | PairOverSeeds]
    pairs, counted = (summary.pairs, "seeds") if isinstance(summary, SeedsSummary) else (summary.comparisons, "n")
    unit = "seeds" if isinstance(summary, SeedsSummary) else "questions"
    title = f"{summary.recipe}: scores in percent, differences in points, p over {unit}"
    table = Table(title=Text(title), title_justify="left")
    for column in ("comparison", "suite"):
        table.add_column(column, overflow="fold")
    for column in ("treatment", "baseline", "difference", "95% CI", "p", counted):
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
        fmt.p_value(entry.p if entry.p_holm is None else entry.p_holm),
        fmt.count(entry.n),
    ]
