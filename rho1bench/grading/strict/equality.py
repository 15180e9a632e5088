r"""The rules of the strict verdict, from the cheapest to the most expensive.

As in :mod:`rho1bench.grading.paper.equality`, algebra is handed in as a function, so that the quick path (which refuses
it) and the slow one run the same rules and cannot disagree. All rules treat the two answers alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rho1bench.grading.numeric import clearly_different
from rho1bench.grading.strict.normal_form import squeezed, tidy
from rho1bench.grading.strict.quantity import read_quantity, same_quantity, split_unit
from rho1bench.grading.strict.structures import Collection, is_relation, named_value, read_collection, sides
from rho1bench.grading.strict.text_answers import clock_time, is_text, option_letter, same_ratio, same_text
from rho1bench.paper.protocol import CHOICE_TASKS

MAX_LENGTH = 1000
"""Characters; a longer answer is never parsed. No gold answer comes near."""
MAX_ITEMS = 24
_MAX_DEPTH = 8
_NUMERAL = re.compile(r"(?P<digits>-?[0-9A-Z]*[0-9])(?:_\{(?P<base>\d+|[a-z]+)\})?")
Algebra = Callable[[str, str], bool]


class NeedsAlgebraError(Exception):
    """Strings, numbers and structure do not settle this pair."""


def quick_verify(pred: str, gold: str, task: str) -> bool | None:
    """Return the strict answer where no algebra is needed, else None; never slow, never raises."""
    try:
        return verify(pred, gold, task, _refuse)
    except (NeedsAlgebraError, RecursionError):
        return None


def verify(pred: str, gold: str, task: str, algebra: Algebra) -> bool:
    """Return whether the span ``pred`` states the gold answer."""
    if task in CHOICE_TASKS:
        return pred.strip().upper() == gold.strip().upper()
    if len(pred) > MAX_LENGTH or len(gold) > MAX_LENGTH:
        return pred == gold
    return same(tidy(pred), tidy(gold), algebra)


def same(left: str, right: str, algebra: Algebra, depth: int = 0) -> bool:
    """Return whether two tidy answers are the same."""
    if not left or not right or depth > _MAX_DEPTH:
        return left == right
    for rule in _DECIDING_RULES:
        decision = rule(left, right)
        if decision is not None:
            return decision
    if (bare := _without_units(left, right)) is not None:
        return bare != ("", "") and same(*bare, algebra, depth + 1)
    if is_text(left) or is_text(right):
        return same_text(left, right)
    one, other = named_value(left), named_value(right)
    if (one.value, other.value) != (left, right) and not (is_relation(one.value) or is_relation(other.value)):
        names_fit = not one.name or not other.name or one.name == other.name
        return names_fit and same(one.value, other.value, algebra, depth + 1)
    return _same_structure(left, right, algebra, depth)


def _without_units(left: str, right: str) -> tuple[str, str] | None:
    """Drop the unit behind an expression (``(3,4) cm``); two empty strings if units differ, None if there are none."""
    (one, one_unit), (other, other_unit) = split_unit(left), split_unit(right)
    if one_unit is None and other_unit is None:
        return None
    if one_unit is not None and other_unit is not None and one_unit != other_unit:
        return "", ""
    return one, other


def _refuse(left: str, right: str) -> bool:
    raise NeedsAlgebraError


def _identical(left: str, right: str) -> bool | None:
    return True if squeezed(left) == squeezed(right) else None


def _options(left: str, right: str) -> bool | None:
    """Compare ``(C)`` with ``C``; only where one of them is written as an option."""
    letters = option_letter(left), option_letter(right)
    if None in letters or "(" not in left + right:
        return None
    return letters[0] == letters[1]


def _clock_times(left: str, right: str) -> bool | None:
    one, other = clock_time(left), clock_time(right)
    if one is None or other is None:
        return None
    (left_time, left_half), (right_time, right_half) = one, other
    return left_time == right_time and (not left_half or not right_half or left_half == right_half)


def _ratios(left: str, right: str) -> bool | None:
    return same_ratio(left, right)


def _quantities(left: str, right: str) -> bool | None:
    left_quantity, right_quantity = read_quantity(left), read_quantity(right)
    if left_quantity is None or right_quantity is None:
        return None
    return same_quantity(left_quantity, right_quantity)


def _bases(left: str, right: str) -> bool | None:
    """Compare numerals with a base (``1010_2``) digit by digit; the base may be left out on one side."""
    one, other = (_NUMERAL.fullmatch(squeezed(text)) for text in (left, right))
    if one is None or other is None or not (one.group("base") or other.group("base")):
        return None
    bases = {match.group("base") for match in (one, other) if match.group("base")}
    return one.group("digits") == other.group("digits") and len(bases) == 1


_DECIDING_RULES: tuple[Callable[[str, str], bool | None], ...] = (
    _identical,
    _options,
    _clock_times,
    _ratios,
    _quantities,
    _bases,
)


def _same_structure(left: str, right: str, algebra: Algebra, depth: int) -> bool:
    left_parts, right_parts = read_collection(left), read_collection(right)
    if left_parts is not None and right_parts is not None:
        if left_parts.kind == right_parts.kind:
            return _same_items(left_parts, right_parts, algebra, depth)
        if not {left_parts.kind, right_parts.kind} <= {"set", "union"}:
            return False
    if (left_parts is None) != (right_parts is None) and not (is_relation(left) or is_relation(right)):
        several = left_parts or right_parts
        if several is not None and several.kind != "union" and len(several.items) != 1:
            return False
    for relation, other in ((left, right), (right, left)):
        if len(sides(relation)) > 1 and not is_relation(other):
            return _states_value(sides(relation), other, algebra, depth)
    return not clearly_different(left, right) and algebra(left, right)


def _states_value(chain: list[str], value: str, algebra: Algebra, depth: int) -> bool:
    """A chain of equations that names no variable states a value only where it is true (``4+3=7``, not ``4+3=8``)."""
    return all(side and same(side, value, algebra, depth + 1) for side in reversed(chain))


def _same_items(left: Collection, right: Collection, algebra: Algebra, depth: int) -> bool:
    if len(left.items) != len(right.items) or len(left.items) > MAX_ITEMS:
        return False
    if left.ordered:
        return all(same(one, other, algebra, depth + 1) for one, other in zip(left.items, right.items, strict=True))
    return _matched(list(left.items), list(right.items), algebra, depth)


def _matched(left: list[str], right: list[str], algebra: Algebra, depth: int) -> bool:
    """Pair off two unordered lists; sameness is (nearly) transitive, so the first partner found is as good as any."""
    for one in left:
        partner = next((place for place, other in enumerate(right) if same(one, other, algebra, depth + 1)), None)
        if partner is None:
            return False
        right.pop(partner)
    return True
