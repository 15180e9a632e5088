"""Contests that say where they lie become one map: each cell the best rule against each baseline, nothing invented."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from contest_recipe import SUITE, fewer, finished_run
from fake_records import write_results

from rho1bench.comparison.contest.results import ArmDifference
from rho1bench.leaderboard.pages.build import add_and_build, check_results
from rho1bench.leaderboard.pages.html import html_page
from rho1bench.leaderboard.pages.markdown import markdown_page
from rho1bench.leaderboard.records.contest_checks import read_contests
from rho1bench.leaderboard.records.contest_from_run import contest_runs
from rho1bench.leaderboard.records.contest_record import ContestRecord
from rho1bench.leaderboard.records.from_run import Run, recipe_sha256, run_command
from rho1bench.leaderboard.records.origin import recipe_of
from rho1bench.leaderboard.tables.board import make_board
from rho1bench.leaderboard.tables.maps import contest_maps
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.recipe.part import part_of
from rho1bench.rendering.cell_map import map_svg


def with_place(data: dict) -> None:
    fewer(data)
    compare = next(item for item in data["stages"] if item["name"] == "compare")
    compare["contests"][0] |= {"place": {"noise": "noise50", "text": "docs10", "coverage": "<b>"}, "suites": [SUITE]}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> ContestRecord:
    """The record of one cell, landed."""
    folder = finished_run(tmp_path_factory.mktemp("run"), with_place)
    results = write_results(tmp_path_factory.mktemp("landed") / "results", [])
    add_and_build(folder, results)
    assert check_results(results) == []
    assert (results / "figures" / f"contest_small.seed3.{SUITE}.map.svg").is_file()
    (contest,), _ = read_contests(results, [])
    return contest


def cell(record: ContestRecord, labels: tuple[str, ...], difference: float, p: float) -> ContestRecord:
    """The same contest at another place, with other differences of its rule."""
    copy = record.model_copy(deep=True)
    copy.terms.place.update(zip(copy.terms.place, labels, strict=True))
    for arm in copy.result.suites[0].arms:
        changed: dict[str, ArmDifference] = {
            part: value.model_copy(update={"difference": difference, "p_holm": p})
            for part, value in arm.against.items()
        }
        arm.against.update(changed)
    return copy


def test_cells_stand_in_order_and_verdicts_follow_sign_and_p(record: ContestRecord) -> None:
    cells = [
        cell(record, ("noise80", "docs100", "all"), 0.031, 0.01),
        cell(record, ("noise20", "docs100", "all"), -0.02, 0.04),
        cell(record, ("noise20", "docs10", "all"), 0.05, 0.06),
        cell(record, ("noise20", "docs1", "all"), 0.0, 1.0),
    ]
    (found,) = contest_maps(cells)
    assert found.figure.rows == ["noise20", "noise80"]
    assert list(found.figure.columns) == ["docs1 all", "docs10 all", "docs100 all"]
    panels = {panel.title: panel.cells for panel in found.figure.panels}
    assert list(panels) == [
        "minus the best control, points",
        "minus random selection, points",
        "minus full training, points",
    ]
    verdicts = {place: one.verdict for place, one in panels["minus the best control, points"].items()}
    assert verdicts == {
        ("noise80", "docs100 all"): "ahead",
        ("noise20", "docs100 all"): "behind",
        ("noise20", "docs10 all"): "open",
        ("noise20", "docs1 all"): "open",
    }
    assert panels["minus full training, points"]["noise80", "docs100 all"].difference == "+3.1"
    assert found.findings[0] == (
        "The best rule against the best control: significantly ahead in 1 of 4 cells, behind in 1, undecided in 2. "
        "Ahead: noise80 docs100 all."
    )
    assert [row[:4] for row in found.rows][-1] == ["noise80", "docs100", "all", "excess"]


def test_the_picture_and_both_pages_show_every_cell_and_obey_no_label(record: ContestRecord) -> None:
    board = make_board([], [record, cell(record, ("noise80", "docs10", "<b>"), 0.2, 0.001)])
    (found,) = board.maps
    picture = map_svg(found.figure, standalone=True)
    boxes = [box for box in ET.fromstring(picture).iter() if "cell" in box.get("class", "")]
    assert len(boxes) == 3 * 2
    for page in (html_page(board), markdown_page(board)):
        assert found.title.replace("_", "\\_") in page or found.title in page
        assert "&lt;b&gt;" in page
        assert "<b>" not in page.replace("<b>Bold</b>", "").split('id="math"')[0].split("Numbers")[0]


def test_contests_without_a_place_are_on_no_map(record: ContestRecord, tmp_path: Path) -> None:
    bare = record.model_copy(deep=True)
    bare.terms.place.clear()
    assert contest_maps([bare]) == ()


def test_a_cell_of_a_shipped_map_names_the_command_that_makes_it_alone(tmp_path: Path) -> None:
    name = "compare-noise80-docs1-cover27"
    whole = load_recipe("when_it_pays")
    run = Run(part_of(whole, ["compare-noise80-*"]), tmp_path)
    parts = contest_runs(run)
    assert len(parts) == 6
    (part,) = (one for one in parts if one.recipe.stages[-1].name == name)
    command = run_command(part)
    assert command == f"rho1bench run when_it_pays --only {name} --seed 0"
    assert recipe_of(command, "when_it_pays", recipe_sha256(part.recipe), tmp_path) == part.recipe
    other = recipe_of(command, "when_it_pays", recipe_sha256(whole), tmp_path)
    assert "is not that of the shipped recipe" in str(other)
