r"""The paper's normal form of an answer (appendix E): what is left of a string before two answers are compared.

Used on predictions (after :mod:`rho1bench.grading.paper.extraction`) and on gold answers. It is a chain of small
rewrites, applied in order; each looks at the output of the one before. Some are crude ("and" is deleted inside words
too): they are kept because the published numbers depend on them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from rho1bench.grading.paper.unit_words import without_units

Rewrite = Callable[[str], str]
_MAX_INT_DIGITS = 4300


def _erase(*literals: str) -> Rewrite:
    def rewrite(text: str) -> str:
        for literal in literals:
            text = text.replace(literal, "")
        return text

    return rewrite


def _swap(*pairs: tuple[str, str]) -> Rewrite:
    def rewrite(text: str) -> str:
        for old, new in pairs:
            text = text.replace(old, new)
        return text

    return rewrite


def _regex(pattern: str, template: str) -> Rewrite:
    compiled = re.compile(pattern)
    return lambda text: compiled.sub(template, text)


def _braced(pattern: str, template: str) -> Rewrite:
    """Like :func:`_regex`, for a pattern that ends at the next closing brace: time stays linear where there is none."""
    rewrite = _regex(pattern, template)

    def up_to_last_brace(text: str) -> str:
        end = text.rfind("}") + 1
        return rewrite(text[:end]) + text[end:]

    return up_to_last_brace


def _without_closing_text(text: str) -> str:
    """Drop everything from the first LaTeX text group on if a brace ends the text, unless nothing would be left."""
    before, opening, group = text.partition(r"\text{")
    return (before if opening and group.endswith("}") else text).strip() or text


def _number_words(text: str) -> str:
    r"""Replace a text that holds English number words ("twenty-one apples") by the number; others stay."""
    from word2number.w2n import word_to_num

    try:
        return str(word_to_num(text))
    except (ValueError, TypeError, KeyError, IndexError):
        return text


def _infinity(text: str) -> str:
    text = text.replace("infinity", r"\infty")
    if r"\infty" not in text:
        text = text.replace("inf", r"\infty")
    return text.replace(r"+\inity", r"\infty")


def _imaginary_unit(text: str) -> str:
    return text if "i" in text else text.replace("j", "i")


def _without_short_left_side(text: str) -> str:
    """Turn ``k=7`` into ``7`` where the left side has at most two characters; supply a missing leading zero first."""
    text = "0" + text if text.startswith(".") else text
    left, _, right = text.partition("=")
    return right if text.count("=") == 1 and len(left) <= 2 else text


def _braced_fractions(text: str) -> str:
    r"""Give ``\frac12``, ``\frac1{23}`` and their like braces; one that is too short for that leaves the text alone."""
    head, *tails = text.split(r"\frac")
    if any(len(tail) < 2 and tail != "{" for tail in tails):
        return text
    return head + "".join(r"\frac" + _braced_operands(tail) for tail in tails)


def _braced_operands(tail: str) -> str:
    if tail.startswith("{"):
        return tail
    above, below, rest = tail[0], tail[1], tail[2:]
    return f"{{{above}}}" + (below if below == "{" else f"{{{below}}}") + rest


def _slash_to_fraction(text: str) -> str:
    r"""Turn ``3/4`` or ``\sqrt{3}/2`` (one slash; each side an integer or with a root) into a ``\frac``."""
    above, _, below = text.partition("/")
    if text.count("/") != 1 or not (_is_fraction_part(above) and _is_fraction_part(below)):
        return text
    return rf"\frac{{{above}}}{{{below}}}"


def _is_fraction_part(side: str) -> bool:
    plain = re.fullmatch(r"0|-?[1-9][0-9]*", side) is not None
    return "sqrt" in side or (plain and len(side.lstrip("-")) <= _MAX_INT_DIGITS)


_CHAIN: tuple[Rewrite, ...] = (
    str.strip,
    _erase("\n"),
    lambda text: text.rstrip("."),
    _erase(r"\!"),
    _braced(r"\\begin\{array\}\{.*?\}", r"\\begin{pmatrix}"),
    _regex(r"\\end\{array\}", r"\\end{pmatrix}"),
    _swap(("bmatrix", "pmatrix"), ("tfrac", "frac"), ("dfrac", "frac")),
    _erase(r"\left", r"\right"),
    _swap((r"\{", "{"), (r"\}", "}")),
    _without_closing_text,
    without_units,
    _erase(r"^{\circ}", r"^\circ", r"\$", "$"),
    _number_words,
    _braced(r"\\text\{(.*?)\}", r"\1"),
    _erase(*(f"{variable}{sign}" for sign in ("=", r"\in", r"\to") for variable in "xyz")),
    _swap((r"\emptyset", "{}"), (r"(-\infty,\infty)", r"\mathbb{R}")),
    _erase(r"\%", "%"),
    _swap((" .", " 0."), ("{.", "{0.")),
    _infinity,
    _erase("and", r"\mathbf"),
    _braced(r"\\mbox{.*?}", ""),
    _imaginary_unit,
    _regex(r"(?<=\d)\.0*([^\d])", r"\1"),
    _regex(r"(?<=\d)\.0*$", ""),
    _without_short_left_side,
    _regex(r"\\sqrt(\w+)", r"\\sqrt{\1}"),
    _erase(" "),
    _braced_fractions,
    _slash_to_fraction,
)


@lru_cache(maxsize=4096)
def normalise(text: str) -> str:
    """Return the paper's normal form of an answer."""
    for rewrite in _CHAIN:
        text = rewrite(text)
    return text
