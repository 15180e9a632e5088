"""Units of measure: names, what they measure, and how big they are, so that 5 cm is 50 mm but not 5 m.

Only used when both answers name a unit; an answer that leaves the unit out is compared as a bare number.
"""

from __future__ import annotations

import re
from fractions import Fraction

Size = tuple[str, Fraction]
_INCH = Fraction(254, 10000)
_POUND = Fraction(45359237, 100000000)
_GALLON = Fraction(231) * _INCH**3

_BASE: dict[str, dict[str, Fraction]] = {
    "length": {
        "m meter metre": Fraction(1),
        "cm centimeter centimetre": Fraction(1, 100),
        "mm millimeter millimetre": Fraction(1, 1000),
        "dm decimeter decimetre": Fraction(1, 10),
        "km kilometer kilometre": Fraction(1000),
        "in inch inches": _INCH,
        "ft foot feet": 12 * _INCH,
        "yd yard": 36 * _INCH,
        "mi mile": 63360 * _INCH,
    },
    "volume": {
        "l liter litre": Fraction(1, 1000),
        "ml milliliter millilitre": Fraction(1, 1000000),
        "gal gallon": _GALLON,
        "qt quart": _GALLON / 4,
        "pt pint": _GALLON / 8,
        "cup": _GALLON / 16,
    },
    "mass": {
        "kg kilogram": Fraction(1),
        "g gram": Fraction(1, 1000),
        "mg milligram": Fraction(1, 1000000),
        "t tonne": Fraction(1000),
        "lb lbs pound": _POUND,
        "oz ounce": _POUND / 16,
    },
    "time": {
        "s sec second": Fraction(1),
        "min minute": Fraction(60),
        "h hr hour": Fraction(3600),
        "day": Fraction(86400),
        "week": Fraction(7 * 86400),
        "month": Fraction(146097 * 86400, 4800),
        "yr year": Fraction(146097 * 86400, 400),
    },
    "money": {"dollar usd buck": Fraction(1), "cent penny pennies": Fraction(1, 100)},
    "euro": {"euro eur": Fraction(1)},
    "pound sterling": {"gbp quid": Fraction(1)},
    "angle": {"degree deg": Fraction(1)},
    "radian": {"radian rad": Fraction(1)},
    "dozen": {"dozen": Fraction(12)},
}
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3, "^{2}": 2, "^{3}": 3}


def _table() -> dict[str, Size]:
    table = {}
    for dimension, units in _BASE.items():
        for names, size in units.items():
            for name in names.split():
                table[name] = (dimension, size)
    return table


_SIZES = _table()


def unit_size(words: str) -> Size | None:
    """Return dimension and size of a unit in words or symbols (``"square inches"``, ``"cm^{2}"``), None if unknown."""
    tokens = re.findall(
        r"\^\{[23]\}|[A-Za-z]+", words.lower().replace(r"^\circ", " degree ").replace("\\dollar", "dollar")
    )
    power = 1
    names = []
    for token in tokens:
        if token in _POWERS and power == 1:
            power = _POWERS[token]
        else:
            names.append(token)
    return _powered(names[0], power) if len(names) == 1 else None


def _powered(name: str, power: int) -> Size | None:
    size = _SIZES.get(name) or _SIZES.get(name.removesuffix("s"))
    if size is None or power == 1:
        return size
    dimension, value = size
    if dimension != "length":
        return None
    return ("volume" if power == 3 else "area"), value**power
