r"""The stated answer of a completion, as written: the strict counterpart of :mod:`rho1bench.grading.paper.extraction`.

The order of the places looked at is the paper's; what differs is where the answer ends (at the end of its clause), what
counts as an option letter (one that stands alone, so that "the answer is a number" names no option), and that the last
number is taken with its sign, power, root and unit. Every step is linear in the length of the completion, and only
``WINDOW`` characters around a place are looked at closely.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rho1bench.grading.strict.last_number import last_number
from rho1bench.grading.strict.stated import WINDOW, clause
from rho1bench.paper.protocol import CHOICE_TASKS

_LEAD = r"(?:answer|choice|option) is:?\s{0,99}(?:option\s{1,99}|choice\s{1,99})?"
_WRAP = r"(?:\$|\\\(|\\boxed\{|\\text\{|\\textbf\{|\*\*){0,9}"
_STATED_OPTION = re.compile(
    _LEAD + _WRAP + r"(?:\(([A-Ea-e])\)|([A-E])(?![A-Za-z'’])|([b-e])(?=[).,]?\s{0,99}(?:\n|$)))"
)
_BOXED_OPTION = re.compile(r"boxed\{" + _WRAP + r"\(?([A-Ea-e])\)?\}")
_BARE_OPTION = re.compile(r"\s*\(?([A-Ea-e])\)?[.:]?\s*")

_SPECIAL_TOKEN = re.compile(r"<\|[a-z_]{1,30}\|>|</?s>|<(?:eos|pad|end_of_turn)>")
_OPEN_BOX = re.compile(r"\\?(?:boxed|fbox|framebox)")
_BETWEEN_BOXES = re.compile(r"(?:\s|\$|\\[()\[\]]|,|and|or|\\text\{\s*(?:and|or)\s*\}){1,60}")
_SIGN_BEFORE_BOX = re.compile(r"(?:^|[=:($\[\n]|[A-Za-z]{2})\s*-\s*$")
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–−－﹣", "-"))
_VERBS = "is|are|was|were|would be|must be|should be|equals"
_HEADINGS = (
    re.compile(r"####"),
    re.compile(rf"\banswers?(?:\s{{1,9}}(?:{_VERBS}))?\s{{0,9}}(?:\*\*)?\s{{0,9}}[:=]", re.IGNORECASE),
    re.compile(rf"\banswers?\s{{1,9}}(?:{_VERBS})\b", re.IGNORECASE),
)


def answer_span(completion: str, task: str) -> str:
    """Return the stated answer (an upper-case letter for multiple choice), or ``""`` where none is stated."""
    if task in CHOICE_TASKS:
        return _option(completion.partition("Problem:")[0])
    completion = _SPECIAL_TOKEN.sub("\n", completion).translate(_DASHES)
    for finder in _FINDERS:
        found = finder(completion)
        if found is not None:
            return found.strip()
    return ""


def _option(completion: str) -> str:
    for pattern in (_STATED_OPTION, _BOXED_OPTION):
        if stated := pattern.search(completion):
            return next(letter for letter in stated.groups() if letter).upper()
    bare = _BARE_OPTION.fullmatch(completion) if len(completion) < WINDOW else None
    return bare.group(1).upper() if bare else ""


def _minerva(completion: str) -> str | None:
    _, opening, rest = completion.partition("final answer is $")
    stated, closing, _ = rest.partition("$. I hope")
    return stated if opening and closing else None


def _boxed(completion: str) -> str | None:
    """Return what the last box holds; boxes that only a comma or "and" sets apart are one answer."""
    starts = [match.end() for match in _OPEN_BOX.finditer(completion)]
    if not starts:
        return None
    inside, _ = _box(completion, starts[-1])
    parts = [f"-({inside})" if _negative(completion[: _start_of_mark(completion, starts[-1])][-60:]) else inside]
    for start, following in zip(reversed(starts[:-1]), reversed(starts[1:]), strict=True):
        if following - start > WINDOW:
            break
        before, end = _box(completion, start)
        if not _BETWEEN_BOXES.fullmatch(completion[end : _start_of_mark(completion, following)]) or len(parts) > 20:
            break
        parts.insert(0, before)
    return ", ".join(parts)


def _negative(before: str) -> bool:
    """Tell whether a minus sign, which is no subtraction, stands right before a box."""
    return _SIGN_BEFORE_BOX.search(before) is not None


def _start_of_mark(completion: str, end: int) -> int:
    mark = next(mark for mark in ("framebox", "boxed", "fbox") if completion.endswith(mark, 0, end))
    start = end - len(mark)
    return start - 1 if completion[start - 1 : start] == "\\" else start


def _box(completion: str, start: int) -> tuple[str, int]:
    """Return what a box holds that was opened before ``start``, and where it ends."""
    rest = completion[start : start + WINDOW]
    if not rest.startswith("{"):
        inside = re.split(r"\$|\n", rest.strip(), maxsplit=1)[0]
        return inside, start + len(inside)
    depth = 0
    for place, char in enumerate(rest):
        depth += 0 if rest[place - 1 : place] == "\\" else (char == "{") - (char == "}")
        if depth == 0:
            return rest[1:place], start + place + 1
    inside = rest[1:].partition("\n")[0].rstrip("$. ")
    return inside, start + len(inside)


def _stated(phrase: str) -> Callable[[str], str | None]:
    def finder(completion: str) -> str | None:
        _, mark, rest = completion.rpartition(phrase)
        return clause(rest[:WINDOW]) if mark else None

    return finder


def _under_heading(completion: str) -> str | None:
    """Find ``#### 42``, ``Answer: 42``, ``the answers are 4 and 9``."""
    for heading in _HEADINGS:
        ends = [match.end() for match in heading.finditer(completion)]
        if ends:
            return clause(completion[ends[-1] :][:WINDOW])
    return None


_FINDERS: tuple[Callable[[str], str | None], ...] = (
    _minerva,
    _boxed,
    _stated("he answer is"),
    _stated("final answer is"),
    _under_heading,
    last_number,
)
