"""``results/figures/``: the pages' pictures as files of their own, for a README or a talk.

Forest plots of contests, and accuracy against tokens: there, other stages of the same recipe that were evaluated on the
same suite are drawn as levels, so that a treatment never stands beside its baseline alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from rho1bench.leaderboard.pages.html import accuracy_chart
from rho1bench.leaderboard.records.from_evaluation import slug
from rho1bench.leaderboard.records.record_summary import RecordSummary
from rho1bench.leaderboard.tables.accuracy_curves import Figure
from rho1bench.leaderboard.tables.contests import ContestBoard
from rho1bench.leaderboard.tables.maps import ContestMap
from rho1bench.rendering.cell_map import map_svg
from rho1bench.rendering.forest_plot import forest_svg
from rho1bench.rendering.line_chart import svg
from rho1bench.rendering.numbers import label_name

FIGURES = "figures"


def figure_files(figures: Sequence[Figure], records: Sequence[RecordSummary]) -> dict[str, str]:
    """Return the text of every figure by its path under ``results/``; names of recipes become parts of file names."""
    files: dict[str, str] = {}
    for figure in figures:
        stem = ".".join(slug(part) for part in (figure.suite, figure.recipe, figure.lines[0].name))
        same = sum(path.startswith(f"{FIGURES}/{stem}.") for path in files)
        path = f"{FIGURES}/{stem}.{same + 1}.svg" if same else f"{FIGURES}/{stem}.svg"
        files[path] = svg(accuracy_chart(figure, _controls(figure, records)), standalone=True) + "\n"
    return files


def contest_files(contests: Sequence[ContestBoard]) -> dict[str, str]:
    """Return the forest plots of contests by their paths under ``results/``."""
    return {
        f"{FIGURES}/{slug(contest.stem)}.{slug(view.suite)}.svg": forest_svg(view.plot, standalone=True) + "\n"
        for contest in contests
        for view in contest.suites
    }


def map_files(maps: Sequence[ContestMap]) -> dict[str, str]:
    """Return the maps of contests by their paths under ``results/``."""
    return {f"{FIGURES}/{slug(one.stem)}.svg": map_svg(one.figure, standalone=True) + "\n" for one in maps}


def _controls(figure: Figure, records: Sequence[RecordSummary]) -> list[tuple[float, str]]:
    """Return the scores of the recipe's other stages, of one seed each, without the base that training began from."""
    drawn = {line.name for line in figure.lines}
    found = []
    for record in records:
        training = record.training
        if training is None or (record.suite, training.recipe) != (figure.suite, figure.recipe):
            continue
        if training.method != "base" and not record.curve and label_name(training.stage) not in drawn:
            found.append((100.0 * record.average.score, label_name(training.stage)))
    return found
