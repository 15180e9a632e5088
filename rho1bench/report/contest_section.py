"""The contests of a run on its page: a sorted table and a forest plot a suite, and what they say in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rho1bench.comparison.contest.results import ContestResult
from rho1bench.comparison.contest.text import choices
from rho1bench.comparison.contest.view import SuiteView, suite_view
from rho1bench.rendering.figure import Figure


@dataclass(frozen=True)
class SuiteSection:
    """One suite: its numbers and its figure."""

    view: SuiteView
    figure: Figure
    cost: Figure | None
    """Score against operations."""


def contest_suites(contests: Sequence[ContestResult]) -> dict[tuple[str, str], SuiteSection]:
    """Return the section of every suite, by the contest's and the suite's name."""
    sections = {}
    for contest in contests:
        for suite in contest.suites:
            name = contest.terms.name
            view = suite_view(contest, suite, f"{name} on {suite.suite}: differences from the baselines")
            stem = f"contest-{name}-{suite.suite.replace(':', '-')}"
            figure = Figure(stem, view.plot.title, view.plot, view.header, view.numbers)
            sections[name, suite.suite] = SuiteSection(view, figure, _cost_figure(name, view))
    return sections


def _cost_figure(contest: str, view: SuiteView) -> Figure | None:
    if view.cost is None:
        return None
    title = f"{contest} on {view.suite}: scores against operations"
    rows = [[row.arm, row.flops, row.seconds, row.score, row.seeds] for row in view.rows]
    header = ("arm", "operations", "time", "score, %", "over seeds")
    return Figure(f"contest-{contest}-{view.suite}-cost", title, view.cost, header, rows)


def contest_view(contest: ContestResult, sections: Mapping[tuple[str, str], SuiteSection]) -> dict[str, object]:
    """Return what the templates print of one contest."""
    return {
        "name": contest.terms.name,
        "choices": choices(contest),
        "chosen": [_chosen(contest, choice.arm) for choice in contest.chosen if choice.values],
        "suites": [sections[contest.terms.name, suite.suite] for suite in contest.suites],
    }


def _chosen(contest: ContestResult, arm: str) -> dict[str, object]:
    choice = contest.setting_of(arm)
    values = [f"{setting} {value:.4f}" for setting, value in choice.values.items()]
    return {"arm": arm, "setting": choice.setting, "values": ", ".join(values), "at_edge": choice.at_edge}
