"""A line chart as SVG text: axes, grid, lines, bands, points, legend. Pure function of the numbers.

The report draws its own SVG so that the same inputs give the same bytes on every machine, the colours follow the
reader's light or dark setting, and a page with all its figures stays small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import escape

FIGURE_STYLE = """
.chart{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
 --ink:#1b1d22;--ink-2:#5a6170;--line:#e1e4e9;--s0:#0b63ae;--s1:#bd4a06;--s2:#3a7a3c;--s3:#85499e}
.chart text{font-size:12px;fill:var(--ink-2)}
.chart .name{fill:var(--ink);font-size:13px}
.chart .grid{stroke:var(--line);stroke-width:1}
.chart .axis{stroke:var(--ink-2);stroke-width:1}
.chart .rule{stroke:var(--ink-2);stroke-width:1;stroke-dasharray:2 3}
.chart .curve{fill:none;stroke-width:2;stroke-linejoin:round}
.chart .raw{fill:none;stroke-width:1;opacity:.3}
.chart .band{stroke:none;opacity:.15}
.chart .s0{stroke:var(--s0)}.chart .s1{stroke:var(--s1);stroke-dasharray:7 3}
.chart .s2{stroke:var(--s2);stroke-dasharray:2 2}.chart .s3{stroke:var(--s3);stroke-dasharray:8 3 2 3}
.chart .interval{stroke-width:2;fill:none}
.chart .i0{stroke:var(--s0)}.chart .i1{stroke:var(--s1)}.chart .i2{stroke:var(--s2)}.chart .i3{stroke:var(--s3)}
.chart .negligible{fill:var(--ink-2);opacity:.12;stroke:none}
.chart .f0{fill:var(--s0)}.chart .f1{fill:var(--s1)}.chart .f2{fill:var(--s2)}.chart .f3{fill:var(--s3)}
@media (prefers-color-scheme:dark){.chart{--ink:#e8e9ec;--ink-2:#a3a9b6;--line:#2c3038;--s0:#6db4f0;--s1:#f0955a;
 --s2:#85c788;--s3:#c595db}}
"""
_BACKGROUND = "<style>.paper{fill:#fff}@media (prefers-color-scheme:dark){.paper{fill:#14161a}}</style>"
WIDE, PANEL = (480, 300), (320, 230)
"""Sizes of a chart that stands alone and of one among several; text keeps its size, so a panel is read as well."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 34, 42
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


@dataclass(frozen=True)
class _Frame:
    """Maps data to the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: int
    height: int

    def at(self, x: float, y: float) -> str:
        return f"{self.left(x):.1f},{self.top(y):.1f}"

    def left(self, x: float) -> float:
        return _LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (self.width - _LEFT - _RIGHT)

    def top(self, y: float) -> float:
        share = (y - self.y[0]) / (self.y[1] - self.y[0])
        return self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers inside [low, high], about ``count`` of them, 1, 2 or 5 times a power of ten apart."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / count))
    step = min((factor * power for factor in (1, 2, 5, 10)), key=lambda size: abs(span / size - count))
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def svg(chart: Chart, *, standalone: bool = False) -> str:
    """Return the chart as an ``<svg>`` element; ``standalone`` adds styles and background."""
    frame = _frame(chart)
    parts = [svg_head(chart.title, chart.description, chart.size, standalone=standalone)]
    parts += _axes(chart, frame)
    parts += [_band(series, frame) for series in chart.series if series.band]
    for series in chart.series:
        parts += _line(series, frame, chart)
    parts += _legend(chart.series)
    return "\n".join([*parts, "</svg>"])


def svg_head(title: str, description: str, size: tuple[int, int], *, standalone: bool) -> str:
    """Return the opening of an ``<svg>`` element with its title; ``standalone`` adds styles and background."""
    width, height = size
    parts = [
        f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}. {escape(description)}">',
        f"<title>{escape(title)}</title>",
    ]
    if standalone:
        parts += [
            f"<style>{FIGURE_STYLE}</style>{_BACKGROUND}",
            f'<rect class="paper" width="{width}" height="{height}"/>',
        ]
    return "\n".join(parts)


def _frame(chart: Chart) -> _Frame:
    xs = [x for series in chart.series for x, _ in series.points]
    ys = [y for series in chart.series for _, y in (*series.points, *series.raw)]
    ys += [y for series in chart.series for _, *bounds in series.band for y in bounds] + [y for y, _ in chart.rules]
    if not xs:
        raise ValueError("a chart needs at least one point")
    return _Frame(_padded(min(xs), max(xs), 0.0), _padded(min(ys), max(ys), 0.06), *chart.size)


def _padded(low: float, high: float, share: float) -> tuple[float, float]:
    room = (high - low) * share if high > low else max(abs(high), 1.0) * 0.1
    return low - room, high + room


def _axes(chart: Chart, frame: _Frame) -> list[str]:
    parts = []
    right, base = frame.width - _RIGHT, frame.height - _BOTTOM
    for y in ticks(*frame.y):
        top = f"{frame.top(y):.1f}"
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{top}" y2="{top}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{top}" dy="4" text-anchor="end">{escape(chart.y_text(y))}</text>')
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{base}" y2="{base}"/>')
    for x in ticks(*frame.x):
        left = f"{frame.left(x):.1f}"
        parts.append(f'<line class="axis" x1="{left}" x2="{left}" y1="{base}" y2="{base + 4}"/>')
        parts.append(f'<text x="{left}" y="{base + 17}" text-anchor="middle">{escape(chart.x_text(x))}</text>')
    parts.append(f'<text x="{right}" y="{frame.height - 6}" text-anchor="end">{escape(chart.x_name)}</text>')
    parts.append(f'<text x="{right}" y="15" text-anchor="end">{escape(chart.y_name)}</text>')
    for y, what in chart.rules:
        top = f"{frame.top(y):.1f}"
        parts.append(f'<line class="rule" x1="{_LEFT}" x2="{right}" y1="{top}" y2="{top}"/>')
        parts.append(f'<text x="{_LEFT + 4}" y="{top}" dy="-5">{escape(what)}</text>')
    return parts


def _band(series: Series, frame: _Frame) -> str:
    upper = [frame.at(x, high) for x, _, high in series.band]
    lower = [frame.at(x, low) for x, low, _ in reversed(series.band)]
    return f'<polygon class="band f{series.style % NUM_STYLES}" points="{" ".join(upper + lower)}"/>'


def _line(series: Series, frame: _Frame, chart: Chart) -> list[str]:
    style = series.style % NUM_STYLES
    parts = []
    for name, points in (("raw", series.raw), ("curve", series.points)):
        if len(points) > 1:
            path = " ".join(frame.at(x, y) for x, y in points)
            parts.append(f'<polyline class="{name} s{style}" points="{path}"/>')
    for x, y in series.points if series.markers or len(series.points) == 1 else ():
        text = f"{series.name}, {chart.x_text(x)} {chart.x_name}: {chart.y_text(y)}"
        parts.append(marker(style, frame.left(x), frame.top(y), text))
    return parts


def marker(style: int, left: float, top: float, text: str) -> str:
    """Return a disc for even styles, a square for odd ones: the series differ without colour."""
    title = f"<title>{escape(text)}</title>"
    if style % 2:
        corner = f'x="{left - 3.5:.1f}" y="{top - 3.5:.1f}" width="7" height="7"'
        return f'<rect class="f{style}" {corner}>{title}</rect>'
    return f'<circle class="f{style}" cx="{left:.1f}" cy="{top:.1f}" r="4">{title}</circle>'


def _legend(series: Sequence[Series]) -> list[str]:
    parts, left = [], float(_LEFT)
    for one in series:
        found, width = legend_entry(one.name, one.style % NUM_STYLES, left, markers=one.markers)
        parts += found
        left += width
    return parts


def legend_entry(
    name: str, style: int, left: float, *, markers: bool = True, solid: bool = False
) -> tuple[list[str], float]:
    """Return one entry of a legend at the top, and how much room it takes; ``solid``: its line has no dashes."""
    line = f"interval i{style}" if solid else f"curve s{style}"
    parts = [f'<line class="{line}" x1="{left:.0f}" x2="{left + 24:.0f}" y1="11" y2="11"/>']
    if markers:
        parts.append(marker(style, left + 12, 11, name))
    parts.append(f'<text class="name" x="{left + 30:.0f}" y="15">{escape(name)}</text>')
    return parts, 46 + 7.5 * len(name)
