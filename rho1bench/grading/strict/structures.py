r"""Taking tidy answers apart: named values (``x=5``), relations, lists, sets, tuples, intervals, unions, matrices."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RELATION = re.compile(r"=|<|>|\\(?:le|ge|ne|approx|in|to|equiv|sim|mid)(?![A-Za-z])")
_SET_OPERATION = re.compile(r"\\(?:cup|cap|setminus)(?![A-Za-z])|\\mathbb\{|\\lbrace.*(?:\\mid|:)")
_NAME = re.compile(
    r"(?:(?:m\s*)?\\angle\s*[A-Z]{1,3}|\\?[A-Za-z]+(?:_\{\w+\})?(?:'|\^\{-1\})?(?:\s*\(\s*[A-Za-z]\s*\))?|[A-Z]{1,3}|P\s*\([^()]*\)|\(\s*[a-z](?:\s*,\s*[a-z])*\s*\))"
)
_TABLE = re.compile(r"[(\[]?\s*\\begin\{(pmatrix|cases)\}(.*)\\end\{\1\}\s*[)\]]?", re.DOTALL)
_OPENING, _CLOSING = "([{", ")]}"
_LBRACE, _RBRACE = r"\lbrace", r"\rbrace"
_PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])")
_CONJUNCTION = re.compile(r",?\s(?:and|or)\s|,\s*(?:and|or)\s")


@dataclass(frozen=True)
class Named:
    """A value and the variable that it was given for (``""`` for none)."""

    name: str
    value: str


@dataclass(frozen=True)
class Collection:
    """Several answers in one: ``kind`` tells collections apart that hold the same items; sets have no order."""

    kind: str
    items: tuple[str, ...]
    name: str = ""

    @property
    def ordered(self) -> bool:
        """Whether the order of the items matters."""
        return self.kind not in ("set", "union")


def is_relation(text: str) -> bool:
    """Return whether a tidy text holds an equation, an inequality or a membership."""
    return _RELATION.search(text) is not None


def is_set_like(text: str) -> bool:
    """Return whether a tidy text is an inequality, a set built from others, or a set of numbers with a name."""
    return _SET_OPERATION.search(text) is not None or re.search(r"[<>]|\\(?:le|ge|ne)(?![A-Za-z])", text) is not None


def joined_otherwise(left: str, right: str) -> bool:
    """Tell whether conditions or names are joined by "and" on one side and by "or" on the other; numbers may be."""
    strict = (is_set_like(left) and is_set_like(right)) or not re.search(r"\d", left + right)
    return strict and any(" and " in one and " or " in other for one, other in ((left, right), (right, left)))


def has_matrix(text: str) -> bool:
    """Return whether a tidy text holds a matrix, alone or inside an expression."""
    return r"\begin{pmatrix}" in text


def sides(text: str) -> list[str]:
    """Split at equality signs outside brackets."""
    return [side.strip() for side in split_outside(text, ("=",))]


def named_value(text: str) -> Named:
    r"""Read ``x=5``, ``x\in S``, ``x\approx 5``, ``x=2+3=5`` (the last value), ``1/3\approx 0.33`` (the exact one)."""
    if read_collection(text) is not None:
        return Named("", text)
    exact, _, rough = text.partition(r"\approx")
    if rough:
        name = exact.strip()
        return Named(name, rough.strip()) if is_name(name) else named_value(name)
    for mark in (r"\in ", r"\equiv "):
        left, sign, right = text.partition(mark)
        if sign and is_name(left.strip()):
            return Named(left.strip(), right.strip())
    chain = sides(text)
    if len(chain) > 1 and is_name(chain[0]):
        return Named(chain[0].replace(" ", ""), chain[-1])
    return Named("", text)


def is_name(text: str) -> bool:
    """Return whether a tidy text can be what a value is given for: ``x``, ``x_{1}``, ``AB``, ``f(x)``, ``P(A)``."""
    return _NAME.fullmatch(text) is not None and len(re.sub(r"\\[a-z]+|[^A-Za-z]", "", text)) <= 4


def read_collection(text: str) -> Collection | None:
    """Read a tidy text as a collection at its top level; None for a single value."""
    if table := _table(text):
        return table
    unions = split_outside(text, (r"\cup",))
    if len(unions) > 1:
        return Collection("union", tuple(sorted(unions)))
    if text.startswith(_LBRACE) and text.endswith(_RBRACE) and text.count(_LBRACE) == 1:
        inside = _set(text[len(_LBRACE) : -len(_RBRACE)])
        return Collection("set", tuple(dict.fromkeys(inside.items)), inside.name)
    if encloses(text) and len(signs := both_signs(text)) > 1:
        return Collection("set", tuple(signs))
    if encloses(text):
        items = split_outside(text[1:-1], (",",))
        return Collection(text[0] + text[-1], tuple(items)) if len(items) > 1 else None
    items = split_outside(_CONJUNCTION.sub(" , ", text), (",", ";"))
    return _set(text) if len(items) > 1 or _PLUS_MINUS.search(text) else None


def _set(inside: str) -> Collection:
    items = split_outside(_CONJUNCTION.sub(" , ", inside), (",", ";"))
    named = re.match(r"([A-Za-z](?:_\{\w\})?)\s*=", items[0])
    name = named.group(1) if named else ""
    if name:  # x=1,2 and x=1, x=2: the name is given once or every time
        items = [re.sub(rf"^{re.escape(name)}\s*=\s*", "", item) for item in items]
    return Collection("set", tuple(sign for item in items for sign in both_signs(item) if sign), name)


def read_assignments(text: str) -> dict[str, str]:
    """Read values given for two or more variables (``x=2, y=7``); empty for anything else."""
    items = [item for item in split_outside(_CONJUNCTION.sub(" , ", text), (",", ";")) if item]
    pairs = [sides(item) for item in items]
    if len(pairs) < 2 or not all(len(pair) == 2 and pair[1] and is_name(pair[0]) for pair in pairs):
        return {}
    values = {name.replace(" ", ""): value for name, value in pairs}
    return values if len(values) == len(pairs) else {}


def both_signs(item: str) -> list[str]:
    r"""Return what an item with one ``\pm`` stands for, other items as they are."""
    if len(_PLUS_MINUS.findall(item)) != 1:
        return [item]
    left, right = _PLUS_MINUS.split(item)
    return [f"{left}+{right}".lstrip("+ ").strip(), f"{left}-{right}".strip()]


def _table(text: str) -> Collection | None:
    """Read a matrix, or the values and conditions of a function by cases, row by row."""
    match = _TABLE.fullmatch(text)
    if match is None or r"\begin" in match.group(2):
        return None
    rows = [row.split("&") for row in re.split(r"\\cr(?![A-Za-z])", match.group(2)) if row.strip()]
    shape = "x".join(str(len(row)) for row in rows)
    return Collection(f"{match.group(1)} {shape}", tuple(entry.strip(" ,.") for row in rows for entry in row))


def encloses(text: str) -> bool:
    """Tell whether the first bracket of ``text`` closes at its very end (half-open intervals included)."""
    if len(text) < 2 or text[0] not in "([" or text[-1] not in ")]":
        return False
    depth = 0
    for place, char in enumerate(text):
        depth += (char in _OPENING) - (char in _CLOSING)
        if depth == 0:
            return place == len(text) - 1
    return False


def split_outside(text: str, separators: tuple[str, ...]) -> list[str]:
    r"""Split at separators that stand outside all brackets and braces."""
    parts, start, depth, place = [], 0, 0, 0
    while place < len(text):
        if text.startswith((_LBRACE, _RBRACE), place):
            depth += 1 if text.startswith(_LBRACE, place) else -1
        elif text[place] in _OPENING or text[place] in _CLOSING:
            depth += 1 if text[place] in _OPENING else -1
        found = next((mark for mark in separators if text.startswith(mark, place)), None) if depth == 0 else None
        if found is not None:
            parts.append(text[start:place].strip())
            start = place + len(found)
        place += len(found or " ")
    return [*parts, text[start:].strip()]
