"""An analysis as a section of the report, and a report of text in which nobody planted anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fake_run
import pytest
import small_analysis

from rho1bench.analysis.files import write_analysis
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import AnalysisStage, Recipe, ReportStage
from rho1bench.report import stage as report_stage
from rho1bench.system.files import read_jsonl, write_jsonl


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> StageContext:
    """The context of a report that reads an analysis; of a corpus that knows text and special tokens alone."""
    folder = tmp_path_factory.mktemp("run")
    context = fake_run.write_run(folder)
    probe = folder / "stages/slm/selected_tokens.jsonl"
    rows = [
        row | {"kinds": ["special" if place < 2 else "text" for place in range(len(row["kinds"]))]}
        for row in read_jsonl(probe)
    ]
    probe.unlink()
    write_jsonl(probe, rows)
    write_analysis(folder / "stages/inside", small_analysis.analysis(planted=False))
    inside = AnalysisStage(name="inside", kind="analysis", curves=["slm"])
    *stages, report = context.recipe.stages
    assert isinstance(report, ReportStage)
    report = report.model_copy(update={"analysis": "inside"})
    recipe: Recipe = context.recipe.model_copy(update={"stages": [*stages, inside, report]})
    inputs = {**context.inputs, "inside": folder / "stages/inside"}
    found = replace(context, recipe=recipe, stage=report, inputs=inputs)
    report_stage.run(found)
    return found


def test_the_report_has_the_figures(written: StageContext) -> None:
    publish = written.folder / "publish"
    page, markdown = (publish / "report.html").read_text(), (publish / "report.md").read_text()
    assert 'href="#analysis"' in page
    for figure in ("figure-3-slm", "figure-9", "figure-14", "agreement"):
        assert f'href="figures/{figure}.csv"' in page
        assert f"(figures/{figure}.svg)" in markdown
        assert (publish / "figures" / f"{figure}.svg").is_file()
        assert (publish / "figures" / f"{figure}.csv").is_file()
    assert page.count('<h2 id="analysis-title">') == page.count('<h3 id="dynamics-title">') == 1


def test_a_report_of_other_text_speaks_of_no_noise(written: StageContext) -> None:
    """Special tokens were noise once: "SLM selects 100% of the noise"."""
    page = Path(written.folder / "publish/report.html").read_text()
    seen = page[page.index('<section id="tokens"') : page.index('<section id="analysis"')]
    assert "noise" not in seen.lower()
    assert "wrong number" not in seen.lower()
    assert "special" in seen
