r"""Reading a number with its unit, exactly: ``1\frac{1}{2}`` feet, 3.2e5, 45%, 0.1\overline{6}, 5 ft 6 in, 2.5 million.

Values are fractions, so that nothing is lost before two answers are compared.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from fractions import Fraction

from rho1bench.grading.strict.number_words import PARTS, SCALES, leading_number
from rho1bench.grading.strict.units import NO_UNIT, Unit, known_name, ratio, read_unit, unit_behind

MIN_DIGITS = 6
"""A decimal stands for a value that it cannot express exactly only with this many significant digits."""
NOISE = Fraction(1, 10**13)
"""Relative difference of two decimals that is put down to floating-point printing, which gives 15 digits and more."""
_PRINTED_DIGITS = 15
_LARGEST_SHARE = 10
"""A percentage above 1000% is no share of a whole number: 4400% is not an answer to 44."""
_MAX_EXPONENT = 400

_SCALE_WORDS = "|".join(SCALES)
_SUFFIXES = {"k": 10**3, "K": 10**3, "M": 10**6, "mn": 10**6, "B": 10**9, "bn": 10**9}
_SIGNED = re.compile(
    r"(?P<sign>[-+]?)\s*(?P<money>(?:US|A|C|CA|AU)?\s?\\dollar|USD(?=\s?\d)|EUR(?=\s?\d)|GBP(?=\s?\d)|[$€£¥₹]|Rs\.?(?=\s?\d))?\s*(?P<inner>[-+]?)\s*(?P<rest>\S.*)",
    re.DOTALL,
)
_MAGNITUDE = re.compile(
    r"""(?:(?P<whole>\d{1,400})(?:\s*|\s+and\s+)\\frac\s*\{\s*(?P<mixed_top>\d{1,400})\s*\}\s*\{\s*(?P<mixed_bottom>\d{1,400})\s*\}
      |(?P<whole_plain>\d{1,400})(?:\ |\s+and\s+)(?P<plain_top>\d{1,400})/(?P<plain_bottom>\d{1,400})
      |\\frac\s*\{\s*(?P<minus>-?)\s*(?P<top>\d{1,400})\s*\}\s*\{\s*(?P<below_minus>-?)\s*(?P<bottom>\d{1,400})\s*\}
      |(?P<slash_top>\d{1,400})\s*/\s*(?P<slash_bottom>\d{1,400})
      |(?P<before>\d{1,400}\.\d{0,400})\s*(?:\\(?:overline|bar|dot|overbar|widebar)\s*\{\s*(?P<block>\d{1,40})\s*\}|\((?P<bracketed>\d{1,40})\))(?:\s*\\dots)?
      |(?P<going_on>\d{1,400}\.\d{2,400})\s*\\dots
      |(?P<digits>\d{1,400}(?:\.\d{0,400})?)
       (?:[eE](?P<exponent>[-+]?\d{1,4})|\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*\{?\s*(?P<power>[-+]?\d{1,4})\s*\}?)?
      )(?![\d.]\d|\d|\\dots)(?P<percent>\s*(?:%|percent(?:age)?\b|pct\b|per\s+cent\b))?(?P<unit>.*)""",
    re.VERBOSE | re.DOTALL,
)
_UNIT_AS_FRACTION = re.compile(r"\s+\\frac\s*\{\s*([A-Za-z]{1,5})\s*\}\s*\{\s*([A-Za-z]{1,5})\s*\}$")
_FEET_AND_INCHES = re.compile(r"(\d+)\s*'(?:\s*(\d+(?:\.\d+)?)\s*(?:\"|''))?|(\d+(?:\.\d+)?)\s*(?:\"|'')")
_DEGREES_AND_MINUTES = re.compile(r"(\d+)\s*\^\\circ\s*(\d+)\s*'(?:\s*(\d+)\s*(?:\"|''))?")
_STEP_OF_COMPOUND = re.compile(
    r"(\d+(?:\.\d+)?(?: \d+/\d+|/\d+)?)\s*([A-Za-z]+)\.?(?:\s*,?\s*and\s+|\s*,\s*|\s+|$|(?=\d))"
)


@dataclass(frozen=True)
class Quantity:
    """A number as written: its exact value, the place of its last decimal, whether it is a percentage, its unit."""

    value: Fraction
    digits: int | None
    step: Fraction
    percent: bool
    unit: Unit | None


def read_quantity(text: str) -> Quantity | None:
    """Read a tidy text as one number with an optional unit; None if it is anything else."""
    signed = _SIGNED.fullmatch(text)
    if signed is None or (signed.group("inner") and not signed.group("money")):
        return None
    rest = signed.group("rest")
    quantity = _compound(rest) or _in_digits(rest) or _in_words(rest)
    if quantity is None:
        return None
    if money := signed.group("money"):
        if quantity.unit is not None and quantity.unit.dimensions is not None:
            return None
        currency = read_unit("rupee" if money.startswith("Rs") else re.sub("[A-Z]+(?=.*dollar)", "", money))
        quantity = replace(
            quantity, unit=replace(currency, nouns=quantity.unit.nouns if quantity.unit else frozenset())
        )
    negative = (signed.group("sign") == "-") != (signed.group("inner") == "-")
    return replace(quantity, value=-quantity.value) if negative else quantity


def _exact(value: Fraction, unit: Unit | None = None) -> Quantity:
    return Quantity(value, None, Fraction(0), percent=False, unit=unit)


def _in_words(text: str) -> Quantity | None:
    """Read ``twenty-one``, ``half``, ``three apples``."""
    found = leading_number(text)
    if found is None:
        return None
    value, rest = found
    percent = re.match(r"\s*(?:percent|per cent)\b", rest)
    unit = unit_behind(rest[percent.end() :] if percent else rest)
    return None if unit is NO_UNIT else replace(_exact(value, unit), percent=percent is not None)


def _compound(text: str) -> Quantity | None:
    """Read a quantity in several units of one kind, from large to small: ``5 ft 6 in``, ``5'6"``, ``1 h 30 min``."""
    if match := _FEET_AND_INCHES.fullmatch(text):
        feet, inches, alone = match.groups()
        return _exact(12 * int(feet or 0) + Fraction(inches or alone or 0), read_unit("inches"))
    if match := _DEGREES_AND_MINUTES.fullmatch(text):
        degrees, minutes, seconds = (int(group or 0) for group in match.groups())
        return _exact(degrees + Fraction(minutes, 60) + Fraction(seconds, 3600), read_unit("degree"))
    steps: list[tuple[Fraction, Unit]] = []
    place = 0
    while (match := _STEP_OF_COMPOUND.match(text, place)) and known_name(match.group(2)):
        minutes = match.group(2) == "m" and bool(steps) and steps[-1][1] == read_unit("h")
        steps.append((_number(match.group(1)), read_unit("min" if minutes else match.group(2))))
        place = match.end()
    if place < len(text) or len(steps) < 2:
        return None
    units = [unit for _, unit in steps]
    if any(
        one.dimensions != other.dimensions or one.factor <= other.factor for one, other in itertools.pairwise(units)
    ):
        return None
    told_in = units[0] if units[0] == read_unit("dollar") else units[-1]  # where a bare number answers: 1.50, but 90
    return _exact(sum((value * unit.factor / told_in.factor for value, unit in steps), Fraction(0)), told_in)


def _number(text: str) -> Fraction:
    return sum((Fraction(part) for part in text.split()), Fraction(0))


def _in_digits(text: str) -> Quantity | None:
    match = _MAGNITUDE.fullmatch(text)
    value = _value(match) if match else None
    if match is None or value is None:
        return None
    magnitude, digits, step = value
    rest = _UNIT_AS_FRACTION.sub(r" \1/\2", match.group("unit"))
    if more := re.match(r"\s+and\s+(?:an?|one)\s+(half|third|quarter)\b", rest):
        magnitude, rest = magnitude + Fraction(1, PARTS[more.group(1)]), rest[more.end() :]
    scale, rest = _scaled_by_words(rest)
    unit = unit_behind(rest)
    if unit is NO_UNIT:
        return None
    return Quantity(magnitude * scale, digits, step * scale, match.group("percent") is not None, unit)


def _scaled_by_words(text: str) -> tuple[Fraction, str]:
    """Read what multiplies or divides a number in digits: ``million``, ``hundred thousand``, ``tenths``, ``k``."""
    scale = Fraction(1)
    if match := re.match(r"(k|K|M|B|mn|bn)(?=\s|$)", text):
        return Fraction(_SUFFIXES[match.group(1)]), text[match.end() :]
    while match := re.match(rf"\s*-?({_SCALE_WORDS})s?\b", text):
        scale, text = scale * SCALES[match.group(1)], text[match.end() :]
    if match := re.match(r"\s*-?([a-z]+)\b", text):
        part = match.group(1).removesuffix("s")
        if part in PARTS and part not in ("half", "quarter"):
            return scale / PARTS[part], text[match.end() :]
    return scale, text


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
            return (-value if part["minus"] != part["below_minus"] else value), None, Fraction(0)
    if part["before"] is not None:
        return _repeating(part["before"], part["block"] or part["bracketed"]), None, Fraction(0)
    if part["going_on"] is not None:
        return _continued(part["going_on"])
    return _decimal(part["digits"], int(part["exponent"] or part["power"] or 0))


def _repeating(before: str, block: str) -> Fraction:
    decimals = len(before.partition(".")[2])
    return Fraction(before + "0") + Fraction(int(block), (10 ** len(block) - 1) * 10**decimals)


def _continued(digits: str) -> tuple[Fraction, None, Fraction] | None:
    """Read ``0.333...``, whose last digits must have come twice to say what goes on; None where none have."""
    match = re.fullmatch(r"(\d+\.\d*?)(\d{1,12}?)\2+", digits)
    return (_repeating(match.group(1), match.group(2)), None, Fraction(0)) if match else None


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
    factor = ratio(left.unit, right.unit)
    if factor is None:
        return False
    left = _scaled(left, factor)
    if left.percent == right.percent:
        return same_value(left, right)
    share, plain = (left, right) if left.percent else (right, left)
    if plain.unit is not None:
        return False
    hundredth = _scaled(share, Fraction(1, 100))
    return same_value(share, plain) or (abs(hundredth.value) <= _LARGEST_SHARE and same_value(hundredth, plain))


def _scaled(quantity: Quantity, factor: Fraction) -> Quantity:
    return replace(quantity, value=quantity.value * factor, step=quantity.step * factor)


def same_value(left: Quantity, right: Quantity) -> bool:
    """Compare exactly; a decimal of enough digits may stand for a fraction that no decimal of its length can be."""
    if left.value == right.value:
        return True
    gap = abs(left.value - right.value)
    printed = max(left.digits or 0, right.digits or 0) >= _PRINTED_DIGITS
    if printed and gap <= NOISE * max(abs(left.value), abs(right.value)):
        return True
    return (
        stands_for(left, right.value) if right.digits is None else left.digits is None and stands_for(right, left.value)
    )


def stands_for(decimal: Quantity, value: Fraction) -> bool:
    """Return whether ``decimal`` is ``value`` cut or rounded to its last place, with at least six digits."""
    if decimal.digits is None or decimal.digits < MIN_DIGITS or value.denominator == 1:
        return False
    missing = abs(value) - abs(decimal.value)
    return decimal.value * value > 0 and -decimal.step / 2 <= missing < decimal.step
