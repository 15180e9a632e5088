r"""Equality by the paper's protocol (paper section 3.2, appendix E): does a prediction count as the gold answer?

Both strings are in the paper's normal form. Rules are asked in turn; each says yes, no, or nothing. Only the last one
needs computer algebra, which is handed in as a function: with :func:`rho1bench.grading.paper.symbolic.same_value` the
answer is complete, with :func:`_refuse` it is instant and may be "undecided": quick and slow path cannot disagree.

The protocol is generous in known ways: a value 100 times too large or small counts as equal. ``verified`` is stricter.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable

from rho1bench.grading.numeric import clearly_different

RELATIVE_TOLERANCE = 1e-4
SymbolicEquality = Callable[[str, str], bool]
Rule = Callable[[str, str, SymbolicEquality], bool | None]

_BRACKETED = re.compile(r"[(\[].+[)\]]")
_CURLY_LIST = re.compile(r"\{.*,.*\}")
_MATRIX = re.compile(r"\\begin\{[pb]matrix\}(.*)\\end\{[pb]matrix\}", re.DOTALL)

_FACTOR = r"(?:(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9])|0|[1-9][0-9]{0,300})(?:\.[0-9]{1,300})?(?![0-9.,eE])|[A-Za-z])"
_RATIO = re.compile(rf"-?{_FACTOR}+(?::{_FACTOR}+)?")
_MAX_PRODUCT = 2000
_UNREADABLE = re.compile(r"\\begin\{pmatrix\}-?(?:\d+(?:/\d+)?|\\frac\{-?\d+\}\{\d+\})(?:&|\\\\\d)", re.ASCII)
"""A matrix whose first separator no reader of the protocol knows: it equals itself, or another one entry by entry."""
_OPTIONS = frozenset("ABCDE")


class _NeedsAlgebraError(Exception):
    """The rules that only look at strings and numbers do not settle this pair."""


def quick_equal(pred: str, gold: str) -> bool | None:
    """Return the protocol's answer where strings and numbers settle it, else None; never slow, never raises."""
    try:
        return equal(pred, gold, _refuse)
    except (_NeedsAlgebraError, RecursionError):
        return None


def equal(pred: str, gold: str, symbolic: SymbolicEquality) -> bool:
    """Return whether ``pred`` counts as ``gold``; ``symbolic`` is asked about pairs that only algebra can settle."""
    for rule in _RULES:
        decision = rule(pred, gold, symbolic)
        if decision is not None:
            return decision
    pred, gold = pred.strip(), _gold_like(pred, gold.strip())
    if any(rule(pred, gold, symbolic) for rule in _STRUCTURE_RULES):
        return True
    return _settled(pred, gold, symbolic)


def close(left: float, right: float) -> bool:
    """Return whether two numbers agree within the protocol's relative tolerance."""
    return math.isclose(left, right, rel_tol=RELATIVE_TOLERANCE)


def as_number(text: str) -> float | None:
    r"""Read a plain number, thousands separators and a closing percent sign included; None if it is not one."""
    text = text.replace(",", "")
    number = _float(text)
    if number is None and text.endswith("%"):
        share = _float(text[:-1].removesuffix("\\"))
        number = None if share is None else share / 100
    return number


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _refuse(pred: str, gold: str) -> bool:
    raise _NeedsAlgebraError


def _identical(pred: str, gold: str, _: SymbolicEquality) -> bool | None:
    return True if pred == gold else None


def _numbers(pred: str, gold: str, _: SymbolicEquality) -> bool | None:
    value, target = as_number(pred), as_number(gold)
    if value is None or target is None:
        return None
    return any(close(value, scaled) for scaled in (target / 100, target, target * 100))


def _nothing(pred: str, gold: str, _: SymbolicEquality) -> bool | None:
    return None if pred else False


def _options(pred: str, gold: str, _: SymbolicEquality) -> bool | None:
    """Two option letters are two symbols: algebra would take long to find them different."""
    return pred == gold if pred in _OPTIONS and gold in _OPTIONS else None


_RULES: tuple[Rule, ...] = (_identical, _numbers, _nothing, _options)


def _gold_like(pred: str, gold: str) -> str:
    """Rewrite a gold answer of curly lists as matrices when the prediction is a matrix and the gold answer is not."""
    if "pmatrix" not in pred or "pmatrix" in gold:
        return gold
    rows = (found.strip("{}").replace(",", "\\") for found in _CURLY_LIST.findall(gold))
    return ", ".join(rf"\begin{{pmatrix}}{row}\end{{pmatrix}}" for row in rows)


def _same_letters(pred: str, gold: str, _: SymbolicEquality) -> bool:
    """Compare without brackets and case; square brackets count as brackets only if the gold answer's kind allows."""
    for opening, closing, other in ("[", "]", "("), ("(", ")", "["):
        if pred.startswith(opening) and pred.endswith(closing) and not gold.startswith(other):
            return _bare(pred.strip("[]()")) == _bare(gold.strip("[]()"))
    return _bare(pred) == _bare(gold)


def _bare(text: str) -> str:
    return re.sub(r"[{}()]", "", text).lower()


def _tuples(pred: str, gold: str, symbolic: SymbolicEquality) -> bool:
    if not (_BRACKETED.match(pred) and _BRACKETED.match(gold)):
        return False
    return _all_equal(pred[1:-1].split(","), gold[1:-1].split(","), symbolic)


def _matrices(pred: str, gold: str, symbolic: SymbolicEquality) -> bool:
    pred_match, gold_match = _MATRIX.fullmatch(pred), _MATRIX.fullmatch(gold)
    if not (pred_match and gold_match):
        return False
    pred_rows, gold_rows = _rows(pred_match.group(1)), _rows(gold_match.group(1))
    return len(pred_rows) == len(gold_rows) and all(
        _all_equal(pred_row, gold_row, symbolic) for pred_row, gold_row in zip(pred_rows, gold_rows, strict=True)
    )


def _rows(body: str) -> list[list[str]]:
    return [row.strip().split("&") for row in body.split(r"\\") if row.strip()]


def _all_equal(preds: list[str], golds: list[str], symbolic: SymbolicEquality) -> bool:
    return len(preds) == len(golds) and all(
        equal(pred, gold, symbolic) for pred, gold in zip(preds, golds, strict=True)
    )


def _settled(pred: str, gold: str, symbolic: SymbolicEquality) -> bool:
    """Ask the algebra, unless the two are clearly different to anyone."""
    return not _apart(pred, gold) and symbolic(pred, gold)


def _apart(pred: str, gold: str) -> bool:
    if pred != gold and (_UNREADABLE.match(pred) or _UNREADABLE.match(gold)):
        return True
    # A backslash written twice counts as one to the protocol's first reader.
    return _different_products(pred, gold) or clearly_different(pred.replace(r"\\", "\\"), gold.replace(r"\\", "\\"))


def _different_products(pred: str, gold: str) -> bool:
    """Tell words apart as algebra would, but at once: to it ``15thanks`` is a product of 15 and letters, no number."""
    one, other = _letters(pred), _letters(gold)
    return one is not None and other is not None and one != other


def _letters(text: str) -> dict[str, int] | None:
    """Return the powers of the letters in a product of letters and numbers, or in a ratio of two such products.

    A number has no letters; None stands for zero and for all other texts.
    """
    if len(text) > _MAX_PRODUCT or not _RATIO.fullmatch(text):
        return None
    if any(float(number.replace(",", "")) == 0 for number in re.split(r"[-:A-Za-z]+", text) if number):
        return None
    above, *below = (Counter(re.sub(r"[^A-Za-z]", "", part)) for part in text.split(":"))
    for part in below:
        above.subtract(part)
    return {letter: power for letter, power in above.items() if power}


def _equations(pred: str, gold: str, symbolic: SymbolicEquality) -> bool:
    """Compare two equations by the difference of their sides, or a named value (``k=7``) with a bare one."""
    (pred_left, pred_sign, pred_right), (gold_left, gold_sign, gold_right) = pred.partition("="), gold.partition("=")
    pred_is, gold_is = pred.count("=") == 1, gold.count("=") == 1
    if pred_is and gold_is:
        pred_zero = f"{pred_left.strip()} - ({pred_right.strip()})"
        gold_zero = f"{gold_left.strip()} - ({gold_right.strip()})"
        return _settled(pred_zero, gold_zero, symbolic) or _settled(f"-({pred_zero})", gold_zero, symbolic)
    if pred_is and not gold_sign and len(pred_left.strip()) <= 2:
        return equal(pred_right, gold, symbolic)
    if gold_is and not pred_sign and len(gold_left.strip()) <= 2:
        return equal(pred, gold_right, symbolic)
    return False


_STRUCTURE_RULES: tuple[Callable[[str, str, SymbolicEquality], bool], ...] = (
    _same_letters,
    _tuples,
    _matrices,
    _equations,
)
