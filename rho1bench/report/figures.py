"""The charts of the report: losses and accuracy against tokens (paper figures 6 and 1), accuracy against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rho1bench.comparison.accuracy_points import AccuracyPoint
from rho1bench.comparison.training_curves import Points
from rho1bench.rendering import numbers as fmt
from rho1bench.rendering.figure import Figure
from rho1bench.rendering.line_chart import PANEL, Chart, Series
from rho1bench.rendering.scatter_chart import Point, Scatter, pareto_front
from rho1bench.report.curves import rolling_mean

LOSS_TITLES = {
    "loss_selected": "Loss of the selected tokens",
    "loss_unselected": "Loss of the tokens left out",
    "validation_loss": "Loss on the validation corpus",
    "loss_all": "Training loss",
}
_POINTS_WITHOUT_SMOOTHING = 60


def loss_figures(losses: Mapping[str, Mapping[str, Points]], styles: Mapping[str, int]) -> list[Figure]:
    """Return the panels of figure 6; ``losses[stage][loss name]`` holds (tokens, nats).

    Where no stage tells its selected tokens apart, the loss of all is drawn.
    """
    figures = []
    is_split = any("loss_selected" in by_name for by_name in losses.values())
    for name, title in LOSS_TITLES.items():
        if name == "loss_all" and is_split:
            continue  # its two parts are drawn
        curves = {stage: by_name[name] for stage, by_name in losses.items() if by_name.get(name)}
        if curves:
            figures.append(_loss_figure(name, title, curves, styles))
    return figures


def _loss_figure(name: str, title: str, curves: Mapping[str, Points], styles: Mapping[str, int]) -> Figure:
    series = []
    for stage, points in curves.items():
        window = 2 * (len(points) // _POINTS_WITHOUT_SMOOTHING) + 1
        smooth = rolling_mean(points, window)
        raw = points if window > 1 else ()
        markers = name == "validation_loss" and len(points) <= 24
        series.append(Series(fmt.label_name(stage), styles[stage], smooth, raw=raw, markers=markers))
    ends = "; ".join(f"{one.name} from {one.points[0][1]:.2f} to {one.points[-1][1]:.2f}" for one in series)
    chart = Chart(title, f"{ends} nats.", "tokens", "nats", series, fmt.short_count, _short, size=PANEL)
    rows = [
        [s.name, f"{s.points[0][1]:.4f}", f"{min(y for _, y in s.points):.4f}", f"{s.points[-1][1]:.4f}"]
        for s in series
    ]
    return Figure(f"figure-6-{name.replace('_', '-')}", title, chart, ("stage", "first", "lowest", "last"), rows)


def accuracy_figure(
    suite: str, points: Sequence[AccuracyPoint], styles: Mapping[str, int], target: tuple[str, float] | None
) -> Figure:
    """Return figure 1 for one suite; ``target`` is the baseline's name and final average, drawn as a line."""
    stages = list(dict.fromkeys(point.stage for point in points))
    series = []
    for stage in stages:
        own = [point for point in points if point.stage == stage]
        band = [(float(p.tokens), p.ci.low, p.ci.high) for p in own if p.ci]
        line = [(float(point.tokens), point.average) for point in own]
        series.append(Series(fmt.label_name(stage), styles[stage], line, band=band, markers=True))
    ends = "; ".join(f"{s.name} from {fmt.percent(s.points[0][1])}% to {fmt.percent(s.points[-1][1])}%" for s in series)
    rules = [(target[1], f"{fmt.label_name(target[0])} at its end")] if target else []
    title = f"Average of {suite} against training tokens"
    chart = Chart(title, f"{ends}.", "tokens", "% correct", series, fmt.short_count, _percent_tick, rules)
    rows = [
        [fmt.label_name(p.stage), fmt.count(p.step), fmt.short_count(p.tokens), fmt.percent(p.average), _bounds(p)]
        for p in points
    ]
    return Figure(f"figure-1-{suite}", title, chart, ("stage", "step", "tokens", "average, %", "95% CI"), rows)


def cost_figure(suite: str, points: Sequence[Point]) -> Figure:
    """Return the averages of one suite (0 to 1) against the operations that each checkpoint took."""
    front = pareto_front(points)
    names = ", ".join(point.name for point in front)
    title = f"Average of {suite} against operations"
    chart = Scatter(
        title,
        f"On the front, by operations: {names}.",
        "operations",
        "% correct",
        points,
        fmt.flops,
        _percent_tick,
    )
    rows = [
        [point.name, fmt.flops(point.x), fmt.percent(point.y), _ends(point.bounds), "yes" if point in front else "no"]
        for point in sorted(points, key=lambda point: point.x)
    ]
    return Figure(f"cost-{suite}", title, chart, ("checkpoint", "operations", "average, %", "95% CI", "front"), rows)


def _ends(bounds: tuple[float, float] | None) -> str:
    return fmt.NONE if bounds is None else f"{fmt.percent(bounds[0])} to {fmt.percent(bounds[1])}"


def _bounds(point: AccuracyPoint) -> str:
    return _ends((point.ci.low, point.ci.high) if point.ci else None)


def _percent_tick(value: float) -> str:
    return f"{100 * value:.3g}"


def _short(value: float) -> str:
    return f"{value:.3g}"
