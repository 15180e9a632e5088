"""What structure and exact numbers leave open: equality of expressions, relations and sets, by math-verify and sympy.

Runs only in the grading worker, whose kernel limits replace math-verify's own timers. Both directions must agree, so
that the verdict does not depend on which side is the gold answer.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache

from rho1bench.grading.magnitude import Expression, check_size
from rho1bench.grading.strict.quantity import read_quantity, stands_for

DECIMALS = 6
PRECISION = 15
NUMERIC_NOISE = 1e-6


def same_by_algebra(left: str, right: str) -> bool:
    """Return whether two tidy answers are equal as mathematics; an unreadable answer equals nothing."""
    from math_verify import verify

    left_read, right_read = _read(left), _read(right)
    if left_read is None or right_read is None:
        return False
    if (decided := _decimal_against_exact(left, right, left_read, right_read)) is not None:
        return decided
    options: dict[str, object] = {
        "float_rounding": DECIMALS,
        "numeric_precision": PRECISION,
        "strict": True,
        "allow_set_relation_comp": True,
        "timeout_seconds": None,
    }
    agree = verify(left_read, right_read, **options) and verify(right_read, left_read, **options)
    return bool(agree) and _same_magnitude(left_read, right_read)


@lru_cache(maxsize=512)
def _read(text: str) -> Expression:
    """Read one tidy answer; None where math-verify finds no expression."""
    from math_verify import LatexExtractionConfig, parse

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    # math-verify reads 1000(26) as a mixed number, 1000 + 26, and not every product of brackets as one.
    latex = re.sub(r"(?<=[\d)])\s*(?=\()", r"\\cdot ", text)
    latex = latex.replace(r"\lbrace", r"\{").replace(r"\rbrace", r"\}").replace(r"\cr ", r"\\ ")
    found = parse(f"${latex}$", [LatexExtractionConfig()], fallback_mode="no_fallback", parsing_timeout=None)
    return check_size(next((item for item in found if not isinstance(item, str)), None))


def _decimal_against_exact(left: str, right: str, left_read: Expression, right_read: Expression) -> bool | None:
    """Compare a written decimal with an irrational constant: it must be the constant, cut or rounded, to six digits."""
    from fractions import Fraction

    for text, other in ((left, right_read), (right, left_read)):
        quantity = read_quantity(text)
        if quantity is None or quantity.digits is None:
            continue
        if not getattr(other, "is_number", False) or getattr(other, "is_rational", True):
            continue
        value = other.evalf(40)
        if value.is_real is not True:
            return False
        return stands_for(quantity, Fraction(str(value)))
    return None


def _same_magnitude(left: Expression, right: Expression) -> bool:
    """Guard against rounding to a number of decimals: tiny numbers are not all alike."""
    if not (getattr(left, "is_number", False) and getattr(right, "is_number", False)):
        return True
    one, other = complex(left.evalf(PRECISION)), complex(right.evalf(PRECISION))
    return one == other or abs(one - other) <= NUMERIC_NOISE * max(abs(one), abs(other))
