r"""Units of measure: names, what they measure, and how big they are, so that 5 cm is 50 mm but not 5 m.

Only used when both answers name a unit; an answer that leaves the unit out is compared as a bare number. A unit that is
not in the table is a noun (``7 red apples``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from rho1bench.grading.strict.normal_form import FUNCTIONS
from rho1bench.grading.strict.number_words import NUMBER_WORDS, PARTS, SCALES

_INCH = Fraction(254, 10000)
_POUND = Fraction(45359237, 100000000)
_GALLON = Fraction(231) * _INCH**3
_YEAR = Fraction(146097 * 86400, 400)

_BASE: dict[str, dict[str, Fraction]] = {
    "length": {
        "m meter metre": Fraction(1), "cm centimeter centimetre": Fraction(1, 100),
        "mm millimeter millimetre": Fraction(1, 1000), "dm decimeter decimetre": Fraction(1, 10),
        "km kilometer kilometre": Fraction(1000), "nm nanometer nanometre": Fraction(1, 10**9),
        "in inch inches": _INCH, "ft foot feet": 12 * _INCH, "yd yard": 36 * _INCH, "mi mile": 63360 * _INCH,
    },
    "mass": {
        "kg kilogram kilo": Fraction(1), "g gram gm": Fraction(1, 1000), "mg milligram": Fraction(1, 1000000),
        "t tonne": Fraction(1000), "ton": 2000 * _POUND, "lb lbs pound": _POUND, "oz ounce": _POUND / 16,
    },
    "time": {
        "s sec second": Fraction(1), "ms millisecond": Fraction(1, 1000), "min minute": Fraction(60),
        "h hr hour": Fraction(3600), "day": Fraction(86400), "week wk": Fraction(7 * 86400), "month": _YEAR / 12,
        "yr year": _YEAR, "decade": 10 * _YEAR, "century centuries": 100 * _YEAR,
    },
    "dollar": {"dollar usd buck": Fraction(1), "cent penny pennies": Fraction(1, 100)},
    "euro": {"euro eur": Fraction(1)}, "pound sterling": {"gbp quid": Fraction(1)},
    "yen": {"yen jpy": Fraction(1)}, "rupee": {"rupee inr rs": Fraction(1), "paisa paise": Fraction(1, 100)},
    "angle": {"degree deg": Fraction(1)}, "radian": {"radian rad": Fraction(1)},
    "kelvin": {"kelvin k": Fraction(1)},
    "dozen": {"dozen": Fraction(12)}, "gross": {"gross": Fraction(144)}, "pair": {"pair": Fraction(2)},
    "power": {"w watt": Fraction(1), "kw kilowatt": Fraction(1000)},
    "energy": {"j joule": Fraction(1), "kj kilojoule": Fraction(1000)},
    "force": {"n newton": Fraction(1)}, "frequency": {"hz hertz": Fraction(1)}, "charge": {"v volt": Fraction(1)},
    "byte": {"byte": Fraction(1), "kb kilobyte": Fraction(10**3), "mb megabyte": Fraction(10**6),
             "gb gigabyte": Fraction(10**9)},
}  # fmt: skip
_VOLUMES = {
    "l liter litre": Fraction(1, 1000), "ml milliliter millilitre": Fraction(1, 1000000),
    "cl centiliter centilitre": Fraction(1, 100000), "cc": Fraction(1, 1000000), "gal gallon": _GALLON,
    "qt quart": _GALLON / 4, "pt pint": _GALLON / 8, "cup": _GALLON / 16, "tbsp tablespoon": _GALLON / 256,
    "tsp teaspoon": _GALLON / 768,
}  # fmt: skip
_AREAS = {"acre": 4840 * (36 * _INCH) ** 2, "ha hectare": Fraction(10000)}
_SPEEDS = {"mph": (63360 * _INCH) / 3600, "kph kmh kmph": Fraction(1000, 3600)}
_TEMPERATURES = {"c celsius centigrade": "celsius", "f fahrenheit": "fahrenheit"}
_POWER_WORDS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_SCALE_OF_DEGREES = re.compile(r"(?i:\^\\circ|\bdegrees?)\s*([CFK]|(?i:celsius|centigrade|fahrenheit|kelvin))\b")
_TOKEN = re.compile(r"\^\{(-?\d)\}|\^\\circ|\\dollar|\\cdot|[€£¥₹¢/]|[A-Za-z]+")
_SYMBOLS = {"\\dollar": "dollar", "$": "dollar", "€": "euro", "£": "gbp", "¥": "yen", "₹": "rupee", "¢": "cent"}
_FILLER_WORDS = "of the a an in total all altogether each per"
_FILLERS = frozenset(_FILLER_WORDS.split())
_UNIT = re.compile(
    r"(?:\^\\circ|\\dollar|[€£$¥₹¢/])?\s*(?:[A-Za-z][A-Za-z.,/' -]*)?(?:\^\{-?[123]\})?(?:\s*(?:/|per\b|\\cdot)\s*)?"
    r"[A-Za-z ]*(?:\^\{-?[123]\})?"
)
_UNIT_AT_END = re.compile(
    r"(.*?[\w)\]}])\s+((?:[A-Za-z]+\.? )?[A-Za-z]{2,}(?:\s*\^\{[23]\})?(?:\s*(?:/|per)\s*[A-Za-z]+(?:\^\{[23]\})?)?"
    r"|[mgsh](?:\s*\^\{[23]\})?(?:/[a-z]+(?:\^\{[23]\})?)?)",
    re.DOTALL,
)
_OTHER_WORDS = (
    "or and to plus minus times over out more less fewer than not twice thrice double triple half third quarter "
    "squared factorial remainder by am pm is are was if because since when where negative root power base choose mod "
    "modulo between through until versus vs past divided multiplied added subtracted taken increased decreased reduced "
    "raised most least"
)
_NOT_A_UNIT = frozenset(
    (*_OTHER_WORDS.split(), *(f"{word}{end}" for word in (*NUMBER_WORDS, *SCALES, *PARTS) for end in ("", "s")))
)
"""Words behind a number that make it another number, or no number at all."""

_LONGEST_SYMBOL = 3
"""Characters of a unit's symbol; a longer name is a word."""


@dataclass(frozen=True)
class Unit:
    """A unit of measure: powers of base dimensions and size in them, or (``dimensions`` None) the words of a noun.

    Prices have both: ``$5 per ticket``.
    """

    dimensions: tuple[tuple[str, int], ...] | None
    factor: Fraction
    nouns: frozenset[str]

    @property
    def is_generic(self) -> bool:
        """Whether it is "units" or "square units", which stand for any length, or area."""
        return self.dimensions is not None and len(self.dimensions) == 1 and self.dimensions[0][0] == "unit"

    @property
    def is_angle(self) -> bool:
        """Whether it is degrees, which may turn into radians."""
        return self.dimensions == (("angle", 1),)


NO_UNIT = Unit(None, Fraction(0), frozenset())
"""Says that what follows a number is no unit, and so that the whole is no quantity."""


def _table() -> dict[str, tuple[dict[str, int], Fraction]]:
    table: dict[str, tuple[dict[str, int], Fraction]] = {}
    groups: list[tuple[dict[str, int], dict[str, Fraction]]] = [({name: 1}, units) for name, units in _BASE.items()]
    groups += [({"length": 3}, _VOLUMES), ({"length": 2}, _AREAS), ({"length": 1, "time": -1}, _SPEEDS)]
    groups += [({kind: 1}, {names: Fraction(1)}) for names, kind in _TEMPERATURES.items()]
    groups.append(({"unit": 1}, {"unit": Fraction(1)}))
    for dimensions, units in groups:
        for names, factor in units.items():
            table |= dict.fromkeys(names.split(), (dimensions, factor))
    return table


_SIZES = _table()


def read_unit(text: str) -> Unit:
    """Read a unit in words or symbols (``square inches``, ``km/h``, ``miles per hour``); a noun where it is unknown."""
    words = _SCALE_OF_DEGREES.sub(r"\1", text)
    measured = re.sub(r"\s+(?:in (?:total|all|the)\b|of\b|for\b|each\b|altogether\b).*", "", words)
    parts = re.split(r"/|\bper\b|\ban?\b(?= )", measured)
    dimensions: dict[str, int] = {}
    factor = Fraction(1)
    for place, part in enumerate(parts):
        size = _product(part)
        if size is None:
            return Unit(None, Fraction(1), _nouns(text))
        sign = -1 if place else 1
        for base, power in size[0].items():
            dimensions[base] = dimensions.get(base, 0) + sign * power
        factor *= size[1] ** sign
    return Unit(tuple(sorted((base, power) for base, power in dimensions.items() if power)), factor, frozenset())


def _product(part: str) -> tuple[dict[str, int], Fraction] | None:
    """Read known units with their powers; words that are no unit may stand around one with a long name."""
    names: list[str] = []
    powers: list[int] = []
    others, coming = 0, 1
    for match in _TOKEN.finditer(part):
        token = match.group()
        word = _SYMBOLS.get(token, "degree" if token == r"^\circ" else token.lower())
        if match.group(1) is not None or word in ("squared", "cubed"):
            if not powers:
                return None
            powers[-1] *= _POWER_WORDS[word] if match.group(1) is None else int(match.group(1))
        elif word in _POWER_WORDS:
            coming = _POWER_WORDS[word]
        elif (name := known_name(word)) is None:
            others += token != r"\cdot"
        elif name not in names:
            names.append(name)
            powers.append(coming)
            coming = 1
    if not names or (len(names) > 1 and (others or max(map(len, names)) > _LONGEST_SYMBOL)):
        return None
    return None if others and len(names[0]) <= _LONGEST_SYMBOL - 1 else _multiplied(names, powers)


def _multiplied(names: list[str], powers: list[int]) -> tuple[dict[str, int], Fraction]:
    dimensions: dict[str, int] = {}
    factor = Fraction(1)
    for name, power in zip(names, powers, strict=True):
        for base, exponent in _SIZES[name][0].items():
            dimensions[base] = dimensions.get(base, 0) + exponent * power
        factor *= _SIZES[name][1] ** power
    return dimensions, factor


def known_name(word: str) -> str | None:
    """Return the name by which the table knows a word (singular), None if it does not."""
    lowered = word.lower()
    singular = lowered.removesuffix("s") if len(lowered) > 3 else lowered
    return next((name for name in (lowered, singular) if name in _SIZES), None)


def _nouns(text: str) -> frozenset[str]:
    words = re.findall(r"[A-Za-z]{2,}", text.lower())
    return frozenset(word.removesuffix("s").removesuffix("e") for word in words if word not in _FILLERS)


def ratio(left: Unit | None, right: Unit | None) -> Fraction | None:
    """Return how many of the right unit are in one of the left, None if the two measure different things.

    A missing unit fits any; "units" fit every length, "square units" every area; of two nouns, one must
    say what the other says and may say more.
    """
    if left is None or right is None:
        return Fraction(1)
    if left.dimensions is None or right.dimensions is None:
        return Fraction(1) if left.nouns and right.nouns and _fit(left.nouns, right.nouns) else None
    if left.is_generic or right.is_generic:
        powers = [sum(power for _, power in unit.dimensions or ()) for unit in (left, right)]
        bases = {base for unit in (left, right) for base, _ in unit.dimensions or ()}
        return Fraction(1) if powers[0] == powers[1] and bases <= {"unit", "length"} else None
    if left.dimensions == right.dimensions:
        return left.factor / right.factor if _fit(left.nouns, right.nouns) else None
    degrees = {unit.dimensions[0][0] for unit in (left, right) if len(unit.dimensions or ()) == 1 and unit.dimensions}
    return Fraction(1) if "angle" in degrees and degrees & {"celsius", "fahrenheit"} else None


def _fit(left: frozenset[str], right: frozenset[str]) -> bool:
    return left <= right or right <= left


def unit_behind(as_written: str) -> Unit | None:
    """Tell a unit (``5 m``, ``5cm``, ``5 red apples``) from a variable, a function or a clause (``NO_UNIT``)."""
    text = as_written.strip(" -")
    if not text:
        return None
    words = re.findall(r"[A-Za-z]+", text)
    if _UNIT.fullmatch(text) is None or _NOT_A_UNIT.intersection(word.lower() for word in words):
        return NO_UNIT
    if not words and text.startswith("^{"):
        return NO_UNIT
    unit = read_unit(text)
    attached = not as_written.startswith((" ", "-")) and text[0].isalpha()
    if unit.dimensions is not None:
        return NO_UNIT if attached and len(words[0]) == 1 and "/" not in text else unit
    language = any(len(word) > 2 for word in words) and not FUNCTIONS.intersection(words)
    return unit if language and not attached else NO_UNIT


def split_unit(text: str) -> tuple[str, Unit | None]:
    """Split a known unit off the end of an expression; None where there is none."""
    match = _UNIT_AT_END.fullmatch(text)
    if match is None or _NOT_A_UNIT.intersection(match.group(2).split()):
        return text, None
    if len(match.group(2)) == 1 and re.search(r"(?<![\\A-Za-z])[A-Za-z]", match.group(1)):
        return text, None  # a letter among letters is a variable
    unit = read_unit(match.group(2))
    return (match.group(1), unit) if unit.dimensions is not None else (text, None)
