"""Fills the two templates: ``report.html`` (every value escaped by jinja2) and ``report.md`` (escaped for Markdown)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rho1bench.analysis.line_chart import FIGURE_STYLE

TEMPLATES = Path(__file__).parent / "templates"
_SPECIAL = re.compile(r"[\\`*|\[\]~]|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escape_markdown(value: Any) -> Any:
    """Make text plain in Markdown: nothing of it becomes a table cell, a link, emphasis or HTML; Markup stays."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = "".join(_ENTITIES.get(char, char) for char in " ".join(value.split()))
    return Markup(_SPECIAL.sub(lambda match: f"\\{match.group()}", text))


def html_page(view: Mapping[str, Any]) -> str:
    """Return report.html; needs no other file and no network."""
    environment = _environment()
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(**view, style=style, figure_style=FIGURE_STYLE)


def markdown_page(view: Mapping[str, Any]) -> str:
    """Return report.md; its figures are files in ``figures/`` beside it."""
    environment = _environment(finalize=escape_markdown)
    recipe_block = Markup(_fenced(view["recipe_yaml"]))
    return environment.get_template("report.md.j2").render(**view, recipe_block=recipe_block)


def _fenced(text: str) -> str:
    """Return a code block whose fence is longer than any in ``text``."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}yaml\n{text.rstrip()}\n{fence}"


def _environment(**settings: Any) -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **settings,
    )
