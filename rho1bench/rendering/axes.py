"""What all charts share: styles, the frame that maps numbers to places, axes, markers.

The pages draw their own SVG so that the same inputs give the same bytes on every machine, the colours follow the
reader's light or dark setting, and a page with all its figures stays small.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
.chart .small{font-size:10px}
.chart .cell{fill:none;stroke:var(--line);stroke-width:1}
.chart .open{fill:var(--ink-2);fill-opacity:.1}
.chart .ahead{fill:var(--s0);fill-opacity:.25;stroke:var(--s0)}
.chart .behind{fill:var(--s1);fill-opacity:.25;stroke:var(--s1)}
.chart .f0{fill:var(--s0)}.chart .f1{fill:var(--s1)}.chart .f2{fill:var(--s2)}.chart .f3{fill:var(--s3)}
@media (prefers-color-scheme:dark){.chart{--ink:#e8e9ec;--ink-2:#a3a9b6;--line:#2c3038;--s0:#6db4f0;--s1:#f0955a;
 --s2:#85c788;--s3:#c595db}}
"""
TOKEN_STYLE = """
.chart .ground{fill:none}
.chart .mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
 font-size:12px;fill:var(--ink)}
.chart .ground.g0{fill:var(--s0);fill-opacity:.3}.chart .ground.g1{fill:var(--s1);fill-opacity:.3}
.chart .ground.g2{fill:var(--s2);fill-opacity:.3}.chart .ground.g3{fill:var(--s3);fill-opacity:.4}
.chart .ground.l0{fill:var(--s1);fill-opacity:.5}.chart .ground.l1{fill:var(--s1);fill-opacity:.2}
.chart .ground.l2{stroke:var(--line)}
.chart .ground.l3{fill:var(--s0);fill-opacity:.2}.chart .ground.l4{fill:var(--s0);fill-opacity:.5}
.chart .shade{fill:var(--s0);stroke:none}
"""
"""Of text on marked grounds, and of shaded cells: what only some figures need besides."""
_BACKGROUND = "<style>.paper{fill:#fff}@media (prefers-color-scheme:dark){.paper{fill:#14161a}}</style>"
NUM_STYLES = 4
"""Colours and dashes that curves can have, ``s0`` to ``s3``."""
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 34, 42
"""Room beside the drawing, for axes and legend."""
Axis = tuple[str, Callable[[float], str]]
"""Name, and how its numbers are written."""


@dataclass(frozen=True)
class Frame:
    """Maps data to the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: int
    height: int

    def at(self, x: float, y: float) -> str:
        """Return a place as SVG writes it."""
        return f"{self.left(x):.1f},{self.top(y):.1f}"

    def left(self, x: float) -> float:
        """Return the distance from the drawing's left edge."""
        return LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (self.width - LEFT - RIGHT)

    def top(self, y: float) -> float:
        """Return the distance from the drawing's upper edge."""
        share = (y - self.y[0]) / (self.y[1] - self.y[0])
        return self.height - BOTTOM - share * (self.height - TOP - BOTTOM)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers inside [low, high], about ``count`` of them, 1, 2 or 5 times a power of ten apart."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / count))
    step = min((factor * power for factor in (1, 2, 5, 10)), key=lambda size: abs(span / size - count))
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def padded(low: float, high: float, share: float) -> tuple[float, float]:
    """Return a range with room at both ends, ``share`` of its length; one number gets some around it."""
    room = (high - low) * share if high > low else max(abs(high), 1.0) * 0.1
    return low - room, high + room


def svg_head(title: str, description: str, size: tuple[int, int], *, standalone: bool, style: str = "") -> str:
    """Return the opening of an ``<svg>`` element with its title; ``standalone`` adds styles and background.

    ``style`` is what the figure needs besides :data:`FIGURE_STYLE`.
    """
    width, height = size
    parts = [
        f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}. {escape(description)}">',
        f"<title>{escape(title)}</title>",
    ]
    if standalone:
        parts += [
            f"<style>{FIGURE_STYLE}{style}</style>{_BACKGROUND}",
            f'<rect class="paper" width="{width}" height="{height}"/>',
        ]
    return "\n".join(parts)


def axes(frame: Frame, x_axis: Axis, y_axis: Axis) -> list[str]:
    """Return grid, axes, their numbers and names."""
    parts = []
    (x_name, x_text), (y_name, y_text) = x_axis, y_axis
    right, base = frame.width - RIGHT, frame.height - BOTTOM
    for y in ticks(*frame.y):
        top = f"{frame.top(y):.1f}"
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{top}" y2="{top}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{top}" dy="4" text-anchor="end">{escape(y_text(y))}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{base}" y2="{base}"/>')
    for x in ticks(*frame.x):
        left = f"{frame.left(x):.1f}"
        parts.append(f'<line class="axis" x1="{left}" x2="{left}" y1="{base}" y2="{base + 4}"/>')
        parts.append(f'<text x="{left}" y="{base + 17}" text-anchor="middle">{escape(x_text(x))}</text>')
    parts.append(f'<text x="{right}" y="{frame.height - 6}" text-anchor="end">{escape(x_name)}</text>')
    parts.append(f'<text x="{right}" y="15" text-anchor="end">{escape(y_name)}</text>')
    return parts


def marker(style: int, left: float, top: float, text: str) -> str:
    """A disc for even styles, a square for odd ones: the series differ without colour."""
    title = f"<title>{escape(text)}</title>"
    if style % 2:
        corner = f'x="{left - 3.5:.1f}" y="{top - 3.5:.1f}" width="7" height="7"'
        return f'<rect class="f{style}" {corner}>{title}</rect>'
    return f'<circle class="f{style}" cx="{left:.1f}" cy="{top:.1f}" r="4">{title}</circle>'
