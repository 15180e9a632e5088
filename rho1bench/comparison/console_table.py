"""The tables that end a run on the console, made from its ``summary.json``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from rho1bench.comparison.contest.results import ContestResult
from rho1bench.comparison.contest.text import DifferenceText, arm_rows, choices, coverage, findings, parts_of
from rho1bench.comparison.differences import BitsComparison, PairComparison, ScoreDifference
from rho1bench.comparison.run_summary import PairOverSeeds, RunSummary, SeedsEntry, SeedsSummary
from rho1bench.rendering import numbers as fmt


def result_tables(summary: RunSummary | SeedsSummary) -> list[Table | Text]:
    """Return all that the console shows of a finished run: its contests, then its pairs."""
    contests = summary.contests if isinstance(summary, RunSummary) else []
    shown: list[Table | Text] = [part for contest in contests for part in contest_tables(contest)]
    pairs: Sequence[PairComparison | PairOverSeeds]
    pairs = summary.pairs if isinstance(summary, SeedsSummary) else summary.comparisons
    if any(pair.suites for pair in pairs):
        shown.append(comparison_table(summary))
    if isinstance(summary, RunSummary) and any(pair.bits_per_byte for pair in summary.comparisons):
        shown.append(bits_table(summary))
    return shown


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


def bits_table(summary: RunSummary) -> Table:
    """Return treatment against baseline on the texts that were measured, one row a pair and text."""
    title = f"{summary.recipe}: bits per byte, lower is better, p over blocks or documents"
    table = Table(title=Text(title), title_justify="left")
    for column in ("comparison", "text"):
        table.add_column(column, overflow="fold")
    for column in ("treatment", "baseline", "difference", "95% CI", "p", "n"):
        table.add_column(column, justify="right", overflow="fold")
    for pair in summary.comparisons:
        name = f"{fmt.label_name(pair.treatment)} against {fmt.label_name(pair.baseline)}"
        for row in bits_rows(pair.bits_per_byte) if pair.bits_per_byte else ():
            table.add_row(*(Text(cell) for cell in [name, *row]))
    return table


def bits_rows(bits: BitsComparison) -> list[list[str]]:
    """Return a row a text: name, both sides, difference, interval, p and n; gold answers by suite, then by task."""
    entries = {f"{name} (corpus)": entry for name, entry in bits.corpora.items()}
    entries |= {f"gold answers of {suite}, mean": entry for suite, entry in bits.suites.items()} | bits.gold_answers
    return [
        [
            name,
            fmt.bits(entry.treatment),
            fmt.bits(entry.baseline),
            fmt.signed(entry.difference, 4),
            fmt.NONE if entry.ci is None else f"{fmt.signed(entry.ci[0], 4)} to {fmt.signed(entry.ci[1], 4)}",
            fmt.p_value(entry.p),
            fmt.count(entry.n),
        ]
        for name, entry in entries.items()
    ]


def _cells(entry: ScoreDifference | SeedsEntry) -> list[str]:
    return [
        fmt.percent(entry.treatment),
        fmt.percent(entry.baseline),
        fmt.points(entry.difference),
        fmt.interval(entry.ci),
        fmt.p_value(entry.p if entry.p_holm is None else entry.p_holm),
        fmt.count(entry.n),
    ]
