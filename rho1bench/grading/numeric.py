r"""Telling expressions apart without computer algebra: if two formulas differ clearly at one point, they are not equal.

Most answers that reach the algebra are wrong, and wrong by far; proving that takes microseconds here and tens of
milliseconds in sympy. Only a small, unambiguous part of LaTeX is read (numbers, letters, ``+ - * /``, powers,
``\frac``, ``\sqrt``, ``\pi``, ``\sin(...)``, parentheses); everything else, and everything close, is left to the
algebra. So this can say "different" or nothing, and never changes a verdict.
"""

from __future__ import annotations

import cmath
import math
import re
from functools import lru_cache

CLEAR_GAP = 1e-3
"""Relative; ten times the tolerance of the paper's protocol."""
_ROUNDING = 1e-6
_MAX_LENGTH = 2000
_TOKEN = re.compile(
    r"\s*((?:0|[1-9]\d*)(?:\.\d+)?(?!\d)|\\(?:frac|sqrt|pi|cdot|times|sin|cos|tan)(?![A-Za-z])|[A-Za-ce-z]|[-+*/^(){}\[\]])"
)
_FACTOR_STARTS = re.compile(r"\d|[A-Za-z(]|\\(?:frac|sqrt|pi|sin|cos|tan)")
_FUNCTIONS = {r"\sin": cmath.sin, r"\cos": cmath.cos, r"\tan": cmath.tan}
_MAX_ARGUMENT = 100.0
"""Of a function; beyond it, what rounding leaves of the argument may not do."""
_CONSTANTS = {"i": 1j, "e": complex(math.e)}


class _UnreadableError(Exception):
    """Not of the small language, or not safe to evaluate in floating point."""


def clearly_different(left: str, right: str) -> bool:
    """Return True only if both sides can be evaluated and their values are far apart."""
    one, other = _value(left), _value(right)
    if one is None or other is None or one[2] != other[2]:
        return one is not None and other is not None and _one_is_constant(one, other)
    return _far(one, other)


_Value = tuple[complex, float, frozenset[str]]


def _one_is_constant(one: _Value, other: _Value) -> bool:
    """A number and a formula with letters: apart if the formula is not that number at the point tried."""
    return (not one[2] or not other[2]) and _far(one, other)


def _far(one: _Value, other: _Value) -> bool:
    gap = abs(one[0] - other[0])
    return gap > CLEAR_GAP * max(abs(one[0]), abs(other[0])) and gap > _ROUNDING * max(one[1], other[1])


@lru_cache(maxsize=4096)
def _value(text: str) -> _Value | None:
    """Return the value at a fixed point, the largest intermediate result, and the letters; None if unreadable."""
    if len(text) > _MAX_LENGTH:
        return None
    try:
        reader = _Reader(_tokens(text))
        value = reader.sum()
        if reader.tokens[reader.place] != "" or not cmath.isfinite(value):
            return None
    except (_UnreadableError, ArithmeticError, ValueError, RecursionError):
        return None
    return value, reader.scale, frozenset(reader.letters)


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


class _Reader:
    """Evaluates a token list by recursive descent; refuses whatever two readers might read in two ways."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.place = 0
        self.scale = 1.0
        self.letters: set[str] = set()

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
        if len(token) == 1 and token.isalpha() and following != "(":
            self.letters.add(token)
            return _CONSTANTS.get(token, complex(0.5 + (ord(token) * 0.6180339887) % 1.0))
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
