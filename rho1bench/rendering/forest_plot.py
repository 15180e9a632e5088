"""A forest plot as SVG text: a row an arm, in it a mark with its interval for each baseline. Pure function of numbers.

Same style, colours and markers as ``line_chart``: discs and squares tell the baselines apart without colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import escape

from rho1bench.rendering.axes import marker, svg_head, ticks
from rho1bench.rendering.line_chart import legend_entry

WIDTH = 620
_LEFT, _RIGHT, _TOP, _BOTTOM = 170, 14, 34, 42
_MARK, _GAP = 13, 9
"""Height of a mark's line, and room between rows."""
_LETTERS = 24
"""Of a row's name; longer ones are cut, their whole name is in the title."""


@dataclass(frozen=True)
class Mark:
    """A difference and its interval."""

    value: float
    low: float
    high: float
    style: int
    """Place of its baseline in the legend."""


@dataclass(frozen=True)
class ForestRow:
    """One arm."""

    name: str
    marks: Sequence[Mark]


@dataclass(frozen=True)
class ForestPlot:
    """What to draw."""

    title: str
    description: str
    x_name: str
    rows: Sequence[ForestRow]
    baselines: Sequence[str]
    """The legend."""
    x_text: Callable[[float], str]
    margin: float | None = None
    """Differences within it are negligible: a band around zero."""


def forest_svg(plot: ForestPlot, *, standalone: bool = False) -> str:
    """Return the plot as an ``<svg>`` element; ``standalone`` adds styles and background."""
    heights = [_MARK * max(1, len(row.marks)) + _GAP for row in plot.rows]
    height = _TOP + sum(heights) + _BOTTOM
    low, high = _range(plot)
    scale = (WIDTH - _LEFT - _RIGHT) / (high - low)

    def left(value: float) -> float:
        return _LEFT + (value - low) * scale

    parts = [svg_head(plot.title, plot.description, (WIDTH, height), standalone=standalone)]
    parts += _axis(plot, height, low, high, left)
    top = float(_TOP)
    for row, size in zip(plot.rows, heights, strict=True):
        parts += _row(row, plot, top, size, left)
        top += size
    parts += _legend(plot.baselines)
    return "\n".join([*parts, "</svg>"])


def _range(plot: ForestPlot) -> tuple[float, float]:
    bounds = [bound for row in plot.rows for mark in row.marks for bound in (mark.low, mark.high)]
    bounds += [0.0, *((-plot.margin, plot.margin) if plot.margin else ())]
    low, high = min(bounds), max(bounds)
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room


def _axis(plot: ForestPlot, height: int, low: float, high: float, left: Callable[[float], float]) -> list[str]:
    base = height - _BOTTOM
    parts = []
    if plot.margin:
        start, end = left(-plot.margin), left(plot.margin)
        parts.append(
            f'<rect class="negligible" x="{start:.1f}" y="{_TOP}" width="{end - start:.1f}" height="{base - _TOP}"/>'
        )
    for x in ticks(low, high, 7):
        place = f"{left(x):.1f}"
        parts.append(f'<line class="grid" x1="{place}" x2="{place}" y1="{_TOP}" y2="{base}"/>')
        parts.append(f'<text x="{place}" y="{base + 17}" text-anchor="middle">{escape(plot.x_text(x))}</text>')
    parts.append(f'<line class="axis" x1="{left(0.0):.1f}" x2="{left(0.0):.1f}" y1="{_TOP}" y2="{base}"/>')
    parts.append(f'<text x="{WIDTH - _RIGHT}" y="{height - 6}" text-anchor="end">{escape(plot.x_name)}</text>')
    return parts


def _row(row: ForestRow, plot: ForestPlot, top: float, size: int, left: Callable[[float], float]) -> list[str]:
    middle = top + size / 2.0
    name = row.name if len(row.name) <= _LETTERS else row.name[: _LETTERS - 1] + "…"
    parts = [
        f'<text class="name" x="{_LEFT - 8}" y="{middle:.1f}" dy="4" text-anchor="end">{escape(name)}'
        f"<title>{escape(row.name)}</title></text>"
    ]
    for index, mark in enumerate(row.marks):
        y = top + _GAP / 2.0 + _MARK * (index + 0.5)
        text = f"{row.name} minus {plot.baselines[mark.style]}: {plot.x_text(mark.value)}"
        text += f" ({plot.x_text(mark.low)} to {plot.x_text(mark.high)})"
        ends = f'x1="{left(mark.low):.1f}" x2="{left(mark.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"'
        parts.append(f'<line class="interval i{mark.style}" {ends}/>')
        parts.append(marker(mark.style, left(mark.value), y, text))
    return parts


def _legend(names: Sequence[str]) -> list[str]:
    parts, place = [], 8.0
    for style, name in enumerate(names):
        found, width = legend_entry(name, style, place, solid=True)
        parts += found
        place += width
    return parts
