r"""The protocol's last resort: are two strings the same value to a computer algebra system?

Slow and able to hang, so it only runs inside :mod:`rho1bench.grading.worker`. Each side is read by sympy's LaTeX
parser, else by its expression parser (:mod:`rho1bench.grading.paper.expressions`), else it stays a string. The tests
are asked in the protocol's order, and a test that raises says nothing.

The authors' code has a third reader, latex2sympy2, which no package index offers. Beside it, 14 of 8,521 pairs made
from real answers got another verdict, all of them damaged text that it reads up to the damage; without it, none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from rho1bench.errors import MissingPackageError
from rho1bench.grading.magnitude import Expression, TooLargeError, check_size
from rho1bench.grading.paper.equality import close
from rho1bench.grading.paper.expressions import (
    QUOTES,
    read_expression,
    read_power_expression,
    read_rational_expression,
)

MATRIX_DECIMALS = 3
MAX_LENGTH = 2000
"""Characters; a longer side is not parsed: it takes the parser minutes, which the protocol's time limit would end."""
_ANTLR = "antlr4-python3-runtime"


def check_packages() -> None:
    """Make sure that LaTeX can be parsed: sympy silently reads nothing without its exact antlr runtime.

    Raises:
        MissingPackageError: antlr's runtime is missing or of another version.
    """
    try:
        found = version(_ANTLR)
    except PackageNotFoundError:
        found = ""
    if not found.startswith("4.11"):
        raise MissingPackageError(f"{_ANTLR} 4.11", "Grading LaTeX answers", f'pip install "{_ANTLR}==4.11.*"')


def same_value(pred: str, gold: str) -> bool:
    """Return whether the two strings are equal by any of the protocol's algebraic tests; may be slow.

    Raises:
        TooLargeError: a side is too long, or stands for a number too large to write down.
    """
    if max(len(pred), len(gold)) > MAX_LENGTH:
        raise TooLargeError
    short, long = sorted((pred, gold), key=len)
    if short != long and long[:1] not in QUOTES and _is_opaque(short):
        return False
    left, right = _read(pred), _read(gold)
    return any(_holds(test, left, right) for test in _TESTS)


@lru_cache(maxsize=512)
def _read(text: str) -> Expression:
    from sympy.parsing.latex import parse_latex

    forms = dict.fromkeys((text.replace(r"\\", "\\"), text))
    for parser in (parse_latex, read_expression):
        for form in forms:
            try:
                return check_size(parser(form))
            except TooLargeError:
                raise
            except Exception:
                continue
    return text


def _is_opaque(text: str) -> bool:
    """Tell whether a text is no expression to any reader; with a backslash it then equals itself alone, or quoted."""
    return "\\" in text and isinstance(_read(text), str)


def _holds(test: Callable[[Expression, Expression], Expression], left: Expression, right: Expression) -> bool:
    try:
        return bool(test(left, right))
    except TooLargeError:
        raise
    except Exception:
        return False


def _same_expression(left: Expression, right: Expression) -> Expression:
    return str(left) == str(right) or left == right


def _no_difference(left: Expression, right: Expression) -> Expression:
    from sympy import Expr, simplify

    # Expr.equals would hand a string to sympify, which evaluates it as Python.
    other = read_power_expression(right) if isinstance(right, str) else right
    if left.equals(other):
        return True
    # Expr.equals begins by simplifying the difference; a second time would find no zero either.
    return type(left).equals is not Expr.equals and simplify(left - right) == 0


def _same_equation(left: Expression, right: Expression) -> Expression:
    return abs(left.lhs - left.rhs).equals(abs(right.lhs - right.rhs))


def _same_number(left: Expression, right: Expression) -> bool:
    return close(_to_float(left), _to_float(right))


def _to_float(value: Expression) -> float:
    from sympy import N

    return float(N(read_rational_expression(value) if isinstance(value, str) else value))


def _same_matrix(left: Expression, right: Expression) -> Expression:
    def rounded(matrix: Expression) -> Expression:
        return matrix.applyfunc(lambda entry: round(entry, MATRIX_DECIMALS))

    return left.shape == right.shape and rounded(left).equals(rounded(right))


_TESTS = (_same_expression, _no_difference, _same_equation, _same_number, _same_matrix)
