"""Fills the two templates: ``report.html`` (every value escaped by jinja2) and ``report.md`` (escaped for Markdown)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from rho1bench.rendering.axes import FIGURE_STYLE, TOKEN_STYLE
from rho1bench.rendering.templates import html_environment, markdown_environment, page_style

TEMPLATES = Path(__file__).parent / "templates"


def html_page(view: Mapping[str, object]) -> str:
    """Return report.html; needs no other file and no network."""
    environment = html_environment(TEMPLATES)
    return environment.get_template("report.html.j2").render(**view, style=page_style() + FIGURE_STYLE + TOKEN_STYLE)


def markdown_page(view: Mapping[str, object]) -> str:
    """Return report.md; its figures are files in ``figures/`` beside it."""
    environment = markdown_environment(TEMPLATES)
    recipe_block = Markup(_fenced(str(view["recipe_yaml"])))
    page = environment.get_template("report.md.j2").render(**view, recipe_block=recipe_block)
    return re.sub(r"\n{3,}", "\n\n", page)


def _fenced(text: str) -> str:
    """Return a code block whose fence is longer than any in ``text``."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}yaml\n{text.rstrip()}\n{fence}"
