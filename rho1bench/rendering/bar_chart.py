"""Horizontal bars as SVG text: a row a name, its bar and its number, and a line for what all are measured by.

Pure function of the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import escape

from rho1bench.rendering.axes import svg_head

WIDTH = 340
_LEFT, _RIGHT, _TOP, _ROW, _BOTTOM = 124, 40, 28, 22, 10
_LETTERS = 18
"""Of a name; longer ones are cut, their whole name is in the title."""


@dataclass(frozen=True)
class Bar:
    """One row; ``words`` are for those who point at it."""

    name: str
    value: float
    words: str


@dataclass(frozen=True)
class BarChart:
    """What to draw; values are not negative."""

    title: str
    description: str
    bars: Sequence[Bar]
    value_text: Callable[[float], str]
    rule: tuple[float, str] | None = None
    """A vertical line: (value, what it is)."""


def bars_svg(chart: BarChart, *, standalone: bool = False) -> str:
    """Return the chart as an ``<svg>`` element; ``standalone`` adds styles and background."""
    height = _TOP + _ROW * len(chart.bars) + _BOTTOM
    largest = max([bar.value for bar in chart.bars] + [chart.rule[0] if chart.rule else 0.0]) or 1.0
    scale = (WIDTH - _LEFT - _RIGHT) / largest
    parts = [svg_head(chart.title, chart.description, (WIDTH, height), standalone=standalone)]
    if chart.rule is not None:
        left, base = f"{_LEFT + chart.rule[0] * scale:.1f}", height - _BOTTOM
        parts.append(f'<line class="rule" x1="{left}" x2="{left}" y1="{_TOP - 4}" y2="{base}"/>')
        parts.append(f'<text x="{left}" y="15" text-anchor="middle">{escape(chart.rule[1])}</text>')
    for row, bar in enumerate(chart.bars):
        parts += _bar(bar, _TOP + _ROW * row, bar.value * scale, chart.value_text)
    return "\n".join([*parts, "</svg>"])


def _bar(bar: Bar, top: float, length: float, text: Callable[[float], str]) -> list[str]:
    name = bar.name if len(bar.name) <= _LETTERS else bar.name[: _LETTERS - 1] + "…"
    return [
        f'<text x="{_LEFT - 8}" y="{top + 15:.1f}" text-anchor="end">{escape(name)}'
        f"<title>{escape(bar.name)}</title></text>",
        f'<rect class="f0" x="{_LEFT}" y="{top + 3:.1f}" width="{max(length, 0.5):.1f}" height="{_ROW - 6}">'
        f"<title>{escape(bar.words)}</title></rect>",
        f'<text x="{_LEFT + length + 5:.1f}" y="{top + 15:.1f}">{escape(text(bar.value))}</text>',
    ]
