"""Labels of plain values on an axis of a matrix: parts of a stage's name (``lr2e-3``, ``ratio0p6``, ``seed0``)."""

from __future__ import annotations

import re
from decimal import Decimal

ABBREVIATIONS = {
    "batch_size": "batch",
    "learning_rate": "lr",
    "max_steps": "steps",
    "noise_share": "noise",
    "num_documents": "docs",
    "vocab_size": "vocab",
    "warmup_steps": "warmup",
    "weight_decay": "wd",
}
"""Last part of an axis' name, and what its labels begin with; others begin with the word itself."""


def label_of(axis: str, value: object) -> str | None:
    """Return the label of a plain value; None for a mapping or a list, which need one given.

    Numbers stand after the last word of the axis with ``p`` for the point (``ratio0p6``), small and large ones with an
    exponent (``lr2e-3``). A text is its own label.
    """
    word = axis.rpartition(".")[2]
    word = ABBREVIATIONS.get(word, word)
    if isinstance(value, str):
        return re.sub(r"[^a-z0-9_-]+", "-", value.lower()).strip("-_") or None
    if value is None:
        return f"{word}-none"
    if isinstance(value, bool):
        return f"{word}-{'on' if value else 'off'}"
    if isinstance(value, int):
        return f"{word}{value}".replace("-", "m")
    return f"{word}{_of_float(value)}" if isinstance(value, float) else None


def _of_float(value: float) -> str:
    """Write a number with all its digits: 0.6 as ``0p6``, 0.0015 as ``1p5e-3``."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    if not isinstance(exponent, int):  # not a number, which the stage itself will refuse
        return repr(value)
    power = len(digits) + exponent - 1
    if value == 0 or -2 < power < 6:
        written = format(Decimal((0, digits, exponent)), "f")
    else:
        text = "".join(map(str, digits))
        written = f"{text[0]}.{text[1:]}".rstrip(".") + f"e{power}"
    return ("m" if sign else "") + written.replace(".", "p")
