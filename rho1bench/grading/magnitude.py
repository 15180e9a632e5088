r"""Refusing numbers too large to write down before a computer algebra system tries (``9^{9^{9^9}}``, ``(10^{9})!``).

Such an answer could only end at the time limit; here it ends at once, with the same verdict (timeout). The estimates
are upper bounds of the number of digits, from the unevaluated expression tree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

MAX_DIGITS = 1_000_000

Expression: TypeAlias = Any
"""An object of sympy, which ships no types: to mypy it is ``Any``, and this is the grader's one name for that."""
_Readable = TypeVar("_Readable")


class TooLargeError(Exception):
    """An answer stands for a number of more than ``MAX_DIGITS`` digits."""


def check_size(expression: _Readable) -> _Readable:
    """Return ``expression``; raise ``TooLargeError`` if evaluating it would write more than ``MAX_DIGITS`` digits."""
    if _digits(expression) > MAX_DIGITS:
        raise TooLargeError
    return expression


def checked_power(base: Expression, exponent: Expression) -> Expression:
    """Return ``base ** exponent`` unless the result is too large."""
    if power_digits(_digits(base), _digits(exponent)) > MAX_DIGITS:
        raise TooLargeError
    return base**exponent


def check_argument(function: str, arguments: Sequence[object]) -> None:
    """Raise ``TooLargeError`` if a fast-growing function of these arguments is too large; ``function`` is its name."""
    digits = _digits(arguments)
    if function == "exp":
        size = power_digits(0.44, digits)
    elif function == "binomial" and len(arguments) == 2:
        size = binomial_digits(*map(_digits, arguments))
    else:
        size = factorial_digits(digits)
    if size > MAX_DIGITS:
        raise TooLargeError


def power_digits(base_digits: float, exponent_digits: float) -> float:
    """Bound the digits of a power by the digits (decimal logarithms) of its parts."""
    if exponent_digits > 15:
        return math.inf if base_digits > 0 else 0.0
    return max(base_digits, 0.0) * 10**exponent_digits


def factorial_digits(digits: float) -> float:
    """Bound the digits of ``n!`` by the digits of ``n``."""
    return math.inf if digits > 15 else 10**digits * max(digits, 1.0)


def binomial_digits(upper_digits: float, lower_digits: float) -> float:
    """Bound the digits of a binomial coefficient: it is below ``2**n`` and below ``n**k``."""
    return min(power_digits(0.31, upper_digits), power_digits(upper_digits, lower_digits))


def _digits(expression: object) -> float:
    """Return an upper bound of the decimal logarithm of the largest number inside ``expression``; 0 for symbols."""
    if isinstance(expression, (list, tuple, set)):
        return max(map(_digits, expression), default=0.0)
    arguments = getattr(expression, "args", ())
    if not arguments:
        return _literal_digits(expression)
    parts = [_digits(argument) for argument in arguments]
    kind = type(expression).__name__
    if kind == "Pow" or kind.startswith("exp"):
        base, exponent = (parts[0], parts[1]) if len(parts) == 2 else (1.0, parts[0])
        return max(base, exponent, power_digits(base, exponent))
    if "actorial" in kind:
        return factorial_digits(parts[0])
    if kind == "binomial":
        return binomial_digits(*parts)
    return sum(max(part, 0.0) for part in parts) if kind == "Mul" else max(parts) + math.log10(len(parts))


def _literal_digits(value: Expression) -> float:
    if isinstance(value, bool) or not (isinstance(value, (int, float)) or getattr(value, "is_Number", False)):
        return 0.0
    if isinstance(value, int) or getattr(value, "is_Integer", False):
        return max(int(value).bit_length(), 1) * math.log10(2)
    if getattr(value, "is_Rational", False):
        return max(int(value.p).bit_length(), int(value.q).bit_length()) * math.log10(2)
    try:
        number = abs(float(value))
        return math.log10(number) if 0 < number < math.inf else 0.0
    except (OverflowError, ValueError, TypeError):
        return 0.0
