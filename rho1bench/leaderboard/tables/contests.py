"""Contests on the leaderboard: for each suite the arms, the best first, with their controls, and a forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rho1bench.comparison.contest.text import choices
from rho1bench.comparison.contest.view import SuiteView, suite_view
from rho1bench.leaderboard.records.contest_record import ContestRecord


@dataclass(frozen=True)
class ContestBoard:
    """One contest, written out."""

    title: str
    why: str
    record: str
    """Path of the record, beside the page."""
    stem: str
    """Part of the names of its figures."""
    command: str
    choices: str
    suites: list[SuiteView]


def contest_boards(contests: Sequence[ContestRecord]) -> tuple[ContestBoard, ...]:
    """Return what the pages show of the contests, in the order of their ids."""
    return tuple(_board(contest) for contest in contests)


def _board(contest: ContestRecord) -> ContestBoard:
    title = f"{contest.recipe}: {contest.terms.name}, seed {contest.seed}"
    return ContestBoard(
        title=title,
        why=_why(contest),
        record=f"records/{contest.id}.json",
        stem=contest.id.rpartition("/")[2],
        command=contest.command,
        choices=choices(contest.result),
        suites=[suite_view(contest.result, suite, f"{title}, {suite.suite}") for suite in contest.result.suites],
    )


def _why(contest: ContestRecord) -> str:
    """Return on what a contest was held."""
    suites = ", ".join(contest.suites)
    return {
        "full": f"{suites}: whole test sets",
        "mini": f"{suites}: small tasks of the embedded mini world, not the paper's test sets",
        "smoke": f"{suites}: a smoke test of a recipe, far smaller than what it stands for",
        "limited": f"{suites}: not all documents",
    }[contest.scale]
