"""A map of cells as SVG text: panels of rows and columns, in each cell a difference and its interval.

Colour and frame tell ahead, behind and undecided apart; the sign does it without either. Pure function of the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import escape

from rho1bench.rendering.axes import TOKEN_STYLE, svg_head

WIDTH = 620
_LEFT, _TOP, _ROW, _LINE, _GAP = 110, 26, 38, 15, 26
Verdict = Literal["ahead", "behind", "open"]


@dataclass(frozen=True)
class MapCell:
    """One cell: the difference, its interval, and words for those who point at it."""

    difference: str
    interval: str
    verdict: Verdict
    words: str
    shade: float | None = None
    """Of a cell that is no verdict: how dark it is, 0 to 1."""


@dataclass(frozen=True)
class Panel:
    """One map: what the differences are from, and its cells by row and column; a missing one was not run."""

    title: str
    cells: Mapping[tuple[str, str], MapCell]


@dataclass(frozen=True)
class CellMap:
    """What to draw."""

    title: str
    description: str
    rows: Sequence[str]
    columns: Mapping[str, Sequence[str]]
    """The lines of each column's head."""
    panels: Sequence[Panel]


def map_svg(chart: CellMap, *, standalone: bool = False) -> str:
    """Return the map as an ``<svg>`` element; ``standalone`` adds styles and background."""
    lines = max((len(head) for head in chart.columns.values()), default=0)
    left = max(_LEFT, 6.6 * max(map(len, chart.rows), default=0) + 12)
    size = _TOP + lines * _LINE + _ROW * len(chart.rows) + _GAP
    is_shaded = any(cell.shade is not None for panel in chart.panels for cell in panel.cells.values())
    style, whole = TOKEN_STYLE if is_shaded else "", (WIDTH, size * len(chart.panels))
    parts = [svg_head(chart.title, chart.description, whole, standalone=standalone, style=style)]
    for index, panel in enumerate(chart.panels):
        parts += _panel(chart, panel, index * size, lines, left)
    return "\n".join([*parts, "</svg>"])


def _panel(chart: CellMap, panel: Panel, top: float, lines: int, left: float) -> Iterator[str]:
    width = (WIDTH - left - 4) / max(1, len(chart.columns))
    yield f'<text class="name" x="4" y="{top + 16:.1f}">{escape(panel.title)}</text>'
    for column, head in enumerate(chart.columns.values()):
        middle = left + width * (column + 0.5)
        for line, word in enumerate(head):
            y = top + _TOP + _LINE * (line + 0.7)
            yield f'<text x="{middle:.1f}" y="{y:.1f}" text-anchor="middle">{escape(word)}</text>'
    for place, row in enumerate(chart.rows):
        upper = top + _TOP + _LINE * lines + _ROW * place
        yield f'<text x="{left - 8:g}" y="{upper + _ROW / 2 + 4:.1f}" text-anchor="end">{escape(row)}</text>'
        for column, name in enumerate(chart.columns):
            yield from _cell(panel.cells.get((row, name)), left + width * column, upper, width)


def _cell(cell: MapCell | None, left: float, top: float, width: float) -> Iterator[str]:
    box = f'x="{left + 1:.1f}" y="{top + 1:.1f}" width="{width - 2:.1f}" height="{_ROW - 2}"'
    if cell is None:
        yield f'<rect class="cell" {box}><title>not run</title></rect>'
        return
    middle = f'x="{left + width / 2:.1f}" text-anchor="middle"'
    ground = f"cell {cell.verdict}" if cell.shade is None else "shade"
    fill = "" if cell.shade is None else f' fill-opacity="{0.6 * cell.shade:.2f}"'
    yield f'<g><rect class="{ground}" {box}{fill}/><title>{escape(cell.words)}</title>'
    yield f'<text class="name" {middle} y="{top + 17:.1f}">{escape(cell.difference)}</text>'
    yield f'<text class="small" {middle} y="{top + 31:.1f}">{escape(cell.interval)}</text></g>'
