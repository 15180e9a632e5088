"""The unit words that the paper's normal form deletes from answers.

The protocol was tuned on MathQA, hence the scraps of option labels and broken encodings among true units. Which words
are deleted decides published numbers, and so does the order: deleting one word uncovers or hides its neighbours. The
tables are grouped for reading; the number beside a word is its turn. Every word comes again, with an "s" added, in a
second half of the round. A full stop inside a word stands for any character, as it does in the protocol.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LENGTH = {
    10: "mile",
    5: "ft",
    71: "feet",
    47: "inches",
    132: "inch",
    112: "km",
    113: "m",
    114: "cm",
    115: "mm",
    23: "dm",
    83: "mtr",
    131: "meter",
    130: "metre",
    119: "yard",
}
_AREA_AND_VOLUME = {
    6: "m sqaure",
    8: "sq m",
    64: "sq . m",
    59: "sq",
    76: "square",
    98: "sq inch",
    54: "acre",
    101: "hectare",
    81: "cubic",
    96: "cube",
    82: "cc",
    75: "cu cm",
    105: "cu . m",
    106: "cm 2",
    117: "liter",
    127: "litre",
    24: "lt",
    61: "l",
    51: "gal",
    65: "gallon",
    128: "pi sq m",
}
_SPEED = {
    3: "mph",
    4: "kmph",
    87: "kmph",
    52: "kmh",
    99: "mp",
}
_MASS = {
    20: "lb",
    109: "kg",
    110: "g",
    18: "gm",
    97: "mt",
}
_TIME = {
    88: "day",
    89: "hour",
    74: "hr",
    90: "minute",
    91: "min",
    92: "second",
    95: "sec",
    103: "sec",
    111: "month",
    121: "year",
    69: "yr",
    48: "noon",
    72: "am",
    73: "pm",
    19: "p . m",
    56: "a . m",
}
_ANGLE_AND_TEMPERATURE = {
    2: "degree",
    9: "deg",
    66: "° f",
    16: "rd",
    85: "ohm",
}
_DIRECTION = {
    1: "east",
    7: " m east",
    28: "west",
    27: "way",
}
_MONEY = {
    15: "profit of rs",
    107: "rs .",
    108: "rs",
    79: "rupee",
    67: "profit",
    25: "gain",
    118: "loss",
}
_COUNTED = {
    12: "monkey",
    21: "tile",
    41: "men",
    42: "soldier",
    43: "pie",
    62: "toy",
    63: "coin",
    70: "women",
    93: "man",
    94: "woman",
    116: "apple",
    60: "mark",
    80: "rounds",
}
_COMPARED = {
    13: "prime",
    14: "ratio",
    22: "per",
    49: "percent",
    50: "by",
    40: "no change",
    45: "excess",
    55: "rise",
    86: "number",
    102: "more",
    125: "less",
    122: "increase",
    123: "decrease",
    104: "unit",
    120: "pure",
    78: "are",
    126: "Surface",
}
_LETTERS = {
    11: "q .",
    17: "o",
    29: "a .",
    30: "b .",
    31: "c .",
    32: "d .",
    33: "e .",
    34: "f .",
    35: "g .",
    36: "h .",
    37: "t",
    38: "a",
    39: "h",
    26: "ab",
    44: "bc",
    53: "c",
    84: "s",
    129: "s .",
    124: "d",
    46: "st",
    57: "th",
}
_BROKEN = {
    58: "π r 2",
    77: "v â € ™",
    68: "minw",
    100: "∏ cm ³",
}

_WORDS = (
    _LENGTH | _AREA_AND_VOLUME | _SPEED | _MASS | _TIME | _ANGLE_AND_TEMPERATURE | _DIRECTION | _MONEY | _COUNTED
) | (_COMPARED | _LETTERS | _BROKEN)


def _patterns() -> Iterator[tuple[re.Pattern[str], re.Pattern[str]]]:
    """Yield, in turn, a pattern that finds a word alone and the protocol's, which takes its neighbours along.

    The first begins with the word itself, so that it runs through a long text many times faster than the second.
    """
    in_turn = [word for _, word in sorted(_WORDS.items())]
    for word in in_turn + [word + "s" for word in in_turn]:
        yield re.compile(rf"{word}(?<!\w{word})(?!\w)"), re.compile(rf"(^|\W){word}($|\W)")


_PATTERNS = tuple(_patterns())
_ROUNDS = 2


def without_units(text: str) -> str:
    """Return ``text`` less its unit words; a word that is the whole text stays."""
    for alone, pattern in _PATTERNS * _ROUNDS:
        if alone.search(text):
            text = pattern.sub(r"\1\2", text) or text
    return text
