"""A run with a contest on the console, on its page and in its summary; the forest plot itself."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from contest_recipe import DEV, SUITE, contest_recipe, fewer, write_run
from rich.console import Console

from rho1bench.comparison import stage as comparison_stage
from rho1bench.comparison.console_table import result_tables
from rho1bench.comparison.run_summary import RunSummary, read_run_summary
from rho1bench.pipeline.stage import StageContext
from rho1bench.rendering import numbers as fmt
from rho1bench.rendering.forest_plot import ForestPlot, ForestRow, Mark, forest_svg
from rho1bench.report import stage as report_stage
from rho1bench.system.progress import SilentProgress


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the report stage published."""
    folder = tmp_path_factory.mktemp("contest")
    recipe = contest_recipe(folder, fewer)
    folders = write_run(folder, recipe, rows=40)
    for name, run in (("compare", comparison_stage.run), ("report", report_stage.run)):
        folders[name].mkdir()
        run(StageContext(recipe, recipe.stage(name), folders[name], folders, recipe.seed, SilentProgress()))
    return folders["report"] / "publish"


@pytest.fixture(scope="module")
def summary(report: Path) -> RunSummary:
    return read_run_summary(report / "summary.json")


def test_the_page_leads_with_the_best_control(report: Path, summary: RunSummary) -> None:
    html = (report / "report.html").read_text(encoding="utf-8")
    against = summary.contests[0].suites[0].arm("excess").against["control"]
    assert against.difference < 0
    assert f'<p class="headline">No rule beats the best control (reference) on {SUITE} (3 seeds)</p>' in html
    assert f"the best is excess {fmt.points(against.difference)} points</p>" in html
    assert html.index('id="contests"') < html.index('id="checkpoints"')
    assert 'id="results"' not in html


def test_every_number_of_the_contest_is_on_both_pages(report: Path, summary: RunSummary) -> None:
    (contest,) = summary.contests
    for name in ("report.html", "report.md"):
        text = (report / name).read_text(encoding="utf-8")
        for suite in contest.suites:
            for arm in suite.arms:
                assert fmt.percent(arm.score) in text
                for value in arm.against.values():
                    assert fmt.interval(value.ci) in text
                    assert fmt.p_value(value.p_holm) in text
            for signal in suite.signal.values():
                assert fmt.percent(signal.between_arms) in text
        assert "learning_rate was chosen for each arm by the lowest validation loss on seed 0" in text.replace("\\", "")
        assert "so that better ones may lie beyond: full lr2e-3, random lr1e-3, excess lr2e-3." in text
        assert "of other training seeds (1, 2, 3 were run) and other documents (240 documents in 6 tasks)" in text
        assert "3 seeds are too few for an exact p over seeds alone" in text
        assert "reference was trained once: its own spread over seeds is not in the interval" in text
        assert "The best control is picked on the same answers, which favours it." in text


def test_headings_of_the_markdown_page_stand_alone(report: Path) -> None:
    text = (report / "report.md").read_text(encoding="utf-8")
    assert text.count("\n### ") >= 2
    assert not re.search(r"[^\n]\n#+ |\n{3}", text)


def test_the_forest_plot_is_a_file_too_and_draws_every_difference(report: Path, summary: RunSummary) -> None:
    for suite in (SUITE, DEV):
        path = report / "figures" / f"contest-contest-{suite}.svg"
        tree = ET.parse(path)
        titles = [element.text or "" for element in tree.iter("{http://www.w3.org/2000/svg}title")]
        shown = next(one for one in summary.contests[0].suites if one.suite == suite)
        for arm in shown.arms:
            for value in arm.against.values():
                assert any(title.startswith(arm.arm) and fmt.points(value.difference) in title for title in titles)
        assert path.name in (report / "report.md").read_text()


def test_the_console_shows_the_contest(summary: RunSummary) -> None:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for part in result_tables(summary):
        console.print(part)
    text = console.export_text()
    best = summary.contests[0].suites[0].arms[0]
    assert text.index(best.arm) < text.index("excess")
    for word in (fmt.percent(best.score), "minus full training (full)", "lr2e-3", "No rule beats the best control"):
        assert word in text


def test_a_forest_plot_escapes_names_and_marks_what_is_negligible() -> None:
    rows = [ForestRow("<b>long & longer and longest", [Mark(1.0, -2.0, 3.0, 0), Mark(-1.0, -1.5, -0.5, 1)])]
    plot = ForestPlot("a < b", "c", "points", rows, ["minus full", "minus random"], lambda x: f"{x:g}", margin=1.0)
    drawing = ET.fromstring(forest_svg(plot))
    kinds = [element.get("class") for element in drawing.iter()]
    assert kinds.count("negligible") == 1
    assert kinds.count("interval i0") == 2
    lines = [element for element in drawing.iter() if element.get("class") == "interval i1"]
    assert all(float(line.get("x1", 0)) < float(line.get("x2", 0)) for line in lines)
    assert "<style>" in forest_svg(plot, standalone=True)
    assert "negligible" not in forest_svg(ForestPlot("a", "b", "c", rows, ["x", "y"], str))
