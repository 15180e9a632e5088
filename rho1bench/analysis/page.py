"""``analysis.html``, and the same sections for the report; needs no other file and no network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from markupsafe import Markup

from rho1bench import __version__
from rho1bench.analysis.drawing import AnalysisFigure, Section
from rho1bench.analysis.results import Analysis
from rho1bench.rendering import numbers as fmt
from rho1bench.rendering.axes import FIGURE_STYLE, TOKEN_STYLE
from rho1bench.rendering.templates import html_environment, page_style
from rho1bench.rendering.token_text import TokenText

_TEMPLATES = Path(__file__).parent / "templates"


def page(found: Analysis, sections: Sequence[Section]) -> str:
    """Return the page of an analysis."""
    return (
        html_environment(_TEMPLATES)
        .get_template("analysis.html.j2")
        .render(
            title=f"{found.recipe}, seed {found.seed}: what tokens do",
            text=described(found),
            notes=found.notes,
            navigation=[(section.name, section.title) for section in sections],
            sections=sections_html(sections),
            style=page_style() + FIGURE_STYLE + TOKEN_STYLE,
            version=__version__,
        )
    )


def described(found: Analysis) -> str:
    """Return which text was looked at."""
    kind = "text that was trained on" if found.is_training_text else "text that was not trained on"
    return (
        f"{fmt.count(found.num_tokens)} tokens in {fmt.count(found.num_blocks)} blocks, spread evenly over the corpus "
        f"{found.corpus} ({kind})."
    )


def sections_html(sections: Sequence[Section], heading: int = 2) -> Markup:
    """Return the sections; ``heading`` is the level of their titles."""
    template = html_environment(_TEMPLATES).get_template("sections.html.j2")
    return Markup(template.render(sections=[_view(section) for section in sections], heading=heading))


def _view(section: Section) -> dict[str, object]:
    rows = [(is_panel, list(figures)) for is_panel, figures in groupby(section.figures, lambda one: one.is_panel)]
    return {
        "name": section.name,
        "title": section.title,
        "words": section.words,
        "rows": [(is_panel, [_figure(one) for one in figures]) for is_panel, figures in rows],
    }


def _figure(one: AnalysisFigure) -> dict[str, object]:
    return {
        "figure": one.figure,
        "caption": one.caption,
        "has_table": not isinstance(one.figure.chart, TokenText),
    }
