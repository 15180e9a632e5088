"""Reading a plain expression (``3*sqrt(2)``, ``2**5``, ``(1, 2)``) with sympy's grammar but without ``eval``.

sympy's ``parse_expr`` hands the text to Python, so a model's answer could run code. Here sympy's own token
transformations turn the text into Python source as usual; the source is then parsed, and its tree is walked by a small
interpreter that knows operators, displays and calls of mathematical functions. Anything else is unreadable.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from functools import lru_cache

from rho1bench.grading.magnitude import Expression, check_argument, checked_power

_BINARY: dict[type[ast.operator], Callable[[Expression, Expression], Expression]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: checked_power,
    ast.BitXor: operator.xor,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.MatMult: operator.matmul,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
_UNARY: dict[type[ast.unaryop], Callable[[Expression], Expression]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Expression, Expression], Expression]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
QUOTES = ("'", '"')
_BUILTINS = (abs, pow, round, sum, divmod, len)
_FUNCTION_NAMES = (
    "sqrt cbrt root real_root simplify expand factor together apart cancel gcd lcm diff integrate limit solve Matrix "
    "ImmutableMatrix eye zeros ones det factorint isprime prime divisors rad deg N nsimplify radsimp trigsimp product "
    "summation"
)


class UnreadableExpressionError(ValueError):
    """The text is no expression of the kinds that may be read from data."""


def read_expression(text: str) -> Expression:
    """Return the sympy object (or tuple, list, set, bool, str) that ``text`` stands for, as ``sympy.parse_expr`` would.

    Raises:
        Exception: of many kinds (``SyntaxError``, ``TypeError``, ``UnreadableExpressionError``); all mean "no reading".
    """
    from sympy.parsing.sympy_parser import standard_transformations

    return _read(text, standard_transformations)


def read_power_expression(text: str) -> Expression:
    """Like :func:`read_expression`, but as ``sympify`` reads strings: ``^`` is a power."""
    from sympy.parsing.sympy_parser import convert_xor, standard_transformations

    return _read(text, (*standard_transformations, convert_xor))


def read_rational_expression(text: str) -> Expression:
    """Like :func:`read_expression`, but as ``sympy.N`` reads strings: ``^`` is a power and decimals are exact."""
    from sympy.parsing.sympy_parser import convert_xor, rationalize, standard_transformations

    return _read(text, (*standard_transformations, rationalize, convert_xor))


def _read(text: str, transformations: tuple[Callable[..., Expression], ...]) -> Expression:
    from sympy.parsing.sympy_parser import stringify_expr

    if text[:1] in QUOTES and isinstance(quoted := ast.literal_eval(text), str):
        return quoted
    # Quoted text inside an expression would reach sympy's functions, which evaluate it as Python.
    if any(mark in text for mark in (*QUOTES, "__")):
        raise UnreadableExpressionError(text)
    source = stringify_expr(text, {}, dict(_names()), transformations)
    return _value(ast.parse(source.strip(), mode="eval").body)


@lru_cache(maxsize=1)
def _names() -> dict[str, Expression]:
    """Return what a name in an expression may mean: sympy's mathematical classes and constants, and some functions."""
    import sympy

    names: dict[str, Expression] = {
        name: value
        for name, value in vars(sympy).items()
        if isinstance(value, sympy.Basic) or (isinstance(value, type) and issubclass(value, sympy.Basic))
    }
    names |= {name: getattr(sympy, name) for name in _FUNCTION_NAMES.split()}
    return names | {function.__name__: function for function in _BUILTINS} | {"max": sympy.Max, "min": sympy.Min}


def _value(node: ast.expr) -> Expression:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return _lookup(name)
        case ast.BinOp(left=left, op=sign, right=right):
            return _BINARY[type(sign)](_value(left), _value(right))
        case ast.UnaryOp(op=sign, operand=operand):
            return _UNARY[type(sign)](_value(operand))
        case ast.BoolOp(op=sign, values=operands):
            return _logic(isinstance(sign, ast.And), operands)
        case ast.Compare():
            return _comparison(node)
        case ast.Call(func=function, args=arguments, keywords=[]):
            return _called(_value(function), [_value(argument) for argument in arguments])
        case ast.Tuple(elts=items):
            return tuple(map(_value, items))
        case ast.List(elts=items):
            return list(map(_value, items))
        case ast.Set(elts=items):
            return set(map(_value, items))
    raise UnreadableExpressionError(ast.dump(node))


def _called(function: Expression, arguments: list[Expression]) -> Expression:
    name = getattr(function, "__name__", "")
    if name == "pow" and len(arguments) == 2:
        return checked_power(*arguments)
    if name in ("factorial", "factorial2", "subfactorial", "gamma", "binomial", "exp"):
        check_argument(name, arguments)
    return function(*arguments)


def _lookup(name: str) -> Expression:
    if name not in _names():
        raise UnreadableExpressionError(name)
    return _names()[name]


def _logic(is_and: bool, operands: list[ast.expr]) -> Expression:
    """Evaluate ``and``/``or`` as Python does: the operand that settled it."""
    value: Expression = None
    for operand in operands:
        value = _value(operand)
        if bool(value) is not is_and:
            break
    return value


def _comparison(node: ast.Compare) -> Expression:
    values = [_value(node.left), *map(_value, node.comparators)]
    result: Expression = True
    for sign, left, right in zip(node.ops, values, values[1:], strict=False):
        result = _COMPARE[type(sign)](left, right)
        if not result:
            break
    return result
