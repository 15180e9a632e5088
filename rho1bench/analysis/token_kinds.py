"""What kind of token is it? Told from the text itself, so that it holds for any corpus.

Every character gets a kind by the patterns below, the first that fits; a token has the kind that most of its visible
characters have. They are rules of thumb for text on screens: a line counts as code by its looks (a keyword or a closing
bracket in the right place), not by being parsed. Text is read from the bytes of the tokens (``token_bytes``), as a
token of a byte-level vocabulary may hold a part of a character only.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache

KINDS = ("number", "operator", "word", "punctuation", "markup", "code", "whitespace", "other script", "special")
_NUMBER, _OPERATOR, _WORD, _PUNCTUATION, _MARKUP, _CODE, _SPACE, _SCRIPT, SPECIAL = range(len(KINDS))
_MARKUPS = re.compile(
    r"</?[A-Za-z][^<>\n]{0,300}>|<!--.*?-->|&(?:[A-Za-z]{2,8}|#\d{1,6});"  # tags and entities
    r"|\\(?:[A-Za-z]+|[()\[\]])|\${1,2}"  # LaTeX
    r"|(?:https?://|www\.)[^\s<>\"]+"
    r"|^#{1,6}(?= )|\*\*|\[\[|\]\]|\{\{|\}\}",
    re.MULTILINE | re.DOTALL,
)
_CODE_LINE = re.compile(
    r"^[ \t]*(?:(?:def|class|func|fn) \w+.*[:{(]|(?:import|from) [\w.]+(?: import .*)?|#include\b.*|return\b.*[\w;)\]]"
    r"|(?:if|elif|for|while|with|try|except|switch)\b.*[:{]|(?:else|try|finally)[:{]?|(?:var|let|const|int|void) \w+.*"
    r"|[\w.\[\]'\"]{2,} ?[-+*/|]?= ?[^=].*[\w)\]}'\";]|.*[;{}]|[\w.]+\(.*\)[;:]?|>>> .*|@\w+.*)[ \t]*$",
    re.MULTILINE,
)
_FENCE = re.compile(r"^```.*?(?:^```|\Z)", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"[A-Za-z]\w*_\w+|[a-z]+[A-Z]\w*(?=[.(\[])|\w+\(\)")
"""Identifiers inside prose."""
_EQUATION = re.compile(r"^[\d\s+\-*/=().,x]*$")
"""A line of arithmetic is none of code."""
_PROSE = re.compile(r"(?:\b[A-Za-z']+ ){3}[A-Za-z']+\b(?!\()|\\[A-Za-z]{2,}|\$[^$\n]+\$|</?[A-Za-z][^<>\n]*>|&\w+;")
_OPERATORS = frozenset("+-*/=<>^%|&~")


def token_kinds(pieces: Sequence[bytes]) -> list[int]:
    """Return the kind of every token of a text, as places in :data:`KINDS`; a special one has no bytes."""
    text, starts = _text(pieces)
    kinds = _character_kinds(text)
    found = []
    for place, piece in enumerate(pieces):
        if not piece:
            found.append(SPECIAL)
            continue
        start, stop = starts[place], max(starts[place + 1], starts[place] + 1)
        counts = Counter(kind for kind in kinds[start:stop] if kind != _SPACE)
        found.append(counts.most_common(1)[0][0] if counts else _SPACE)
    return found


def _text(pieces: Sequence[bytes]) -> tuple[str, list[int]]:
    """Return the text, and at which character each token begins; one that begins inside a character begins there."""
    joined = b"".join(piece or b"\n" for piece in pieces)
    text = joined.decode("utf-8", errors="replace")
    places, offset = [0], 0
    for piece in pieces:
        offset += len(piece) or 1
        places.append(offset)
    return text, _characters_at(joined, places, len(text))


def _characters_at(joined: bytes, places: Sequence[int], num_characters: int) -> list[int]:
    starts, character, done = [], 0, 0
    for place in places:
        # A continuation byte belongs to the character that it continues.
        begin = place
        while begin < len(joined) and begin > done and joined[begin] & 0xC0 == 0x80:
            begin -= 1
        if begin > done:
            character += len(joined[done:begin].decode("utf-8", errors="replace"))
            done = begin
        starts.append(min(character, num_characters))
    return starts


def _character_kinds(text: str) -> list[int]:
    kinds = [_kind_of(character) for character in text]
    for match in _CODE_LINE.finditer(text):
        if not _EQUATION.match(match[0]) and not _is_prose(match[0]):
            _mark(kinds, match, _CODE)
    for pattern, kind in ((_NAME, _CODE), (_MARKUPS, _MARKUP), (_FENCE, _CODE)):
        for match in pattern.finditer(text):
            _mark(kinds, match, kind)
    return kinds


def _is_prose(line: str) -> bool:
    """Four words in a row, parted by blanks alone, are a sentence, whatever it ends with; LaTeX and HTML are markup."""
    return _PROSE.search(line) is not None


def _mark(kinds: list[int], match: re.Match[str], kind: int) -> None:
    for place in range(match.start(), match.end()):
        if kinds[place] != _SPACE:
            kinds[place] = kind


@cache
def _kind_of(character: str) -> int:
    if character.isspace():
        return _SPACE
    category = unicodedata.category(character)
    if category.startswith("N"):
        return _NUMBER
    if category.startswith(("L", "M")):
        return _WORD if unicodedata.name(character, "").startswith(("LATIN", "COMBINING")) else _SCRIPT
    return _OPERATOR if character in _OPERATORS or category == "Sm" else _PUNCTUATION
