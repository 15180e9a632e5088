"""A line chart as SVG text: axes, grid, lines, bands, points, legend. Pure function of the numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import escape

from rho1bench.rendering.axes import LEFT, RIGHT, Frame, axes, marker, padded, svg_head

WIDE, PANEL = (480, 300), (320, 230)
"""Sizes of a chart that stands alone and of one among several; text keeps its size, so a panel is read as well."""
NUM_STYLES = 4


@dataclass(frozen=True)
class Series:
    """One line; ``style`` picks colour, dashes and marker, the same in all charts of a page."""

    name: str
    style: int
    points: Sequence[tuple[float, float]]
    raw: Sequence[tuple[float, float]] = ()
    """The unsmoothed line, drawn faintly behind."""
    band: Sequence[tuple[float, float, float]] = ()
    """(x, low, high)."""
    markers: bool = False
    joined: bool = True
    """False: points without a line."""


@dataclass(frozen=True)
class Chart:
    """What to draw."""

    title: str
    description: str
    x_name: str
    y_name: str
    series: Sequence[Series]
    x_text: Callable[[float], str]
    y_text: Callable[[float], str]
    rules: Sequence[tuple[float, str]] = ()
    """Horizontal lines: (y, what it is)."""
    size: tuple[int, int] = WIDE


def svg(chart: Chart, *, standalone: bool = False) -> str:
    """Return the chart as an ``<svg>`` element; ``standalone`` adds styles and background."""
    frame = _frame(chart)
    parts = [svg_head(chart.title, chart.description, chart.size, standalone=standalone)]
    parts += axes(frame, (chart.x_name, chart.x_text), (chart.y_name, chart.y_text))
    parts += [part for y, what in chart.rules for part in _rule(y, what, frame)]
    parts += [_band(series, frame) for series in chart.series if series.band]
    for series in chart.series:
        parts += _line(series, frame, chart)
    parts += _legend(chart.series)
    return "\n".join([*parts, "</svg>"])


def _frame(chart: Chart) -> Frame:
    xs = [x for series in chart.series for x, _ in series.points]
    ys = [y for series in chart.series for _, y in (*series.points, *series.raw)]
    ys += [y for series in chart.series for _, *bounds in series.band for y in bounds] + [y for y, _ in chart.rules]
    if not xs:
        raise ValueError("a chart needs at least one point")
    return Frame(padded(min(xs), max(xs), 0.0), padded(min(ys), max(ys), 0.06), *chart.size)


def _rule(y: float, what: str, frame: Frame) -> list[str]:
    top, right = f"{frame.top(y):.1f}", frame.width - RIGHT
    return [
        f'<line class="rule" x1="{LEFT}" x2="{right}" y1="{top}" y2="{top}"/>',
        f'<text x="{LEFT + 4}" y="{top}" dy="-5">{escape(what)}</text>',
    ]


def _band(series: Series, frame: Frame) -> str:
    upper = [frame.at(x, high) for x, _, high in series.band]
    lower = [frame.at(x, low) for x, low, _ in reversed(series.band)]
    return f'<polygon class="band f{series.style % NUM_STYLES}" points="{" ".join(upper + lower)}"/>'


def _line(series: Series, frame: Frame, chart: Chart) -> list[str]:
    style = series.style % NUM_STYLES
    parts = []
    for name, points in (("raw", series.raw), ("curve", series.points)):
        if len(points) > 1 and series.joined:
            path = " ".join(frame.at(x, y) for x, y in points)
            parts.append(f'<polyline class="{name} s{style}" points="{path}"/>')
    for x, y in series.points if series.markers or not series.joined or len(series.points) == 1 else ():
        text = f"{series.name}, {chart.x_text(x)} {chart.x_name}: {chart.y_text(y)}"
        parts.append(marker(style, frame.left(x), frame.top(y), text))
    return parts


def _legend(series: Sequence[Series]) -> list[str]:
    parts, left = [], float(LEFT)
    for one in series:
        markers = one.markers or not one.joined
        found, width = legend_entry(one.name, one.style % NUM_STYLES, left, markers=markers, line=one.joined)
        parts += found
        left += width
    return parts


def legend_entry(
    name: str, style: int, left: float, *, markers: bool = True, solid: bool = False, line: bool = True
) -> tuple[list[str], float]:
    """Return one entry of a legend at the top, and how much room it takes; ``solid``: its line has no dashes."""
    drawn = f"interval i{style}" if solid else f"curve s{style}"
    parts = [f'<line class="{drawn}" x1="{left:.0f}" x2="{left + 24:.0f}" y1="11" y2="11"/>'] if line else []
    if markers:
        parts.append(marker(style, left + 12, 11, name))
    parts.append(f'<text class="name" x="{left + 30:.0f}" y="15">{escape(name)}</text>')
    return parts, 46 + 7.5 * len(name)
