"""A page of tokens: the text with marked tokens, and every token's numbers as a table; needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rho1bench import __version__
from rho1bench.rendering.axes import FIGURE_STYLE, TOKEN_STYLE
from rho1bench.rendering.figure import Figure
from rho1bench.rendering.templates import html_environment, page_style
from rho1bench.rendering.token_text import PLAIN, ShownPassage, TokenText

_TEMPLATES = Path(__file__).parent / "templates"
KEPT_GROUND = "g0"


def token_page(
    title: str, words: str, passages: Sequence[ShownPassage], header: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    """Return the page; kept tokens of the passages stand on :data:`KEPT_GROUND`."""
    legend = [(KEPT_GROUND, "kept"), (PLAIN, "left out")]
    text = TokenText(title, words, passages, legend)
    figure = Figure("tokens", title, text, header, rows)
    template = html_environment(_TEMPLATES).get_template("tokens.html.j2")
    return template.render(
        title=title,
        words=words,
        figure=figure,
        style=page_style() + FIGURE_STYLE + TOKEN_STYLE,
        version=__version__,
    )
