r"""What structure and exact numbers leave open: equality of expressions, relations and sets, by math-verify and sympy.

Runs only in the grading worker, whose kernel limits replace math-verify's own timers. math-verify reads the LaTeX;
numbers are then compared exactly, expressions with letters at exact points, equations by the ratio of their
differences, and only what is left (sets, matrices of functions) by math-verify itself, both ways.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from rho1bench.grading.magnitude import Expression, TooLargeError, check_size
from rho1bench.grading.strict.exact import same_expression, same_number
from rho1bench.grading.strict.quantity import read_quantity, stands_for
from rho1bench.grading.strict.structures import is_set_like, sides

DECIMALS = 6
PRECISION = 15
_TRIGONOMETRIC = re.compile(
    r"(\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])\s*(?:\^\s*\{[^{}]*\}\s*)?)(\([^()]*\)|\{[^{}]*\}|[^()+\-=,]*)"
)
_DEGREES = re.compile(r"((?:\d+(?:\.\d+)?|[A-Za-z]|\\[a-z]+|\\frac\{\d+\}\{\d+\}|\)))\s*\^\\circ\s*")
_PRIMES = re.compile(r"(?<=[A-Za-z])'+")
_REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar|dot)\s*\{(\d+)\}")
_DECIMAL = re.compile(r"(?<![\d.])(\d+)\.(\d+)(?![\d.])")


def same_by_algebra(left: str, right: str) -> bool:
    """Return whether two tidy answers are equal as mathematics; an unreadable answer equals nothing."""
    if (r"^\circ" in left) != (r"^\circ" in right):
        return any(_same(one, other) for one, other in zip(_readings(left), _readings(right), strict=True))
    return _same(_readings(left)[0], _readings(right)[0])


def _readings(text: str) -> tuple[str, str]:
    """Write degrees inside functions as radians; those outside count as bare numbers, or as radians too."""
    inside = _TRIGONOMETRIC.sub(_with_radians, text)
    return inside.replace(r"^\circ", " "), _in_radians(inside)


def _with_radians(match: re.Match[str]) -> str:
    """Write a function of degrees as one of radians, in brackets, without which products are read wrongly."""
    return f"{match[1]}({_in_radians(match[2])})" if r"^\circ" in match[2] else match.group()


def _in_radians(text: str) -> str:
    return _DEGREES.sub(r"\1\\cdot\\frac{\\pi}{180}", text)


def _same(left: str, right: str) -> bool:
    from rho1bench.grading.strict.solution_sets import same_equation, same_solutions

    if is_set_like(left) or is_set_like(right):
        decided = same_solutions(left, right, read)
        if decided is not None:
            return decided
    elif len(sides(left)) == len(sides(right)) == 2:
        return same_equation(left, right, read)
    left_read, right_read = read(left), read(right)
    if left_read is None or right_read is None:
        return False
    return same_objects(left_read, right_read) or _decimal_of_constant(left, right, left_read, right_read)


def same_objects(left: Expression, right: Expression) -> bool:
    """Compare two objects of sympy by the rules for their kind."""
    from sympy import Expr
    from sympy.matrices import MatrixBase

    if isinstance(left, MatrixBase) and isinstance(right, MatrixBase):
        return left.shape == right.shape and all(map(same_objects, left.flat(), right.flat()))
    if (
        isinstance(left, Expr)
        and isinstance(right, Expr)
        and not hasattr(left, "shape")
        and not hasattr(right, "shape")
    ):
        if not (left.free_symbols or right.free_symbols):
            return same_number(left, right)
        decided = same_expression(left, right)
        if decided is not None:
            return decided
    return _math_verify_agrees(left, right)


def _math_verify_agrees(left: Expression, right: Expression) -> bool:
    from math_verify import verify

    options: dict[str, object] = {
        "float_rounding": DECIMALS,
        "numeric_precision": PRECISION,
        "strict": True,
        "allow_set_relation_comp": True,
        "timeout_seconds": None,
    }
    return bool(verify(left, right, **options) and verify(right, left, **options))


@lru_cache(maxsize=512)
def read(text: str) -> Expression | None:
    """Read one tidy answer; None where math-verify's reader of LaTeX finds no expression."""
    from latex2sympy2_extended import NormalizationConfig, latex2sympy
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig

    if re.search(r"\d\s+\d", text):  # which the reader would take for a sum
        return None
    try:
        expression = latex2sympy(
            _for_parser(text),
            is_real=True,
            convert_degrees=False,
            normalization_config=NormalizationConfig(
                basic_latex=True, malformed_operators=True, nits=True, boxed="none"
            ),
            conversion_config=ConversionConfig(lowercase_symbols=False),
        )
    except TooLargeError:
        raise
    except Exception:
        return None
    return None if expression is None else _as_meant(check_size(expression))


def _for_parser(text: str) -> str:
    """Write decimals as exact fractions, and what math-verify would read otherwise than mathematicians do."""
    # math-verify reads 1000(26) as a mixed number, 1000 + 26, and not every product of brackets as one.
    text = re.sub(r"(?<=[\d)])\s*(?=\()", r"\\cdot ", text)
    text = _PRIMES.sub(lambda match: "_{" + r"\prime" * len(match.group()) + "}", text)  # which would be dropped
    text = _REPEATING.sub(_repeating_fraction, text)
    text = _DECIMAL.sub(lambda match: rf"\frac{{{match[1]}{match[2]}}}{{{10 ** len(match[2])}}}", text)
    text = re.sub(r"(?<=[\d}])\s+(?=\\frac\{\d+\}\{10+\})", r"\\cdot ", text)
    return text.replace(r"\lbrace", r"\{").replace(r"\rbrace", r"\}").replace(r"\cr ", r"\\ ")


def _repeating_fraction(match: re.Match[str]) -> str:
    whole, before, block = match.group(1) or "0", match.group(2), match.group(3)
    scale = 10 ** len(before)
    value = Fraction(int(whole + before), scale) + Fraction(int(block), (10 ** len(block) - 1) * scale)
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def _as_meant(expression: Expression) -> Expression:
    """Take ``i`` for the imaginary unit, odd roots of negative numbers for real, and carry out products of matrices."""
    from sympy import I, Pow
    from sympy.matrices import MatrixBase

    if hasattr(expression, "shape") and not isinstance(expression, MatrixBase):
        expression = expression.doit()
    if not hasattr(expression, "xreplace"):
        return expression
    letters = {symbol: I for symbol in getattr(expression, "free_symbols", ()) if symbol.name == "i"}
    expression = expression.xreplace(letters)
    if not letters and hasattr(expression, "atoms"):
        roots = {power: _real_root(power) for power in expression.atoms(Pow)}
        expression = expression.xreplace({power: root for power, root in roots.items() if root is not None})
    return expression


def _real_root(power: Expression) -> Expression | None:
    base, exponent = power.as_base_exp()
    if not (exponent.is_Rational and exponent.q % 2 == 1 and exponent.q > 1 and base.is_number and base.is_negative):
        return None
    return (-1) ** exponent.p * (-base) ** exponent


def _decimal_of_constant(left: str, right: str, left_read: Expression, right_read: Expression) -> bool:
    """Tell whether one side is a decimal that stands for the other, an irrational constant, to six digits or more."""
    for text, other in ((left, right_read), (right, left_read)):
        quantity = read_quantity(text)
        if quantity is None or quantity.digits is None:
            continue
        if not getattr(other, "is_number", False) or getattr(other, "is_rational", True):
            continue
        value = other.evalf(40)
        return value.is_real is True and stands_for(quantity, Fraction(str(value)))
    return False
