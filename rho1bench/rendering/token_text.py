"""Text as SVG, each token on a ground that says something of it (paper figures 11 to 14). Pure function of the tokens.

Letters are all of one width, so that lines are broken here and come out alike everywhere.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import escape

from rho1bench.rendering.axes import TOKEN_STYLE, svg_head

WIDTH = 420
_LETTER, _LINE, _SIDE, _HEAD = 7.2, 17, 6, 24
_COLUMNS = int((WIDTH - 2 * _SIDE) / _LETTER)
PLAIN = ""
"""The ground of a token that nothing is said of."""


@dataclass(frozen=True)
class ShownToken:
    """One token: its text, its ground (a class of ``axes.TOKEN_STYLE``), words for those who point at it."""

    text: str
    ground: str
    words: str


@dataclass(frozen=True)
class ShownPassage:
    """A heading, and tokens that follow each other."""

    heading: str
    tokens: Sequence[ShownToken]


@dataclass(frozen=True)
class TokenText:
    """What to draw."""

    title: str
    description: str
    passages: Sequence[ShownPassage]
    legend: Sequence[tuple[str, str]]
    """(ground, what it means)."""


def text_svg(figure: TokenText, *, standalone: bool = False) -> str:
    """Return the passages as an ``<svg>`` element; ``standalone`` adds styles and background."""
    parts, top = list(_legend(figure.legend)), float(_HEAD)
    for passage in figure.passages:
        parts.append(f'<text class="name" x="{_SIDE}" y="{top + 14:.1f}">{escape(passage.heading)}</text>')
        top += _HEAD
        found, top = _passage(passage.tokens, top)
        parts += found
        top += 8
    head = svg_head(figure.title, figure.description, (WIDTH, round(top) + 4), standalone=standalone, style=TOKEN_STYLE)
    return "\n".join([head, *parts, "</svg>"])


def _legend(legend: Sequence[tuple[str, str]]) -> Iterator[str]:
    left = float(_SIDE)
    for ground, words in legend:
        yield f'<rect class="ground {ground}" x="{left:.1f}" y="4" width="14" height="14" rx="2"/>'
        yield f'<text x="{left + 19:.1f}" y="15">{escape(words)}</text>'
        left += 34 + 6.4 * len(words)


def _passage(tokens: Sequence[ShownToken], top: float) -> tuple[list[str], float]:
    """Return the elements of a passage that begins at ``top``, and where it ends."""
    parts: list[str] = []
    column = 0
    for token in tokens:
        group: list[str] = []
        for piece, breaks in _pieces(token.text):
            for part in _broken(piece, column):
                if part is None:
                    column, top = 0, top + _LINE
                    continue
                group += _placed(part, token.ground, column, top)
                column += _cells(part)
            if breaks:
                column, top = 0, top + _LINE
        if group:
            parts.append(f"<g><title>{escape(token.words)}</title>{''.join(group)}</g>")
    return parts, top + (_LINE if column else 0)


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the lines of a token's text, with a sign for each line end; of several in a row only the last breaks."""
    shown = text.replace("\r", "").replace("\t", "  ")
    lines = shown.split("\n")
    for place, line in enumerate(lines):
        is_end = place < len(lines) - 1
        yield line + ("\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}" if is_end else ""), is_end and place == len(lines) - 2


def _broken(text: str, column: int) -> Iterator[str | None]:
    """Yield parts of a text that fit their lines, and None where a line ends."""
    part, place = "", column
    for letter in text:
        cells = _cells(letter)
        if place + cells > _COLUMNS:
            if part:
                yield part
            yield None
            part, place = "", 0
        part, place = part + letter, place + cells
    if part:
        yield part


def _placed(text: str, ground: str, column: int, top: float) -> list[str]:
    left, width = _SIDE + column * _LETTER, _cells(text) * _LETTER
    parts = []
    if ground:
        parts.append(
            f'<rect class="ground {ground}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_LINE - 2}"/>'
        )
    if text.strip():
        place = f'x="{left:.1f}" y="{top + 12:.1f}" textLength="{width:.1f}"'
        parts.append(f'<text class="mono" xml:space="preserve" {place}>{escape(_printable(text))}</text>')
    return parts


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _printable(text: str) -> str:
    """Replace what XML cannot hold."""
    return re.sub("[\x00-\x1f\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", text)
