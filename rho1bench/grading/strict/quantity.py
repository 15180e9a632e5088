r"""Reading a number with its unit, exactly: ``1\frac{1}{2}`` feet, 3.2e5, 45%, ``\dollar 1234.50``.

Values are fractions, so that nothing is lost before two answers are compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from rho1bench.grading.strict.units import Size, unit_size

MIN_DIGITS = 6
"""A decimal stands for a value that it cannot express exactly only with this many significant digits."""
NOISE = Fraction(1, 10**9)
"""Relative difference of two decimals that is put down to floating-point printing."""
_MAX_EXPONENT = 400

_SIGNED = re.compile(r"(?P<sign>[-+]?)\s*(?P<money>\\dollar|[$€£])?\s*(?P<rest>.*)", re.DOTALL)
_MAGNITUDE = re.compile(
    r"""(?:(?P<whole>\d{1,400})\s*\\frac\s*\{\s*(?P<mixed_top>\d{1,400})\s*\}\s*\{\s*(?P<mixed_bottom>\d{1,400})\s*\}
      |(?P<whole_plain>\d{1,400})\ (?P<plain_top>\d{1,400})/(?P<plain_bottom>\d{1,400})
      |\\frac\s*\{\s*(?P<minus>-?)\s*(?P<top>\d{1,400})\s*\}\s*\{\s*(?P<bottom>\d{1,400})\s*\}
      |(?P<slash_top>\d{1,400})\s*/\s*(?P<slash_bottom>\d{1,400})
      |(?P<digits>\d{1,400}(?:\.\d{0,400})?)
       (?:[eE](?P<exponent>[-+]?\d{1,4})|\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*\{?\s*(?P<power>[-+]?\d{1,4})\s*\}?)?
      )(?:\s*(?P<percent>%|percent(?:age)?\b|pct\b))?(?P<unit>.*)""",
    re.VERBOSE | re.DOTALL,
)
_UNIT = re.compile(r"(?:\^\\circ|\\dollar|[€£$])?\s*(?:[A-Za-z][A-Za-z.,/' -]*)?(?:\^\{[23]\})?\s*[A-Za-z ]*")
_FUNCTION_WORDS = "sin cos tan cot sec csc arcsin arccos arctan log exp sqrt frac max min gcd lcm mod"
FUNCTIONS = frozenset(_FUNCTION_WORDS.split())
"""Words of three letters and more that are mathematics, not language."""
_CURRENCY = {"\\dollar": "dollar", "$": "dollar", "€": "euro", "£": "gbp"}


@dataclass(frozen=True)
class Quantity:
    """A number as written: its exact value, the place of its last decimal, whether it is a percentage, its unit."""

    value: Fraction
    digits: int | None
    step: Fraction
    percent: bool
    unit: str


def read_quantity(text: str) -> Quantity | None:
    """Read a tidy text as one number with an optional unit; None if it is anything else."""
    signed = _SIGNED.fullmatch(text)
    match = _MAGNITUDE.fullmatch(signed.group("rest")) if signed else None
    if signed is None or match is None:
        return None
    unit = match.group("unit").strip()
    value = _value(match)
    if value is None or _UNIT.fullmatch(unit) is None or (unit and not _is_unit(unit, match.group("unit"))):
        return None
    magnitude, digits, step = value
    sign = -1 if signed.group("sign") == "-" else 1
    currency = _CURRENCY.get(signed.group("money") or "", "") or _CURRENCY.get(unit, unit)
    return Quantity(sign * magnitude, digits, step, match.group("percent") is not None, currency)


def _is_unit(unit: str, as_written: str) -> bool:
    """Tell a unit (``5 m``, ``5cm``, ``5 red apples``) from a variable or function (``5m``, ``5 sin x``)."""
    words = re.findall(r"[A-Za-z]+", unit)
    spaced = as_written.startswith(" ") or not unit[0].isalpha()
    if not words:
        return not unit.startswith("^{")
    if unit_size(unit) is not None:
        return spaced or len(words[0]) > 1
    return spaced and any(len(word) > 2 for word in words) and not FUNCTIONS.intersection(words)


def split_unit(text: str) -> tuple[str, Size | None]:
    """Split a known unit of two letters or more off the end of an expression; None where there is none."""
    match = re.fullmatch(r"(.*[\w)\]}])\s+((?:[A-Za-z]+ )?[A-Za-z]{2,}(?:\s*\^\{[23]\})?)", text, re.DOTALL)
    size = unit_size(match.group(2)) if match else None
    return (match.group(1), size) if match and size is not None else (text, None)


def _value(match: re.Match[str]) -> tuple[Fraction, int | None, Fraction] | None:
    part = match.groupdict()
    for whole, top, bottom in (
        (part["whole"], part["mixed_top"], part["mixed_bottom"]),
        (part["whole_plain"], part["plain_top"], part["plain_bottom"]),
        ("0", part["top"], part["bottom"]),
        ("0", part["slash_top"], part["slash_bottom"]),
    ):
        if top is not None:
            if int(bottom) == 0:
                return None
            value = int(whole) + Fraction(int(top), int(bottom))
            return (-value if part["minus"] else value), None, Fraction(0)
    return _decimal(part["digits"], int(part["exponent"] or part["power"] or 0))


def _decimal(digits: str, exponent: int) -> tuple[Fraction, int | None, Fraction] | None:
    if abs(exponent) > _MAX_EXPONENT:
        return None
    whole, point, decimals = digits.partition(".")
    decimals = decimals.rstrip("0")
    step = Fraction(10) ** (exponent - len(decimals))
    value = int(whole + decimals) * step
    if not decimals and (exponent >= 0 or point):
        return value, None, Fraction(0)
    return value, len((whole + decimals).lstrip("0")), step


def same_quantity(left: Quantity, right: Quantity) -> bool:
    """Return whether two quantities are equal; a missing unit fits any, a percentage fits its number and its share."""
    if left.percent == right.percent:
        return _same_with_units(left, right)
    share, plain = (left, right) if left.percent else (right, left)
    return same_value(share, plain) or same_value(_scaled(share, Fraction(1, 100)), plain)


def _same_with_units(left: Quantity, right: Quantity) -> bool:
    left_size, right_size = unit_size(left.unit), unit_size(right.unit)
    if left_size is None or right_size is None:
        return same_value(left, right)
    (left_kind, left_factor), (right_kind, right_factor) = left_size, right_size
    return left_kind == right_kind and same_value(_scaled(left, left_factor), _scaled(right, right_factor))


def _scaled(quantity: Quantity, factor: Fraction) -> Quantity:
    return Quantity(quantity.value * factor, quantity.digits, quantity.step * factor, quantity.percent, quantity.unit)


def same_value(left: Quantity, right: Quantity) -> bool:
    """Compare exactly; a decimal of enough digits may stand for a fraction that no decimal of its length can be."""
    if left.value == right.value:
        return True
    gap = abs(left.value - right.value)
    if gap <= NOISE * max(abs(left.value), abs(right.value)) and not (left.digits is None and right.digits is None):
        return True
    return (
        stands_for(left, right.value) if right.digits is None else left.digits is None and stands_for(right, left.value)
    )


def stands_for(decimal: Quantity, value: Fraction) -> bool:
    """Return whether ``decimal`` is ``value`` cut or rounded to its last place, with at least six digits."""
    if decimal.digits is None or decimal.digits < MIN_DIGITS or value.denominator == 1:
        return False
    return abs(decimal.value - value) < decimal.step
