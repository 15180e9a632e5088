"""The contests of a run on its page: a sorted table and a forest plot a suite, and what they say in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rho1bench.comparison.contest.results import ContestResult, ContestSuite
from rho1bench.comparison.contest.text import (
    arm_rows,
    baselines_of,
    choices,
    coverage,
    difference_text,
    findings,
    parts_of,
    signal_rows,
)
from rho1bench.rendering.forest_plot import ForestPlot, ForestRow, Mark
from rho1bench.report.figures import Figure


def contest_figures(contests: Sequence[ContestResult]) -> dict[str, Figure]:
    """Return the forest plot of every suite, by the contest's and the suite's name."""
    return {key_of(contest, suite): forest_figure(contest, suite) for contest in contests for suite in contest.suites}


def key_of(contest: ContestResult, suite: ContestSuite) -> str:
    """Return the name of a suite's figure."""
    return f"{contest.terms.name}-{suite.suite}"


def forest_figure(contest: ContestResult, suite: ContestSuite) -> Figure:
    """Return every arm's differences from its baselines, with their intervals."""
    parts = parts_of(suite)
    unit = "points" if suite.unit == "share" else suite.unit
    scale = 100.0 if suite.unit == "share" else 1.0
    rows = [
        ForestRow(
            f"{one.arm} (control)" if one.role == "control" else one.arm,
            [
                Mark(scale * value.difference, scale * value.ci[0], scale * value.ci[1], style)
                for style, part in enumerate(parts)
                if (value := one.against.get(part)) is not None
            ],
        )
        for one in suite.arms
    ]
    plot = ForestPlot(
        title=f"{contest.terms.name} on {suite.suite}: differences from the baselines",
        description=" ".join(finding.sentence for finding in findings(suite)),
        x_name=unit,
        rows=rows,
        baselines=[f"minus {name}" for name in baselines_of(suite).values()],
        x_text=lambda value: difference_text(value / scale, suite),
        margin=contest.terms.margin if suite.unit == "share" else None,
    )
    header = ["arm", *(f"minus {name}, {unit}" for name in parts.values())]
    numbers = [
        [row.arm, *(f"{value.difference} ({value.ci})" if value else "" for value in row.against.values())]
        for row in arm_rows(suite)
    ]
    return Figure(f"contest-{key_of(contest, suite)}", plot.title, plot, header, numbers)


def contest_view(contest: ContestResult, figures: dict[str, Figure]) -> dict[str, object]:
    """Return what the templates print of one contest."""
    return {
        "name": contest.terms.name,
        "choices": choices(contest),
        "chosen": [_chosen(contest, choice.arm) for choice in contest.chosen if choice.values],
        "suites": [_suite(contest, suite, figures) for suite in contest.suites],
    }


def _chosen(contest: ContestResult, arm: str) -> dict[str, object]:
    choice = contest.setting_of(arm)
    digits = 4 if max(map(abs, choice.values.values())) < 100 else 1
    values = [f"{setting} {value:.{digits}f}" for setting, value in choice.values.items()]
    return {"arm": arm, "setting": choice.setting, "values": ", ".join(values), "at_edge": choice.at_edge}


def _suite(contest: ContestResult, suite: ContestSuite, figures: dict[str, Figure]) -> dict[str, object]:
    margin = suite.arms[0].against
    equivalence = next(iter(margin.values())).equivalence.margin if margin else 0.0
    return {
        "suite": suite.suite,
        "unit": "percent and points" if suite.unit == "share" else suite.unit,
        "parts": parts_of(suite),
        "margin": difference_text(equivalence, suite).lstrip("+"),
        "rows": [asdict(row) for row in arm_rows(suite)],
        "coverage": coverage(contest, suite),
        "signal": signal_rows(suite),
        "figure": figures[key_of(contest, suite)],
    }
