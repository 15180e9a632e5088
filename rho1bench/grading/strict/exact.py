r"""Exact equality of sympy's numbers and expressions: no tolerance, no underflow.

Two rational numbers are compared as fractions. Of two others, sympy may know whether the difference is zero; else they
are equal if 2,000 digits of them agree (a proof would take seconds, and 50 digits tell nearly all others apart).
Expressions with letters are compared at points whose coordinates are fractions: they are equal if they agree wherever
both are numbers.
"""

from __future__ import annotations

from rho1bench.grading.magnitude import Expression, check_size

_DIGITS = 50
_MANY_DIGITS = 2000
_SLACK = 10
"""Digits that the evaluation may lose to rounding."""
_WHOLE_POINTS = ((3, 1, 4, 1), (6, 1, -2, 1), (4, 1, 6, 1), (5, 1, 12, 1))
_POINTS = ((7, 3, 11, 2), (2, 5, 3, 7), (-5, 3, -7, 2), (13, 11, -9, 5), *_WHOLE_POINTS)
"""Each a numerator and denominator for the first letter, and another pair from which the next letters' follow."""
_ENOUGH_POINTS = 2


def same_number(left: Expression, right: Expression) -> bool:
    """Return whether two numbers of sympy are equal; infinities equal themselves, undefined values nothing."""
    from sympy import S

    left, right = _evaluated(left), _evaluated(right)
    undefined = (S.ComplexInfinity, S.NaN)
    if any(part in undefined or not getattr(part, "is_number", False) for part in (left, right)):
        return False
    if S.Infinity in (left, right) or S.NegativeInfinity in (left, right):
        return bool(left == right)
    if left == right:
        return True
    if left.is_Rational and right.is_Rational:
        return False
    difference = left - right
    if difference.is_zero is not None:
        return bool(difference.is_zero)
    return _agree(left, right, _DIGITS) and _agree(left, right, _MANY_DIGITS)


def _evaluated(value: Expression) -> Expression:
    return check_size(value.doit()) if hasattr(value, "doit") else value


def _agree(left: Expression, right: Expression, digits: int) -> bool:
    """Return whether two numbers have the same first digits, relative to the larger one."""
    one, other = left.evalf(digits), right.evalf(digits)
    gap, size = abs(one - other), max(abs(one), abs(other))
    return bool(gap <= size * type(size)(10) ** (_SLACK - digits)) if size else True


def same_expression(left: Expression, right: Expression) -> bool | None:
    """Return whether two expressions with letters are equal; None where they have no value at enough points."""
    from sympy import I, binomial, factorial

    if left == right:
        return True
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)
    if not hasattr(left, "subs") or not symbols:
        return None
    real = not (left.has(I) or right.has(I))
    counts = (left + right).has(factorial, binomial)
    agreed = 0
    for point in _WHOLE_POINTS if counts else _POINTS:
        values = _at(point, symbols)
        one, other = (_evaluated(side.subs(values, simultaneous=True)) for side in (left, right))
        if not (_has_value(one, real) and _has_value(other, real)):
            continue
        if not same_number(one, other):
            return False
        agreed += 1
    return True if agreed >= _ENOUGH_POINTS else None


def _at(point: tuple[int, int, int, int], symbols: list[Expression]) -> dict[Expression, Expression]:
    from sympy import Rational

    first, step = Rational(point[0], point[1]), Rational(point[2], point[3])
    return {symbol: first + place * step for place, symbol in enumerate(symbols)}


def _has_value(value: Expression, real: bool) -> bool:
    """Return whether an expression at a point is a finite number; a real one, unless complex numbers are meant."""
    from sympy import I

    if not getattr(value, "is_number", False) or value.is_finite is False:
        return False
    return not real or not (value.has(I) or value.is_extended_real is False)
