r"""The stated answer of a completion, as written: the strict counterpart of :mod:`rho1bench.grading.paper.extraction`.

The order of the places looked at is the paper's; what differs is where the answer ends (at the end of its sentence)
and what counts as an option letter (one that stands alone, so that "the answer is a number" names no option).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rho1bench.paper.protocol import CHOICE_TASKS

_LEAD = r"(?:answer|choice|option) is:?\s*(?:option\s+|choice\s+)?"
_WRAP = r"(?:\$|\\\(|\\boxed\{|\\text\{|\\textbf\{|\*\*)*"
_STATED_OPTION = re.compile(_LEAD + _WRAP + r"(?:\(([A-Ea-e])\)|([A-E])(?![A-Za-z'’])|([b-e])(?=[).,]?\s*(?:\n|$)))")
_BOXED_OPTION = re.compile(r"boxed\{" + _WRAP + r"\(?([A-Ea-e])\)?\}")
_BARE_OPTION = re.compile(r"\s*\(?([A-Ea-e])\)?[.:]?\s*")

_NUMBER = re.compile(
    r"""(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))   # digits, with separators or a decimal part
        (?:[eE][-+]?\d+)?(?:\s?\d*/\d+)?(?:\s?\\?%)?""",
    re.VERBOSE,
)
_SENTENCE_END = re.compile(r"\n|(?<!\d)\.\s+(?=[A-Z])|(?<=\d)\.\s+(?=[A-Z])|;\s+(?=[A-Z])")
_MATH = re.compile(r"\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)


def answer_span(completion: str, task: str) -> str:
    """Return the stated answer (an upper-case letter for multiple choice), or ``""`` where none is stated."""
    if task in CHOICE_TASKS:
        return _option(completion.partition("Problem:")[0])
    for finder in _FINDERS:
        found = finder(completion)
        if found is not None:
            return found.strip()
    return ""


def _option(completion: str) -> str:
    for pattern in (_STATED_OPTION, _BOXED_OPTION):
        if stated := pattern.search(completion):
            return next(letter for letter in stated.groups() if letter).upper()
    bare = _BARE_OPTION.fullmatch(completion)
    return bare.group(1).upper() if bare else ""


def _minerva(completion: str) -> str | None:
    stated = re.search(r"final answer is \$(.*?)\$\. I hope", completion, re.DOTALL)
    return stated.group(1) if stated else None


def _boxed(completion: str) -> str | None:
    _, mark, rest = completion.rpartition("boxed")
    if not mark:
        return None
    if not rest.startswith("{"):
        return re.split(r"\$|\n", rest.strip(), maxsplit=1)[0]
    depth = 0
    for place, char in enumerate(rest):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return rest[1:place]
    return rest[1:].partition("\n")[0].rstrip("$. ")


def _stated(phrase: str) -> Callable[[str], str | None]:
    def finder(completion: str) -> str | None:
        _, mark, rest = completion.rpartition(phrase)
        return _one_sentence(rest) if mark else None

    return finder


def _one_sentence(rest: str) -> str:
    sentence = _SENTENCE_END.split(rest.lstrip(" :\n"), maxsplit=1)[0].strip()
    formulas = [next(group for group in match.groups() if group) for match in _MATH.finditer(sentence)]
    begins_with_words = re.match(r"[A-Za-z]{2,}", sentence) is not None
    return formulas[0] if len(formulas) == 1 and begins_with_words else sentence


def _last_number(completion: str) -> str | None:
    numbers = [match.group() for match in _NUMBER.finditer(completion) if any(map(str.isdigit, match.group()))]
    return numbers[-1] if numbers else None


_FINDERS: tuple[Callable[[str], str | None], ...] = (
    _minerva,
    _boxed,
    _stated("he answer is"),
    _stated("final answer is"),
    _last_number,
)
