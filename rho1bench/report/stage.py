"""Stage ``report``: what a run found, as ``summary.json`` for machines, ``report.html`` and ``report.md`` for people.

The last stage of the pipeline. It reads the folders of the others and writes ``publish/``, which the runner copies to
the top of the run's folder. The files hold no time of day and no path: the same inputs give the same bytes, but for the
wall seconds of the stages.
"""

from __future__ import annotations

from pathlib import Path

from rho1bench.analysis.files import write_figures
from rho1bench.answers.page import PAGE, write_page
from rho1bench.answers.sources import evaluation_sources
from rho1bench.comparison.result_files import as_json
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import AtlasStage, PretrainStage, ReportStage
from rho1bench.recipe.models.atlas import ATLAS_PAGE
from rho1bench.report import page_variables, pages, summary
from rho1bench.report.run_data import RunData, read_run
from rho1bench.system.files import write_json, write_text


def run(context: StageContext) -> None:
    """Write the report; raises ``DataError`` where a stage's folder misses what the report needs."""
    data = read_run(context)
    publish = context.folder / "publish"
    numbers = summary.build(data)
    charts = page_variables.draw(data)
    atlas, trained = atlas_of(context), bool(context.recipe.stages_of(PretrainStage))
    links = {"answers": write_answers(publish, data, context), "atlas": atlas, "atlas_command": trained and not atlas}
    variables = page_variables.build(data, numbers, charts) | links
    for figure in charts.all:
        write_text(publish / "figures" / f"{figure.name}.svg", figure.file())
    if data.analysis is not None:
        write_figures(publish, data.analysis)
    write_text(publish / "report.md", pages.markdown_page(variables))
    write_text(publish / "report.html", pages.html_page(variables))
    write_json(publish / "summary.json", as_json(numbers))


def atlas_of(context: StageContext) -> str | None:
    """Return the name of the page of tokens; None where no stage has written one."""
    written = [stage for stage in context.recipe.stages_of(AtlasStage) if stage.name in context.inputs]
    return ATLAS_PAGE if written else None


def write_answers(publish: Path, data: RunData, context: StageContext) -> str | None:
    """Write the page of all checkpoints' answers and return its name; None where there are none."""
    stage = context.config(ReportStage)
    if stage.evaluation is None:
        return None
    evaluation = context.input(stage.evaluation)
    title = f"{data.recipe.name}, seed {data.seed}: answers"
    sources = evaluation_sources(evaluation, list(data.results))
    return PAGE if write_page(publish / PAGE, sources, title, [("Report", "report.html")]) else None
