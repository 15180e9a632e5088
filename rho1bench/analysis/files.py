"""The files of an analysis: numbers, figures, tables, page."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from rho1bench.analysis.drawing import AnalysisFigure
from rho1bench.analysis.figures import sections_of
from rho1bench.analysis.page import page
from rho1bench.analysis.results import ANALYSIS, Analysis
from rho1bench.system.files import write_json, write_text

PAGE = "analysis.html"


def write_analysis(folder: Path, found: Analysis) -> None:
    """Write numbers, figures, tables and page."""
    write_figures(folder, found)
    write_text(folder / PAGE, page(found, sections_of(found)))
    write_json(folder / ANALYSIS, found.model_dump(mode="json", by_alias=True))


def write_figures(folder: Path, found: Analysis) -> None:
    """Write ``figures/``: each figure as SVG, and its numbers as CSV."""
    for one in (figure for section in sections_of(found) for figure in section.figures):
        write_text(folder / "figures" / f"{one.figure.name}.svg", one.figure.file())
        write_text(folder / "figures" / f"{one.figure.name}.csv", as_csv(one))


def as_csv(figure: AnalysisFigure) -> str:
    """Return a figure's numbers, unrounded, under their names."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(figure.figure.header)
    writer.writerows(figure.values)
    return out.getvalue()
