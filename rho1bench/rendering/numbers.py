"""How numbers are written for people, the same on the console, in Markdown and in HTML."""

from __future__ import annotations

from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
SIGNIFICANT = 0.05


def percent(score: float | None, digits: int = 1) -> str:
    """Write a score of 0 to 1 in percent, without the sign: ``0.5417`` -> ``54.2``."""
    return NONE if score is None else f"{100.0 * score:.{digits}f}"


def points(difference: float | None, digits: int = 1) -> str:
    """Write a difference of scores in percentage points, always signed: ``+3.1``, ``−0.4``, ``0.0``."""
    return NONE if difference is None else signed(100.0 * difference, digits)


def bits(value: float | None) -> str:
    """Write bits per byte: ``0.8731``."""
    return NONE if value is None else f"{value:.4f}"


def signed(value: float, digits: int) -> str:
    """Write a number with its sign; what rounds to zero has none."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0.0:
        return text
    return f"{'+' if value > 0 else MINUS}{text}"


def interval(bounds: Sequence[float] | None, digits: int = 1) -> str:
    """Write an interval of differences in points: ``+1.0 to +5.2``."""
    return NONE if bounds is None else f"{points(bounds[0], digits)} to {points(bounds[1], digits)}"


def p_value(p: float | None) -> str:
    """Write a p-value: three decimals, more for small ones, never ``0``: ``0.041``, ``0.0006``, ``<0.0001``."""
    if p is None:
        return NONE
    if p < 0.0001:
        return "<0.0001"
    return f"{p:.4f}" if p < 0.001 else f"{p:.3f}"


def p_clause(p: float | None) -> str:
    """Write ``p = 0.041`` or ``p < 0.0001``."""
    text = p_value(p)
    return f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def count(value: int | float | None) -> str:
    """Write a whole number with thousands separators."""
    return NONE if value is None else f"{value:,.0f}"


def short_count(value: float) -> str:
    """Write a large number briefly: ``950``, ``12k``, ``2.4M``, ``15B``."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def flops(value: float | None) -> str:
    """Write a number of operations: ``0``, ``3.12e12``."""
    if value is None:
        return NONE
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{float(digits):g}e{int(power)}" if value else "0"


def seconds(value: float | None) -> str:
    """Write a duration: ``0.4 s``, ``48 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if value is None:
        return NONE
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def label_name(label: str) -> str:
    """Write a checkpoint's label as text: the methods' names in capitals, ``slm-sft@000100`` -> ``SLM-SFT @ 100``."""
    stage, _, step = label.partition("@")
    words = stage.replace("_", "-").split("-")
    name = "-".join(word.upper() if word in ("slm", "clm", "sft") else word for word in words)
    return f"{name} @ {int(step) if step.isdigit() else step}" if step else name
