r"""Relations as what they stand for: an inequality in one variable is its set of solutions, an equation its zeros.

``x<-2`` or ``x>2`` is ``(-\infty,-2)\cup(2,\infty)``, ``|x|<3`` is ``(-3,3)``, and ``x=2y`` is ``y=\frac{x}{2}``. Runs
in the grading worker; expressions are read by the function handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rho1bench.grading.magnitude import Expression
from rho1bench.grading.strict.exact import same_expression, same_number
from rho1bench.grading.strict.structures import both_signs, encloses, is_name, split_outside

Read = Callable[[str], Expression | None]
_SIGNS = re.compile(r"(\\le(?![A-Za-z])|\\ge(?![A-Za-z])|\\ne(?![A-Za-z])|<|>|=)")
_BUILDER = re.compile(
    r"\\lbrace\s*([A-Za-z](?:\s*\\in\s*\\mathbb\{R\})?)\s*(?:\\mid(?![A-Za-z])|:|\|)\s*(.*?)\s*\\rbrace", re.DOTALL
)
_NUMBER_SETS = {r"\mathbb{R}": "Reals", r"\mathbb{Z}": "Integers", r"\mathbb{N}": "Naturals", r"\emptyset": "EmptySet"}
_MAX_LETTERS = 6


def same_solutions(left: str, right: str, read: Read) -> bool | None:
    """Compare two tidy answers as sets of real numbers, or two inequalities as such; None where they are neither."""
    one, other = _solutions(left, read), _solutions(right, read)
    if one is not None and other is not None:
        return _same_variable(left, right) and _same_set(one, other)
    return _same_inequality(left, right, read)


def _same_variable(left: str, right: str) -> bool:
    names = [_variable(text) for text in (left, right)]
    return "" in names or names[0] == names[1]


def _variable(text: str) -> str:
    """Return the letter that an inequality, or a membership, is about; ``""`` where it is a plain set."""
    if _BUILDER.fullmatch(text) is not None:
        return ""
    if not (_SIGNS.search(text) or r"\in " in text):
        return ""
    letters = re.findall(r"(?<![\\A-Za-z])[A-Za-z](?![A-Za-z])|\\(?:theta|alpha|beta|lambda|mu)(?![A-Za-z])", text)
    return next((letter for letter in letters if letter not in "ei"), "")


def _solutions(text: str, read: Read) -> Expression | None:
    """Return the set of real numbers that a tidy text stands for, None if it is no such set."""
    import sympy

    text = text.strip()
    if (name := _NUMBER_SETS.get(text)) is not None:
        return getattr(sympy.S, name)
    if builder := _BUILDER.fullmatch(text):
        return _solutions(builder.group(2), read)
    head, member, tail = text.partition(r"\in ")
    if member and is_name(head.strip()) and not _SIGNS.search(tail):
        return _solutions(tail, read)
    for words, join in (((" or ", r"\cup"), sympy.Union), ((" and ", r"\cap"), sympy.Intersection)):
        parts = split_outside(text, words)
        if len(parts) > 1:
            sets = [_solutions(part, read) for part in parts]
            return None if None in sets else join(*sets)
    minus = split_outside(text, (r"\setminus",))
    if len(minus) == 2:
        whole, less = (_solutions(part, read) for part in minus)
        return None if whole is None or less is None else sympy.Complement(whole, less)
    if (interval := _interval(text, read)) is not None:
        return interval
    return _finite(text, read) if text.startswith(r"\lbrace") else _relations(text, read)


def _interval(text: str, read: Read) -> Expression | None:
    from sympy import Interval

    ends = split_outside(text[1:-1], (",",)) if encloses(text) else []
    if len(ends) != 2:
        return None
    values = [read(end) for end in ends]
    if any(value is None or not getattr(value, "is_extended_real", False) for value in values):
        return None
    return Interval(values[0], values[1], text[0] == "(", text[-1] == ")")


def _finite(text: str, read: Read) -> Expression | None:
    from sympy import FiniteSet

    items = split_outside(text.removeprefix(r"\lbrace").removesuffix(r"\rbrace"), (",", ";"))
    values = [read(item) for item in items]
    return None if any(value is None or not _is_real(value) for value in values) else FiniteSet(*values)


def _is_real(value: Expression) -> bool:
    return bool(getattr(value, "is_number", False) and getattr(value, "is_real", False))


def _relations(text: str, read: Read) -> Expression | None:
    """Return the solutions of a chain (``1<x\\le 2``) or a list (``x\\ne 1, 2``) of relations in one variable."""
    from sympy import Intersection, Union

    parts = split_outside(text, (",", ";"))
    if excluded := re.match(r".*\\ne(?![A-Za-z])", parts[0]):
        parts = [part if _SIGNS.search(part) else f"{excluded.group()} {part}" for part in parts]
        parts = [sign for part in parts for sign in both_signs(part)]
    sets = [_chain(part, read) if len(parts) == 1 else _solutions(part, read) for part in parts]
    if any(found is None for found in sets):
        return None
    both = Intersection(*sets)
    return both if len(sets) == 1 or not both.is_empty else Union(*sets)


def _chain(text: str, read: Read) -> Expression | None:
    from sympy import Intersection

    pieces = _SIGNS.split(text)
    if len(pieces) < 3:
        return None
    values = [read(piece.strip()) for piece in pieces[::2]]
    letters = {letter for value in values if value is not None for letter in getattr(value, "free_symbols", ())}
    if any(value is None or _is_no_expression(value) for value in values) or len(letters) != 1:
        return None
    letter = letters.pop()
    steps = zip(pieces[1::2], values, values[1:], strict=False)
    sets = [_solved(sign, one, other, letter) for sign, one, other in steps]
    return None if any(found is None for found in sets) else Intersection(*sets)


def _solved(sign: str, left: Expression, right: Expression, letter: Expression) -> Expression | None:
    import sympy

    relation = {"<": sympy.Lt, ">": sympy.Gt, r"\le": sympy.Le, r"\ge": sympy.Ge, r"\ne": sympy.Ne, "=": sympy.Eq}[sign]
    x = sympy.Symbol("x", real=True)
    statement = relation(left.xreplace({letter: x}), right.xreplace({letter: x}))
    if statement in (sympy.true, sympy.false):
        return None
    if (linear := _linear_solutions(sign, statement.lhs - statement.rhs, x)) is not None:
        return linear
    try:
        if sign in ("=", r"\ne"):
            zeros = sympy.solveset(left.xreplace({letter: x}) - right.xreplace({letter: x}), x, sympy.S.Reals)
            return zeros if sign == "=" else sympy.Complement(sympy.S.Reals, zeros)
        return sympy.solve_univariate_inequality(statement, x, relational=False)
    except (NotImplementedError, TypeError, ValueError):
        return None


def _linear_solutions(sign: str, difference: Expression, x: Expression) -> Expression | None:
    """Solve a linear relation by hand, which is many times faster; None where it is not linear."""
    from sympy import Complement, FiniteSet, Interval, S, oo

    slope = difference.diff(x)
    if not slope.is_number or not (slope.is_positive or slope.is_negative):
        return None
    end = (slope * x - difference).expand() / slope
    if sign in ("=", r"\ne"):
        return FiniteSet(end) if sign == "=" else Complement(S.Reals, FiniteSet(end))
    is_open = sign in "<>"
    below = (sign in ("<", r"\le")) == bool(slope.is_positive)
    return Interval(-oo, end, True, is_open) if below else Interval(end, oo, is_open, True)


def _same_set(left: Expression, right: Expression) -> bool:
    if left == right:
        return True
    one, other = _pieces(left), _pieces(right)
    if one is None or other is None:
        return bool(left.symmetric_difference(right).is_empty)
    return len(one) == len(other) and all(_same_piece(*pair) for pair in zip(one, other, strict=True))


_Piece = tuple[Expression, Expression, bool, bool]


def _pieces(whole: Expression) -> list[_Piece] | None:
    """Return the intervals (and points, as intervals of one) of a set in order, None if it has other parts."""
    from sympy import FiniteSet, Interval, Union

    pieces: list[_Piece] = []
    for part in whole.args if isinstance(whole, Union) else (whole,):
        if isinstance(part, Interval):
            pieces.append((part.start, part.end, bool(part.left_open), bool(part.right_open)))
        elif isinstance(part, FiniteSet):
            pieces += [(point, point, False, False) for point in part.args]
        else:
            return None
    return sorted(pieces, key=lambda piece: float(piece[0]))


def _same_piece(left: _Piece, right: _Piece) -> bool:
    return left[2:] == right[2:] and same_number(left[0], right[0]) and same_number(left[1], right[1])


def _same_inequality(left: str, right: str, read: Read) -> bool | None:
    """Compare two inequalities in several variables: one is the other times a number, turned where that is negative."""
    one, other = _difference(left, read), _difference(right, read)
    if one is None or other is None:
        return None
    factor = _constant_ratio(one[1], other[1])
    if factor is None:
        return False
    turned = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}.get(other[0], other[0])
    return one[0] == (other[0] if factor.is_positive else turned)


def _difference(text: str, read: Read) -> tuple[str, Expression] | None:
    pieces = _SIGNS.split(text)
    if len(pieces) != 3:
        return None
    left, right = read(pieces[0].strip()), read(pieces[2].strip())
    if left is None or right is None or any(_is_no_expression(side) for side in (left, right)):
        return None
    return pieces[1], left - right


def _is_no_expression(side: Expression) -> bool:
    from sympy import Expr

    return not isinstance(side, Expr) or hasattr(side, "shape")


def same_equation(left: str, right: str, read: Read) -> bool:
    """Return whether two equations have the same zeros because one is a multiple of the other: ``x=2y``, ``y=x/2``."""
    one, other = _difference(left, read), _difference(right, read)
    if one is None or other is None:
        return False
    if _constant_ratio(one[1], other[1]) is not None:
        return True
    from sympy import fraction, together

    return _constant_ratio(*(fraction(together(side[1]))[0] for side in (one, other))) is not None


def _constant_ratio(left: Expression, right: Expression) -> Expression | None:
    """Return the number that ``left`` is times ``right``; None if there is none but zero."""
    from sympy import Integer

    symbols: Sequence[Expression] = sorted(left.free_symbols | right.free_symbols, key=str)
    if not symbols or len(symbols) > _MAX_LETTERS or left.free_symbols != right.free_symbols:
        return None
    for start in (2, 5):
        point = {symbol: Integer(start + 3 * place) for place, symbol in enumerate(symbols)}
        one, other = left.subs(point), right.subs(point)
        if one.is_zero is False and other.is_zero is False and one.is_finite and other.is_finite:
            factor = one / other
            return factor if same_expression(left, factor * right) else None
    return None
