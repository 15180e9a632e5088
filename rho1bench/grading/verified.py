"""The strict verdict: is the answer the gold answer, mathematically and as a text? (Replaced by the full rules soon.)"""

from __future__ import annotations


def quick_verify(pred: str, gold: str, task: str) -> bool | None:
    """Return the strict answer where strings settle it, else None."""
    return True if pred.strip() == gold.strip() else None


def verify(pred: str, gold: str, task: str) -> bool:
    """Return whether ``pred`` is the gold answer."""
    from math_verify import parse
    from math_verify import verify as math_verify

    gold_parsed = parse(f"${gold}$", parsing_timeout=None)
    return bool(math_verify(gold_parsed, parse(f"${pred}$", parsing_timeout=None), timeout_seconds=None))
