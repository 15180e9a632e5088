"""Answers in words: names, yes and no, clock times, ratios, option letters."""

from __future__ import annotations

import re
from fractions import Fraction

from rho1bench.grading.strict.quantity import FUNCTIONS

_SHORT_WORD_LIST = "yes no on up am pm due the one two six ten odd even red mon tue wed thu fri sat sun"
_SHORT_WORDS = frozenset(_SHORT_WORD_LIST.split())
_ARTICLES = frozenset(("a", "an", "the"))
_NUMBER_WORD_LIST = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_NUMBER_WORDS = _NUMBER_WORD_LIST.split()
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(?:([ap])\.?\s?m?\.?)?", re.IGNORECASE)
_RATIO = re.compile(r"(\d{1,40})\s*(?::|\\colon|to)\s*(\d{1,40})")


def is_text(text: str) -> bool:
    """Return whether a tidy answer is language: a word of four letters that is no function, or a known short word."""
    words = re.findall(r"(?<![\\A-Za-z])[A-Za-z]+", re.sub(r"\\(?:begin|end)\{\w+\}", "", text))
    return any((len(word) > 3 and word.lower() not in FUNCTIONS) or word.lower() in _SHORT_WORDS for word in words)


def same_text(left: str, right: str) -> bool:
    """Compare word by word without case, punctuation and articles; small numbers may be words."""
    return _words(left) == _words(right)


def _words(text: str) -> list[str]:
    words = re.findall(r"[^\W_]+(?:\.\d+)?", text.lower().replace("'", "").replace("p.m", "pm").replace("a.m", "am"))
    named = [str(_NUMBER_WORDS.index(word)) if word in _NUMBER_WORDS else word for word in words]
    return [word for word in named if word not in _ARTICLES] or named


def option_letter(text: str) -> str | None:
    """Return the letter of ``(C)``, ``C)`` or ``C``; None for anything else."""
    match = re.fullmatch(r"\(?\s*([A-J])\s*\)?", text)
    return match.group(1) if match else None


def clock_time(text: str) -> tuple[tuple[int, int, int], str] | None:
    """Read ``3:15 P.M.`` as (hour, minute, second) and half of day (``""`` where unsaid); None for anything else."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None or int(match.group(1)) > 23 or int(match.group(2)) > 59:
        return None
    hour, minute, second, half = match.groups()
    return (int(hour), int(minute), int(second or 0)), (half or "").lower()


def same_ratio(left: str, right: str) -> bool | None:
    """Compare two ratios such as ``3:4``; None unless both are."""
    ratios = [_RATIO.fullmatch(text) for text in (left, right)]
    if ratios[0] is None or ratios[1] is None:
        return None
    (left_top, left_bottom), (right_top, right_bottom) = (map(int, ratio.groups()) for ratio in ratios if ratio)
    if not left_bottom or not right_bottom:
        return (left_top, left_bottom) == (right_top, right_bottom)
    return Fraction(left_top, left_bottom) == Fraction(right_top, right_bottom)
