"""A board's numbers as text, the same in Markdown and in HTML; the templates put it in its place and escape it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rho1bench.leaderboard.records.record_summary import Origin
from rho1bench.leaderboard.tables.accuracy_curves import Figure
from rho1bench.leaderboard.tables.paper_rows import ARXIV
from rho1bench.leaderboard.tables.table import Cell, Column, Fact, Group, Row, Table
from rho1bench.rendering import numbers as fmt

BY = {"paper": "paper", "rho1bench": "rho1bench", "seeds": "rho1bench"}
HASH_LENGTH = 12
SELF_REPORTED = (
    "Rows of rho1bench are self-reported: every number follows from the scores in the row's record, and recipe, test "
    "set and prompts are pinned, but nobody has run the commands again, and scores that were made up consistently "
    "could not be told from measured ones."
)
"""What a check of files cannot know; both pages say it."""


@dataclass(frozen=True, slots=True)
class CellView:
    """One number: what stands first, below it, and below that."""

    text: str
    interval: str
    p: str
    marked: bool
    note: int | None


@dataclass(frozen=True, slots=True)
class FactView:
    """A word or a number beside a row; ``order`` is what it sorts by, where that is not its text."""

    text: str
    order: str


@dataclass(frozen=True, slots=True)
class RowView:
    """One line; ``link`` is the paper or the record."""

    name: str
    by: str
    mean: bool
    link: str
    facts: list[FactView]
    cells: list[CellView]
    details: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class GroupView:
    """Rows under a title."""

    title: str
    rows: list[RowView]


@dataclass(frozen=True, slots=True)
class TableView:
    """A table ready for the templates."""

    key: str
    title: str
    kind: str
    facts: Sequence[str]
    columns: list[tuple[str, str]]
    """Title and the documents behind each number, as text."""
    groups: list[GroupView]
    notes: Sequence[str]
    num_rows: int
    mixed: bool
    """True: rows of the paper and of ours."""
    titled: bool
    """True: its groups have titles."""
    has_details: bool


def table_view(table: Table) -> TableView:
    """Return a table's text."""
    rows = table.rows
    return TableView(
        key=table.key,
        title=table.title,
        kind=table.kind,
        facts=table.facts,
        columns=[_column(column) for column in table.columns],
        groups=[_group(group, table.kind) for group in table.groups],
        notes=table.notes,
        num_rows=len(rows),
        mixed=len({BY[row.by] for row in rows}) > 1,
        titled=any(group.title for group in table.groups),
        has_details=any(row.origin for row in rows),
    )


def _column(column: Column) -> tuple[str, str]:
    return column.title, "" if column.n is None else fmt.count(column.n)


def _group(group: Group, kind: str) -> GroupView:
    return GroupView(group.title, [_row(row, kind) for row in group.rows])


def _row(row: Row, kind: str) -> RowView:
    cell_view = _score if kind == "scores" else _difference
    return RowView(
        name=row.name,
        by=BY[row.by],
        mean=row.by == "seeds",
        link=ARXIV if row.by == "paper" else f"records/{row.origin.record}.json" if row.origin else "",
        facts=[_fact(fact) for fact in row.facts],
        cells=[cell_view(cell) for cell in row.cells],
        details=list(_details(row.origin)) if row.origin else [],
    )


def _score(cell: Cell) -> CellView:
    text = fmt.NONE if cell.value is None else f"{cell.value:.1f}"
    interval = f"{cell.ci[0]:.1f}{fmt.NONE}{cell.ci[1]:.1f}" if cell.ci else ""
    return CellView(text, interval, "", cell.marked, cell.note)


def _difference(cell: Cell) -> CellView:
    text = fmt.NONE if cell.value is None else fmt.signed(cell.value, 1)
    interval = f"{fmt.signed(cell.ci[0], 1)} to {fmt.signed(cell.ci[1], 1)}" if cell.ci else ""
    p = f"p {fmt.p_value(cell.p)}" if cell.p is not None else ""
    holm = f" ({fmt.p_value(cell.p_holm)})" if p and cell.p_holm is not None else ""
    exact = f"exact p {fmt.p_value(cell.p_exact)}" if cell.p_exact is not None else ""
    tasks = f"over tasks p {fmt.p_value(cell.p_tasks)}" if cell.p_tasks is not None else ""
    return CellView(text, interval, ", ".join(filter(None, [p + holm, exact, tasks])), cell.marked, cell.note)


def _fact(fact: Fact) -> FactView:
    if fact is None:
        return FactView(fmt.NONE, "")
    if isinstance(fact, int | float):
        return FactView(fmt.short_count(fact), f"{fact:.0f}")
    return FactView(fact, "")


def _details(origin: Origin) -> Iterator[tuple[str, str]]:
    """Yield what makes a row again."""
    yield "command", origin.command
    yield "answers", "answers.html in the folder that the command writes"
    yield "model", origin.source + (f" @ {origin.revision[:HASH_LENGTH]}" if origin.revision else "")
    if origin.recipe is not None:
        yield "recipe", f"{origin.recipe}, stage {origin.stage}, seed {origin.seed}"
        yield "recipe sha256", (origin.recipe_sha256 or "")[:HASH_LENGTH]
    if origin.selection is not None:
        yield "selection", origin.selection
    if origin.commit is not None:
        yield "commit", origin.commit[:HASH_LENGTH] + (" with uncommitted changes" if origin.dirty else "")
    yield "engine", f"{origin.engine}, {origin.dtype}, {origin.device}"
    if origin.weights_sha256 is not None:
        yield "weights sha256", origin.weights_sha256[:HASH_LENGTH]
    if origin.code is not None:
        yield "code sha256", origin.code
    yield "evaluation", origin.eval_fingerprint[:HASH_LENGTH]
    yield "record", f"records/{origin.record}.json"


@dataclass(frozen=True, slots=True)
class FigureView:
    """A figure's words and numbers."""

    title: str
    caption: str
    header: list[str]
    rows: list[list[str]]


def figure_view(figure: Figure) -> FigureView:
    """Return the numbers of a figure as a table, and what its caption says."""
    names = " and ".join(line.name for line in figure.lines)
    seeds = max(line.num_seeds for line in figure.lines)
    band = f"mean of {seeds} seeds, band from the lowest to the highest" if seeds > 1 else "band: 95% interval"
    rows = [
        [line.name, fmt.count(point.tokens), f"{point.value:.1f}", f"{point.low:.1f}", f"{point.high:.1f}"]
        for line in figure.lines
        for point in line.points
    ]
    return FigureView(
        title=f"{figure.recipe}: {names}",
        caption=f"{figure.suite}, {fmt.count(figure.n)} documents; {band}",
        header=["Stage", "Tokens", "% correct", "low", "high"],
        rows=rows,
    )
