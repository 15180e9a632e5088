"""One suite of a contest as pages show it: a table, a forest plot and sentences, for report and leaderboard."""

from __future__ import annotations

from dataclasses import dataclass

from rho1bench.comparison.contest.results import ContestResult, ContestSuite
from rho1bench.comparison.contest.text import (
    ArmRow,
    Finding,
    arm_rows,
    baselines_of,
    coverage,
    difference_text,
    findings,
    parts_of,
    signal_rows,
)
from rho1bench.rendering import numbers as fmt
from rho1bench.rendering.forest_plot import ForestPlot, ForestRow, Mark
from rho1bench.rendering.scatter_chart import Point, Scatter


@dataclass(frozen=True)
class SuiteView:
    """Everything that the templates print of a suite."""

    suite: str
    unit: str
    parts: dict[str, str]
    """The baselines, in words."""
    margin: str
    """Differences within it are negligible."""
    rows: list[ArmRow]
    findings: list[Finding]
    """The best control first: a rule that does not beat it is no reason to select."""
    coverage: list[str]
    signal: list[list[str]]
    plot: ForestPlot
    cost: Scatter | None
    """Score against operations; None where fewer than two arms' operations are known."""

    @property
    def numbers(self) -> list[list[str]]:
        """The numbers of the plot as a table, below :attr:`header`."""
        return [
            [row.arm, *(f"{value.difference} ({value.ci})" if value else "" for value in row.against.values())]
            for row in self.rows
        ]

    @property
    def header(self) -> list[str]:
        """The heads of :attr:`numbers`."""
        return ["arm", *(f"minus {name}" for name in self.parts.values())]


def suite_view(result: ContestResult, suite: ContestSuite, title: str) -> SuiteView:
    """Return the view of one suite of a contest; ``title`` is that of the plot."""
    margins = [value.equivalence.margin for one in suite.arms for value in one.against.values()]
    return SuiteView(
        suite=suite.suite,
        unit="percent and points" if suite.unit == "share" else f"{suite.unit}, lower is better",
        parts=parts_of(suite),
        margin=difference_text(margins[0], suite).lstrip("+") if margins else "",
        rows=arm_rows(suite),
        findings=findings(suite)[::-1],
        coverage=coverage(result, suite),
        signal=signal_rows(suite),
        plot=_plot(suite, title, margins[0] if margins else 0.0),
        cost=_cost(suite, title),
    )


def _cost(suite: ContestSuite, title: str) -> Scatter | None:
    points = [
        Point(one.arm, one.flops, one.score, (min(one.seeds.values()), max(one.seeds.values())))
        for one in suite.arms
        if one.flops is not None
    ]
    if len(points) < 2 or suite.unit != "share":
        return None
    words = "Operations with everything that each arm alone needed; bars from the lowest to the highest seed."
    return Scatter(title, words, "operations", "% correct", points, fmt.flops, lambda value: fmt.percent(value, 0))


def _plot(suite: ContestSuite, title: str, margin: float) -> ForestPlot:
    baselines = baselines_of(suite)
    scale = 100.0 if suite.unit == "share" else 1.0
    rows = [
        ForestRow(
            f"{one.arm} (control)" if one.role == "control" else one.arm,
            [
                Mark(scale * value.difference, scale * value.ci[0], scale * value.ci[1], style)
                for style, part in enumerate(baselines)
                if (value := one.against.get(part)) is not None
            ],
        )
        for one in suite.arms
    ]
    return ForestPlot(
        title=title,
        description=" ".join(finding.sentence for finding in findings(suite)),
        x_name="points" if suite.unit == "share" else suite.unit,
        rows=rows,
        baselines=[f"minus {name}" for name in baselines.values()],
        x_text=lambda value: difference_text(value / scale, suite),
        margin=scale * margin or None,
    )
