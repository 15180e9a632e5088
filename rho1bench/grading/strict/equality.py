r"""The rules of the strict verdict, from the cheapest to the most expensive.

As in :mod:`rho1bench.grading.paper.equality`, algebra is handed in as a function, so that the quick path (which refuses
it) and the slow one run the same rules and cannot disagree. All rules treat the two answers alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from rho1bench.grading.numeric import clearly_different
from rho1bench.grading.strict.normal_form import squeezed, tidy
from rho1bench.grading.strict.quantity import read_quantity, same_quantity
from rho1bench.grading.strict.structures import (
    Collection,
    has_matrix,
    is_relation,
    is_set_like,
    joined_otherwise,
    named_value,
    read_assignments,
    read_collection,
    sides,
)
from rho1bench.grading.strict.text_answers import (
    clock_time,
    date,
    is_text,
    is_word_of_capitals,
    option,
    same_ratio,
    same_text,
    symbol_of,
)
from rho1bench.grading.strict.units import Unit, ratio, split_unit
from rho1bench.paper.protocol import CHOICE_TASKS

MAX_LENGTH = 1000
"""Characters; a longer answer is never parsed. No gold answer comes near."""
MAX_ITEMS = 24
_MAX_DEPTH = 8
_NUMERAL = re.compile(r"(?P<digits>-?[0-9A-Z]*[0-9])(?:_\{(?P<base>\d+|[a-z]+)\})?")
_BASES = {"2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine"}
_MODULUS = re.compile(r"(.+?)\s*(?:\\pmod\s*\{?|\(?\s*\\?(?:b?mod)(?![A-Za-z])\s*)\s*(\d+)\s*\}?\)?")
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
    return same(symbol_of(tidy(pred)), symbol_of(tidy(gold)), algebra)


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
    left, right = _bare_equation(left), _bare_equation(right)
    left, right = _number_for_words(left, right), _number_for_words(right, left)
    if is_text(left) or is_text(right) or (is_word_of_capitals(left) and is_word_of_capitals(right)):
        return _same_list_of_text(left, right) or same_text(left, right)
    if (decided := _assignments(left, right, algebra, depth)) is not None:
        return decided
    one, other = named_value(left), named_value(right)
    if (one.value, other.value) != (left, right) and _is_value(one.value) and _is_value(other.value):
        if one.name and other.name and one.name != other.name:
            return any(map(_has_letters, (one.value, other.value))) and algebra(left, right)
        return same(one.value, other.value, algebra, depth + 1)
    return _same_structure(left, right, algebra, depth)


def _is_value(text: str) -> bool:
    """Return whether a text is a value, several of one name (``x=1`` or ``x=2``) or by cases, and no relation."""
    return not is_relation(text) or (
        (parts := read_collection(text)) is not None and (parts.name != "" or parts.ordered)
    )


def _has_letters(text: str) -> bool:
    return re.search(r"(?<![\\A-Za-z])[A-Za-z]", text) is not None


def _without_units(left: str, right: str) -> tuple[str, str] | None:
    """Drop the unit behind an expression (``(3,4) cm``); two empty strings if units differ, None if there are none."""
    (one, one_unit), (other, other_unit) = _value_and_unit(left), _value_and_unit(right)
    if one_unit is None and other_unit is None:
        return None
    factor = ratio(one_unit, other_unit)
    if factor is None:
        return "", ""
    return (one if factor == 1 else rf"\frac{{{factor.numerator}}}{{{factor.denominator}}}({one})"), other


def _value_and_unit(text: str) -> tuple[str, Unit | None]:
    quantity = read_quantity(text)
    if quantity is None or quantity.unit is None or quantity.percent or quantity.unit.is_angle:
        return split_unit(text)
    return _fraction(quantity.value), quantity.unit


def _fraction(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def _bare_equation(text: str) -> str:
    """Drop the unit behind an equation (``6 \\times 7 = 42 pens``), which says what is counted."""
    *before, last = sides(text.replace(r"\dollar ", "") if "=" in text else text)
    if before and r"\dollar" in text:
        text = " = ".join([*before, last])
    quantity = read_quantity(last) if before and is_text(last) and not any(map(is_text, before)) else None
    if quantity is None or quantity.percent:
        return text
    return " = ".join([*before, _fraction(quantity.value)])


def _number_for_words(text: str, other: str) -> str:
    """Write a number in words as LaTeX where the other side is a formula."""
    if not is_text(text) or is_text(other):
        return text
    quantity = read_quantity(text)
    if quantity is None or quantity.percent or quantity.unit is not None:
        return text
    return _fraction(quantity.value)


def _refuse(left: str, right: str) -> bool:
    raise NeedsAlgebraError


def _identical(left: str, right: str) -> bool | None:
    return True if squeezed(left) == squeezed(right) else None


def _options(left: str, right: str) -> bool | None:
    """Compare ``(C)`` with ``C`` or ``(C) 12``; only where one of them is written as an option."""
    one, other = option(left), option(right)
    if one is None or other is None or ")" not in left + right or (one[1] and other[1]):
        return None
    return one[0] == other[0]


def _clock_times(left: str, right: str) -> bool | None:
    one, other = clock_time(left), clock_time(right)
    if one is None or other is None:
        return None
    (left_time, left_half), (right_time, right_half) = one, other
    return left_time == right_time and (not left_half or not right_half or left_half == right_half)


def _dates(left: str, right: str) -> bool | None:
    one, other = date(left), date(right)
    return None if one is None or other is None else one == other


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
    bases = {_BASES.get(match.group("base"), match.group("base")) for match in (one, other) if match.group("base")}
    return one.group("digits") == other.group("digits") and len(bases) == 1


def _remainders(left: str, right: str) -> bool | None:
    """Compare residues (``7 \\pmod{12}``): of one modulus, and equal up to its multiples."""
    one, other = (_MODULUS.fullmatch(text) for text in (left, right))
    if one is None or other is None:
        return None
    residues = [read_quantity(named_value(match.group(1)).value) for match in (one, other)]
    if residues[0] is None or residues[1] is None:
        return None
    modulus = int(one.group(2))
    return modulus == int(other.group(2)) and modulus > 0 and (residues[0].value - residues[1].value) % modulus == 0


_DECIDING_RULES: tuple[Callable[[str, str], bool | None], ...] = (
    _identical,
    _options,
    _clock_times,
    _dates,
    _ratios,
    _quantities,
    _bases,
    _remainders,
)


def _same_list_of_text(left: str, right: str) -> bool:
    """Compare lists in words without their order: ``A and B``, ``B, A``."""
    one, other = read_collection(left), read_collection(right)
    if (
        one is None
        or other is None
        or one.kind != other.kind
        or one.kind != "set"
        or len(one.items) != len(other.items)
        or joined_otherwise(left, right)
    ):
        return False
    rest = list(other.items)
    for item in one.items:
        partner = next((place for place, text in enumerate(rest) if same_text(item, text)), None)
        if partner is None:
            return False
        rest.pop(partner)
    return True


def _assignments(left: str, right: str, algebra: Algebra, depth: int) -> bool | None:
    """Compare values of several variables (``x=2, y=7``) with each other, or in the variables' order with a tuple."""
    one, other = read_assignments(left), read_assignments(right)
    if (one or other) and (" or " in left) != (" or " in right):
        return False
    if one and other:
        return one.keys() == other.keys() and all(same(one[name], other[name], algebra, depth + 1) for name in one)
    named, plain = (one, right) if one else (other, left)
    values = read_collection(plain) if named else None
    if values is None or values.kind not in ("set", "()") or values.name or len(values.items) != len(named):
        return False if named else None
    pairs = zip((named[name] for name in sorted(named)), values.items, strict=True)
    return all(same(value, item, algebra, depth + 1) for value, item in pairs)


def _same_structure(left: str, right: str, algebra: Algebra, depth: int) -> bool:
    one, other = read_collection(left), read_collection(right)
    if one and other and not joined_otherwise(left, right) and _same_items(one, other, algebra, depth):
        return True
    if is_set_like(left) or is_set_like(right):
        return algebra(left, right)
    if one is not None and other is not None:
        return False
    for relation, value in ((left, right), (right, left)):
        if len(sides(relation)) > 1 and not is_relation(value):
            return _states_value(sides(relation), value, algebra, depth)
    several = one or other
    if several is not None and len(several.items) != 1 and not (has_matrix(left) and has_matrix(right)):
        return False
    return not clearly_different(left, right) and algebra(left, right)


def _states_value(chain: list[str], value: str, algebra: Algebra, depth: int) -> bool:
    """A chain of equations that names no variable states a value only where it is true (``4+3=7``, not ``4+3=8``)."""
    return all(side and same(side, value, algebra, depth + 1) for side in reversed(chain))


def _same_items(left: Collection, right: Collection, algebra: Algebra, depth: int) -> bool:
    if left.kind != right.kind or len(left.items) != len(right.items) or len(left.items) > MAX_ITEMS:
        return False
    if left.name and right.name and left.name != right.name:
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
