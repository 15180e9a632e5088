"""What all figures of an analysis share: caption and raw numbers beside the drawing, panels, numbers as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rho1bench.analysis.results import Passage, Place
from rho1bench.rendering import numbers as fmt
from rho1bench.rendering.bar_chart import BarChart
from rho1bench.rendering.cell_map import CellMap
from rho1bench.rendering.figure import Figure
from rho1bench.rendering.line_chart import PANEL, WIDE, Chart, Series
from rho1bench.rendering.token_text import PLAIN, ShownPassage, ShownToken, TokenText

Value = str | int | float | None
Values = Sequence[Sequence[Value]]
Rows = list[list[Value]]


@dataclass(frozen=True)
class AnalysisFigure:
    """A figure, what it shows in words, and its numbers unrounded."""

    figure: Figure
    caption: str
    values: Values
    is_panel: bool = False
    """Stands beside others."""


@dataclass(frozen=True)
class Section:
    """Figures under one heading."""

    name: str
    title: str
    words: str
    figures: Sequence[AnalysisFigure]


def made(
    name: str,
    chart: Chart | BarChart | CellMap | TokenText,
    header: Sequence[str],
    values: Values,
    caption: str,
    *,
    is_panel: bool = False,
) -> AnalysisFigure:
    """Put a figure together; its table on the page has the numbers in four digits."""
    rows = [[shown(value) for value in row] for row in values]
    return AnalysisFigure(Figure(name, chart.title, chart, header, rows), caption, values, is_panel)


def shown(value: Value) -> str:
    """Write a number for a table."""
    if value is None:
        return fmt.NONE
    if isinstance(value, int):
        return fmt.count(value)
    return f"{value:.4g}" if isinstance(value, float) else value


def line_chart(
    title: str, series: Sequence[Series], y_name: str, *, words: str = "", x_name: str = "tokens", panel: bool = False
) -> Chart:
    """Return a chart of numbers against training tokens, or against ``x_name``."""
    x_text = fmt.short_count if x_name == "tokens" else short
    ends = words or "; ".join(
        f"{s.name} from {s.points[0][1]:.3g} to {s.points[-1][1]:.3g}" for s in series if s.points
    )
    return Chart(title, f"{ends}.", x_name, y_name, series, x_text, short, size=PANEL if panel else WIDE)


def short(value: float) -> str:
    """Write a number on an axis."""
    return f"{value:.3g}"


def percent_tick(value: float) -> str:
    """Write a share on an axis, in percent."""
    return f"{100 * value:.3g}"


def against_tokens(places: Sequence[Place], values: Sequence[float | None]) -> list[tuple[float, float]]:
    """Return the points that are known."""
    return [(float(at.tokens), value) for at, value in zip(places, values, strict=True) if value is not None]


def shown_passage(heading: str, passage: Passage, grounds: Sequence[str], words: Sequence[str]) -> ShownPassage:
    """Return a passage as it is drawn; ``grounds`` and ``words`` are those of marks 0, 1 ..."""
    tokens = []
    for piece, mark, loss in zip(passage.pieces, passage.marks, passage.losses, strict=True):
        said = [words[mark] if mark >= 0 else "no target", *([] if loss is None else [f"loss {loss:.2f}"])]
        tokens.append(ShownToken(piece, grounds[mark] if mark >= 0 else PLAIN, ", ".join(said)))
    return ShownPassage(heading, tokens)


def passage_values(passages: Sequence[tuple[str, Passage]], words: Sequence[str]) -> Rows:
    """Return one row a token: which passage, its place, its text, what is said of it, its loss."""
    return [
        [heading, place, piece, words[mark] if mark >= 0 else "no target", loss]
        for heading, passage in passages
        for place, (piece, mark, loss) in enumerate(zip(passage.pieces, passage.marks, passage.losses, strict=True))
    ]


PASSAGE_HEADER = ("passage", "place", "token", "mark", "loss")
