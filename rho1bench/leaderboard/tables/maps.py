"""Maps of contests: where the best rule is ahead of full training, of random selection, of the best control.

Contests of one recipe that say where they lie (``place``) are the cells. In each the best rule of that cell stands
against each baseline, with the interval and the adjusted p of its own contest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rho1bench.comparison.contest.results import BASELINES, ArmResult, ContestSuite
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


def contest_maps(contests: Sequence[ContestRecord]) -> tuple[ContestMap, ...]:
    """Return one map for each recipe, seed, set of axes and suite of contests that have a place."""
    groups: dict[tuple[str, int, tuple[str, ...]], list[ContestRecord]] = {}
    for contest in contests:
        if contest.terms.place:
            groups.setdefault((contest.recipe, contest.seed, tuple(contest.terms.place)), []).append(contest)
    return tuple(
        _map(
            recipe,
            axes,
            suite,
            [(_labels(one), found) for one in cells if (found := _suite(one, suite)) and _rules(found)],
        )
        for (recipe, _, axes), cells in groups.items()
        for suite in dict.fromkeys(suite for one in cells for suite in one.suites)
    )


_Labels = tuple[str, ...]
_Cells = Sequence[tuple[_Labels, ContestSuite]]


def _labels(contest: ContestRecord) -> _Labels:
    return tuple(contest.terms.place.values())


def _suite(contest: ContestRecord, name: str) -> ContestSuite | None:
    return next((suite for suite in contest.result.suites if suite.suite == name), None)


def _map(recipe: str, axes: Sequence[str], suite: str, cells: _Cells) -> ContestMap:
    title = f"{recipe}: the best rule of each cell on {suite}"
    cells = sorted(cells, key=lambda cell: [_natural(label) for label in cell[0]])
    parts = [part for part in BASELINES if any(_best(found, part) for _, found in cells)]
    findings = [_finding(part, cells) for part in reversed(parts)]
    columns = {" ".join(labels[1:]): labels[1:] for labels in sorted({labels for labels, _ in cells}, key=_column)}
    unit = "points" if cells[0][1].unit == "share" else f"{cells[0][1].unit}, lower is better"
    figure = CellMap(
        title=title,
        description=" ".join(findings),
        rows=list(dict.fromkeys(labels[0] for labels, _ in cells)),
        columns=columns,
        panels=[Panel(f"minus {PARTS[part]}, {unit}", dict(_panel(part, cells))) for part in reversed(parts)],
    )
    header = [*axes, "best rule", *(f"minus {PARTS[part]}" for part in reversed(parts))]
    rows = [
        [*labels, _rules(found)[0].arm, *(_text(found, part) for part in reversed(parts))] for labels, found in cells
    ]
    return ContestMap(title, f"{recipe}.{suite}.map", findings, figure, header, rows)


def _natural(label: str) -> list[tuple[int, str]]:
    """Return a key that sorts ``docs10`` behind ``docs1`` and before ``docs100``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", label)]


def _column(labels: _Labels) -> list[list[tuple[int, str]]]:
    return [_natural(label) for label in labels[1:]]


def _rules(suite: ContestSuite) -> list[ArmResult]:
    """Return the rules, the best one first; a cell of a map has at least one."""
    return [one for one in suite.arms if one.role == "rule"]


def _best(suite: ContestSuite, part: str) -> ArmResult | None:
    """Return the rule with the best score, if it is held against that baseline."""
    best = _rules(suite)[0]
    return best if part in best.against else None


def _panel(part: str, cells: _Cells) -> Iterator[tuple[tuple[str, str], MapCell]]:
    for labels, suite in cells:
        best = _best(suite, part)
        if best is None:
            continue
        value = best.against[part]
        difference, low, high = (difference_text(one, suite) for one in (value.difference, *value.ci))
        words = f"{best.arm} minus {value.baseline}: {difference} ({low} to {high})"
        yield (labels[0], " ".join(labels[1:])), MapCell(difference, f"{low} to {high}", _verdict(suite, part), words)


def _verdict(suite: ContestSuite, part: str) -> Verdict:
    best = _best(suite, part)
    if best is None or not is_significant(best.against[part]):
        return "open"
    better = best.against[part].difference > 0
    return "ahead" if better == (suite.unit == "share") else "behind"


def _text(suite: ContestSuite, part: str) -> str:
    best = _best(suite, part)
    if best is None:
        return ""
    value = best.against[part]
    difference, low, high = (difference_text(one, suite) for one in (value.difference, *value.ci))
    return f"{difference} ({low} to {high}), {value.baseline}"


def _finding(part: str, cells: _Cells) -> str:
    verdicts = [_verdict(suite, part) for _, suite in cells if _best(suite, part)]
    ahead, behind, undecided = (verdicts.count(one) for one in ("ahead", "behind", "open"))
    words = f"{PARTS[part]}: significantly ahead in {ahead} of {len(verdicts)} cells, behind in {behind}, "
    where = [" ".join(labels) for labels, suite in cells if _best(suite, part) and _verdict(suite, part) == "ahead"]
    return f"The best rule against {words}undecided in {undecided}." + (f" Ahead: {_listed(where)}." if where else "")


def _listed(words: Iterable[str]) -> str:
    return "; ".join(words)
