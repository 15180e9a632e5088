"""Maps of contests: where the best rule is ahead of full training, of random selection, of the best control.

Contests of one recipe that say where they lie (``place``) are the cells. In each the best rule of that cell stands
against each baseline, with the interval and the adjusted p of its own contest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rho1bench.comparison.contest.results import BASELINES, ArmDifference, ArmResult, ContestSuite
from rho1bench.comparison.contest.text import PARTS, difference_text, is_significant
from rho1bench.leaderboard.records.contest_record import ContestRecord
from rho1bench.rendering.cell_map import CellMap, MapCell, Panel, Verdict


@dataclass(frozen=True)
class ContestMap:
    """One map: its figure, what it comes to in sentences, and its numbers as a table."""

    title: str
    stem: str
    """Part of the name of its figure."""
    findings: list[str]
    figure: CellMap
    header: list[str]
    rows: list[list[str]]


_Labels = tuple[str, ...]
_Cells = Sequence[tuple[_Labels, ContestSuite]]


def contest_maps(contests: Sequence[ContestRecord]) -> tuple[ContestMap, ...]:
    """Return one map for each recipe, seed, set of axes and suite of contests that have a place."""
    groups: dict[tuple[str, int, _Labels, str], list[tuple[_Labels, ContestSuite]]] = {}
    for contest in contests:
        place = contest.terms.place
        for suite in contest.result.suites if place else ():
            if any(one.role == "rule" for one in suite.arms):
                key = (contest.recipe, contest.seed, tuple(place), suite.suite)
                groups.setdefault(key, []).append((tuple(place.values()), suite))
    return tuple(_map(*key, cells) for key, cells in groups.items())


def _map(recipe: str, seed: int, axes: _Labels, suite: str, cells: _Cells) -> ContestMap:
    title = f"{recipe}: the best rule of each cell on {suite}"
    cells = sorted(cells, key=lambda cell: _natural(cell[0]))
    panels = {part: _panel(part, cells) for part in reversed(BASELINES)}
    panels = {part: panel for part, panel in panels.items() if panel}
    findings = [_finding(part, panel) for part, panel in panels.items()]
    unit = "points" if cells[0][1].unit == "share" else f"{cells[0][1].unit}, lower is better"
    figure = CellMap(
        title=title,
        description=" ".join(findings),
        rows=list(dict.fromkeys(labels[0] for labels, _ in cells)),
        columns={" ".join(head): head for head in sorted({labels[1:] for labels, _ in cells}, key=_natural)},
        panels=[
            Panel(f"minus {PARTS[part]}, {unit}", {_place(labels): cell for labels, cell in panel.items()})
            for part, panel in panels.items()
        ],
    )
    header = [*axes, "best rule", *(f"minus {PARTS[part]}" for part in panels)]
    rows = [
        [*labels, _best(found).arm, *(_text(panel[labels]) if labels in panel else "" for panel in panels.values())]
        for labels, found in cells
    ]
    return ContestMap(title, f"{recipe}.seed{seed}.{suite}.map", findings, figure, header, rows)


def _natural(labels: _Labels) -> list[list[tuple[int, str]]]:
    """Return a key that sorts ``docs10`` behind ``docs1`` and before ``docs100``."""
    parts = [re.split(r"(\d+)", label) for label in labels]
    return [[(int(part), "") if part.isdigit() else (-1, part) for part in label] for label in parts]


def _place(labels: _Labels) -> tuple[str, str]:
    return labels[0], " ".join(labels[1:])


def _best(suite: ContestSuite) -> ArmResult:
    """Return the rule with the best score: the best arm stands first, and a cell has at least one rule."""
    return next(one for one in suite.arms if one.role == "rule")


def _panel(part: str, cells: _Cells) -> dict[_Labels, MapCell]:
    """Return the cells in which the best rule is held against a baseline."""
    return {
        labels: _cell(_best(suite).arm, _best(suite).against[part], suite)
        for labels, suite in cells
        if part in _best(suite).against
    }


def _cell(arm: str, value: ArmDifference, suite: ContestSuite) -> MapCell:
    difference, low, high = (difference_text(one, suite) for one in (value.difference, *value.ci))
    verdict: Verdict = "open"
    if is_significant(value):
        verdict = "ahead" if (value.difference > 0) == (suite.unit == "share") else "behind"
    words = f"{arm} minus {value.baseline}: {difference} ({low} to {high})"
    return MapCell(difference, f"{low} to {high}", verdict, words)


def _text(cell: MapCell) -> str:
    return cell.words.partition(" minus ")[2]


def _finding(part: str, panel: Mapping[_Labels, MapCell]) -> str:
    verdicts = [cell.verdict for cell in panel.values()]
    ahead, behind, undecided = (verdicts.count(one) for one in ("ahead", "behind", "open"))
    words = f"{PARTS[part]}: significantly ahead in {ahead} of {len(verdicts)} cells, behind in {behind}, "
    where = "; ".join(" ".join(labels) for labels, cell in panel.items() if cell.verdict == "ahead")
    return f"The best rule against {words}undecided in {undecided}." + (f" Ahead: {where}." if where else "")
