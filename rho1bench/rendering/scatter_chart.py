"""Quality against cost as SVG text: labelled points, their intervals, and the front. Pure function of the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import escape

from rho1bench.rendering.axes import BOTTOM, LEFT, RIGHT, TOP, Frame, axes, marker, padded, svg_head

SIZE = (560, 360)
_ON_FRONT, _BEHIND = 0, 1
_CHARACTER, _LINE = 7.0, 13.0
"""Width of a letter and height of a line, at most."""
_Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Point:
    """One labelled point; ``bounds`` is the interval of ``y``."""

    name: str
    x: float
    y: float
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Scatter:
    """What to draw."""

    title: str
    description: str
    x_name: str
    y_name: str
    points: Sequence[Point]
    x_text: Callable[[float], str]
    y_text: Callable[[float], str]
    size: tuple[int, int] = SIZE


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other one beats: none has a higher ``y`` at the same or a lower ``x``; by ``x``."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, -point.y)):
        if not front or point.y > front[-1].y:
            front.append(point)
    return front


def svg(chart: Scatter, *, standalone: bool = False) -> str:
    """Return the chart as an ``<svg>`` element; raises ``ValueError`` without a point."""
    if not chart.points:
        raise ValueError("a chart needs at least one point")
    frame, front = _frame(chart), pareto_front(chart.points)
    parts = [svg_head(chart.title, chart.description, chart.size, standalone=standalone)]
    parts += axes(frame, (chart.x_name, chart.x_text), (chart.y_name, chart.y_text))
    parts += _intervals(chart.points, frame)
    corners = _staircase(front, frame)
    if len(front) > 1:
        path = " ".join(f"{left:.1f},{top:.1f}" for left, top in corners)
        parts.append(f'<polyline class="curve s{_ON_FRONT}" points="{path}"/>')
    for point in chart.points:
        text = f"{point.name}: {chart.y_text(point.y)} {chart.y_name}, {chart.x_text(point.x)} {chart.x_name}"
        style = _ON_FRONT if point in front else _BEHIND
        parts.append(marker(style, frame.left(point.x), frame.top(point.y), text))
    return "\n".join([*parts, *_labels(chart.points, frame, corners), "</svg>"])


def _frame(chart: Scatter) -> Frame:
    xs = [point.x for point in chart.points]
    ys = [y for point in chart.points for y in (point.y, *(point.bounds or ()))]
    low, high = padded(min(*xs, 0.0), max(xs), 0.05)
    return Frame((low, high), padded(min(ys), max(ys), 0.06), *chart.size)


def _intervals(points: Sequence[Point], frame: Frame) -> Iterator[str]:
    for point in points:
        if point.bounds is not None:
            left, (low, high) = f"{frame.left(point.x):.1f}", point.bounds
            yield f'<line class="axis" x1="{left}" x2="{left}" y1="{frame.top(low):.1f}" y2="{frame.top(high):.1f}"/>'


def _staircase(front: Sequence[Point], frame: Frame) -> list[tuple[float, float]]:
    """Return the corners of the front: up to the next point's cost, the best so far is what there is."""
    corners = [(front[0].x, front[0].y)]
    for before, point in pairwise(front):
        corners += [(point.x, before.y), (point.x, point.y)]
    corners.append((frame.x[1], front[-1].y))
    return [(frame.left(x), frame.top(y)) for x, y in corners]


def _labels(points: Sequence[Point], frame: Frame, corners: Sequence[tuple[float, float]]) -> Iterator[str]:
    """Yield each name beside its point, where it overlaps lines, points and other names least."""
    taken: list[_Box] = []
    for (left, top), (right, bottom) in pairwise(corners):
        taken.append((left - 2, min(top, bottom) - 2, right + 2, max(top, bottom) + 2))
    for point in points:
        left, top = frame.left(point.x), frame.top(point.y)
        taken.append((left - 4, top - 4, left + 4, top + 4))
        if point.bounds is not None:
            taken.append((left - 1, frame.top(point.bounds[1]), left + 1, frame.top(point.bounds[0])))
    for point in points:
        boxes = list(_places(point.name, frame.left(point.x), frame.top(point.y)))
        costs = [sum(_overlap(box, other) for other in taken) + _outside(box, frame) for box in boxes]
        box = boxes[costs.index(min(costs))]
        taken.append(box)
        yield f'<text class="name" x="{box[0]:.1f}" y="{box[3] - 3:.1f}">{escape(point.name)}</text>'


def _places(name: str, left: float, top: float) -> Iterator[_Box]:
    """Yield where a name may stand: above to the left or right, at the side, below, above, then farther away."""
    width = _CHARACTER * len(name)
    for far in (0.0, _LINE, 2 * _LINE):
        for x, y in (
            (left - 5 - width, top - _LINE - 3 - far),
            (left + 5, top - _LINE - 3 - far),
            (left + 8, top - _LINE / 2 - far),
            (left - 8 - width, top - _LINE / 2 - far),
            (left + 5, top + 3 + far),
            (left - 5 - width, top + 3 + far),
            (left - width / 2, top - _LINE - 6 - far),
            (left - width / 2, top + 6 + far),
        ):
            yield (x, y, x + width, y + _LINE)


def _overlap(one: _Box, other: _Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0


def _outside(box: _Box, frame: Frame) -> float:
    """Return a large number for a name that leaves the drawing."""
    left, right, top, bottom = LEFT, frame.width - RIGHT, TOP - _LINE, frame.height - BOTTOM
    beyond = max(0.0, left - box[0]) + max(0.0, box[2] - right) + max(0.0, top - box[1]) + max(0.0, box[3] - bottom)
    return 1000.0 * beyond
