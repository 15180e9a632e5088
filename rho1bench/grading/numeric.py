r"""Telling expressions apart without computer algebra: if two formulas differ clearly at one point, they are not equal.

Most answers that reach the algebra are wrong, and wrong by far; proving that takes microseconds here and tens of
milliseconds in sympy. Only a small, unambiguous part of LaTeX is read (numbers, letters with and without an index,
``+ - * /``, powers, ``\frac``, ``\sqrt``, ``\pi``, ``\sin(...)``, parentheses); everything else, and everything close,
is left to the algebra. So this can say "different" or nothing, and never changes a verdict.
"""

from __future__ import annotations

import cmath
import math
import re
import zlib
from functools import lru_cache

CLEAR_GAP = 1e-3
"""Relative; ten times the tolerance of the paper's protocol."""
_ROUNDING = 1e-6
_MAX_LENGTH = 2000
_TOKEN = re.compile(
    r"\s*((?:0|[1-9]\d*)(?:\.\d+)?(?!\d)|\\(?:frac|sqrt|pi|cdot|times|sin|cos|tan)(?![A-Za-z])"
    r"|(?:[A-Za-ce-z]|d(?!\s*[A-Za-z\\])|\\(?:alpha|theta|lambda|mu|omega)(?![A-Za-z]))"
    r"(?:_(?:[0-9A-Za-ce-z]|\{(?:\d+|[A-Za-ce-z])\}))?(?![_'!])"
    r"|[-+*/^(){}\[\]])"
)
r"""A ``d`` before a letter is a differential to the readers, and what follows an index (``x_1!``) is left to them."""
_LETTER = re.compile(r"(\\?[A-Za-z]+)(?:_\{?(\w+)\}?)?")
_FACTOR_STARTS = re.compile(r"\d|[A-Za-z(]|\\(?!cdot|times)")
_FUNCTIONS = {r"\sin": cmath.sin, r"\cos": cmath.cos, r"\tan": cmath.tan}
_MAX_ARGUMENT = 100.0
"""Of a function; beyond it, what rounding leaves of the argument may not do."""
_CONSTANTS = {"i": 1j, "e": complex(math.e)}


class _UnreadableError(Exception):
    """Not of the small language, or not safe to evaluate in floating point."""


def clearly_different(left: str, right: str) -> bool:
    """Return True only if both sides can be evaluated and their values are far apart."""
    one, other = _value(left), _value(right)
    return one is not None and other is not None and _far(*one, *other)


def _far(one: complex, one_scale: float, other: complex, other_scale: float) -> bool:
    gap = abs(one - other)
    return gap > CLEAR_GAP * max(abs(one), abs(other)) and gap > _ROUNDING * max(one_scale, other_scale)


@lru_cache(maxsize=4096)
def _value(text: str) -> tuple[complex, float] | None:
    """Return the value where every letter is a fixed number, and the largest intermediate; None if unreadable."""
    if len(text) > _MAX_LENGTH:
        return None
    try:
        reader = _Reader(_tokens(text))
        value = reader.sum()
        if reader.tokens[reader.place] != "" or not cmath.isfinite(value):
            return None
    except (_UnreadableError, ArithmeticError, ValueError, RecursionError):
        return None
    return value, reader.scale


def _tokens(text: str) -> list[str]:
    tokens, place = [], 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise _UnreadableError
        tokens.append(match.group(1))
        place = match.end()
    return [*tokens, "", ""]


def _off_the_cut(base: complex) -> complex:
    """Refuse a base whose root would hang on the sign of what rounding left of its imaginary part."""
    if base.real < 0 and 0 < abs(base.imag) < _ROUNDING * abs(base):
        raise _UnreadableError
    return complex(base.real, base.imag + 0.0)  # -0.0 becomes 0.0


def _number_of(letter: str, index: str) -> complex:
    """Return a number for each letter and index, the same for ``x_1`` and ``x_{1}``, between 0.5 and 1.5."""
    number = zlib.crc32(index.encode()) if index else 0
    return complex(0.5 + ((sum(map(ord, letter)) + number) * 0.6180339887) % 1.0)


class _Reader:
    """Evaluates a token list by recursive descent; refuses whatever two readers might read in two ways."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.place = 0
        self.scale = 1.0

    def sum(self) -> complex:
        negative = self._take_if("-")
        total = self._noted(-self._product() if negative else self._product())
        while self.tokens[self.place] in ("+", "-"):
            sign = self._next()
            term = self._product()
            total = self._noted(total + term if sign == "+" else total - term)
        return total

    def _product(self) -> complex:
        value = self._power()
        divided = False
        while True:
            token = self.tokens[self.place]
            if token in ("*", r"\cdot", r"\times"):
                self._next()
                value = self._noted(value * self._power())
            elif token == "/":
                self._next()
                value = self._noted(value / self._power())
                divided = True
            elif _FACTOR_STARTS.match(token):
                if divided or token[0].isdigit():
                    raise _UnreadableError
                value = self._noted(value * self._power())
            else:
                return value

    def _power(self) -> complex:
        base = self._atom()
        if not self._take_if("^"):
            return base
        exponent = self._group() if self.tokens[self.place] == "{" else self._short_exponent()
        if self.tokens[self.place] == "^" or abs(exponent) > 1000:
            raise _UnreadableError
        whole = exponent.imag == 0 and exponent.real.is_integer()
        return self._noted((base if whole else _off_the_cut(base)) ** exponent)

    def _short_exponent(self) -> complex:
        token = self._next()
        if len(token) != 1 or not token.isdigit():
            raise _UnreadableError
        return complex(int(token))

    def _atom(self) -> complex:
        token = self._next()
        following = self.tokens[self.place]
        if token[:1].isdigit():
            if following in (r"\frac", "(", "e", "E"):
                raise _UnreadableError
            return self._noted(complex(float(token)))
        if token == "(":
            return self._closed(")")
        if token == r"\frac":
            above, below = self._group(), self._group()
            return self._noted(above / below)
        if token == r"\sqrt":
            return self._root()
        if token == r"\pi":
            return complex(math.pi)
        if token in _FUNCTIONS:
            return self._function(token)
        if (letter := _LETTER.fullmatch(token)) is not None and following != "(":
            return _CONSTANTS.get(token) or _number_of(letter[1], letter[2] or "")
        raise _UnreadableError

    def _function(self, name: str) -> complex:
        if not self._take_if("("):
            raise _UnreadableError
        argument = self._closed(")")
        if abs(argument) > _MAX_ARGUMENT:
            raise _UnreadableError
        return self._noted(_FUNCTIONS[name](argument))

    def _root(self) -> complex:
        index = 2
        if self._take_if("["):
            token = self._next()
            if not token.isdigit() or self._next() != "]" or not 2 <= int(token) <= 20:
                raise _UnreadableError
            index = int(token)
        radicand = _off_the_cut(self._group())
        if index != 2 and (radicand.imag or radicand.real < 0):
            raise _UnreadableError
        return self._noted(cmath.sqrt(radicand) if index == 2 else complex(radicand.real ** (1 / index)))

    def _group(self) -> complex:
        if self._next() != "{":
            raise _UnreadableError
        return self._closed("}")

    def _closed(self, bracket: str) -> complex:
        value = self.sum()
        if self._next() != bracket:
            raise _UnreadableError
        return value

    def _next(self) -> str:
        token = self.tokens[self.place]
        if token == "":
            raise _UnreadableError
        self.place += 1
        return token

    def _take_if(self, token: str) -> bool:
        found = self.tokens[self.place] == token
        self.place += found
        return found

    def _noted(self, value: complex) -> complex:
        self.scale = max(self.scale, abs(value))
        return value
