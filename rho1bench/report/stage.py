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
from rho1bench.recipe import ReportStage
from rho1bench.report import page_variables, pages, summary
from rho1bench.report.run_data import RunData, read_run
from rho1bench.system.files import write_json, write_text


def run(context: StageContext) -> None:
    """Write the report; raises ``DataError`` where a stage's folder misses what the report needs."""
    data = read_run(context)
    publish = context.folder / "publish"
    numbers = summary.build(data)
    charts = page_variables.draw(data)
    answers = write_answers(publish, data, context)
    variables = page_variables.build(data, numbers, charts) | {"answers": answers}
    for figure in charts.all:
        write_text(publish / "figures" / f"{figure.name}.svg", figure.file())
    if data.analysis is not None:
        write_figures(publish, data.analysis)
    write_text(publish / "report.md", pages.markdown_page(variables))
    write_text(publish / "report.html", pages.html_page(variables))
    write_json(publish / "summary.json", as_json(numbers))


def write_answers(publish: Path, data: RunData, context: StageContext) -> str:
    """Write the page of all checkpoints' answers and return its name."""
    evaluation = context.input(context.config(ReportStage).evaluation)
    title = f"{data.recipe.name}, seed {data.seed}: answers"
    write_page(publish / PAGE, evaluation_sources(evaluation, list(data.results)), title, [("Report", "report.html")])
    return PAGE
