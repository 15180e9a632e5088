"""Answers in words: names, yes and no, clock times, ratios, option letters, phrases that stand for a symbol."""

from __future__ import annotations

import calendar
import re
from fractions import Fraction

from rho1bench.grading.strict.normal_form import FUNCTIONS

_SHORT_WORD_LIST = (
    "yes no on up am pm due the one two six ten odd even red mon tue wed thu fri sat sun dr mr ms mrs dne"
)
_SHORT_WORDS = frozenset(_SHORT_WORD_LIST.split())
_ARTICLES = frozenset(("a", "an", "the"))
_NUMBER_WORD_LIST = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_NUMBER_WORDS = _NUMBER_WORD_LIST.split()
_CLOCK = re.compile(
    r"(?:at )?(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(?:(?:([ap])\.?\s?m?\b\.?|o'?\s?clock\b)(?: (?:on|in|at) [A-Za-z ]+)?)?",
    re.IGNORECASE,
)
_FULL_HOUR = re.compile(r"(?:at )?(\d{1,2})\s*(?:([ap])\.?\s?m\b\.?|o'?\s?clock)", re.IGNORECASE)
_NAMED_HOUR = re.compile(r"(?:at )?(?:12(?::00)? )?(noon|midnight)", re.IGNORECASE)
_DATE = re.compile(
    r"(?:(?:the )?(?P<day>\d{1,2})(?:st|nd|rd|th)?(?: of)? (?P<month>[A-Za-z]{3,9})\.?"
    r"|(?P<month_first>[A-Za-z]{3,9})\.? (?:the )?(?P<day_behind>\d{1,2})(?:st|nd|rd|th)?)(?:,? ?(?P<year>\d{4}))?"
)
_MONTHS = [name.lower() for name in calendar.month_name]
_RATIO = re.compile(r"\d{1,40}(?:\s*(?::|\\colon|to)\s*\d{1,40})+")
_PHRASES = {
    r"\emptyset": "no solution|no solutions|there is no solution|there are no solutions|the empty set|empty set",
    r"\infty": "infinitely many|infinite|infinitely many solutions|there are infinitely many solutions",
    r"\mathbb{R}": "all real numbers|all reals|the real numbers|the set of all real numbers|real numbers",
    "dne": "does not exist|the limit does not exist|dne",
}
_SYMBOL_OF = {phrase: symbol for symbol, phrases in _PHRASES.items() for phrase in phrases.split("|")}


def is_text(text: str) -> bool:
    """Return whether a tidy answer is language: a word of four letters that is no function, or a known short word."""
    words = re.findall(r"(?<![\\A-Za-z])[A-Za-z]+", re.sub(r"\\(?:begin|end|mathbb)\{\w+\}", "", text))
    return any((len(word) > 3 and word.lower() not in FUNCTIONS) or word.lower() in _SHORT_WORDS for word in words)


def is_word_of_capitals(text: str) -> bool:
    """Return whether a text is several capitals: an arrangement, a Roman numeral, a point's or a figure's name."""
    return re.fullmatch(r"[A-Z]{2,}", text) is not None


def symbol_of(text: str) -> str:
    r"""Return the symbol that a phrase stands for (``no solution``: ``\emptyset``), other texts as they are."""
    if exception := re.fullmatch(
        r"(?:x\s*\\in\s*)?all real (?:numbers|values)(?: of [a-z])? except (?:[a-z] ?= ?)?(.+)", text
    ):
        return rf"\mathbb{{R}}\setminus \lbrace {exception.group(1).replace(' and ', ', ')}\rbrace"
    return _SYMBOL_OF.get(text.lower(), text)


def same_text(left: str, right: str) -> bool:
    """Compare word by word without case, punctuation and articles; small numbers may be words."""
    return _words(left) == _words(right)


def _words(text: str) -> list[str]:
    text = _without_letter_a(text)
    words = re.findall(r"[^\W_]+(?:\.\d+)?", text.lower().replace("'", "").replace("p.m", "pm").replace("a.m", "am"))
    words = [re.sub(r"^(\d+)(?:st|nd|rd|th)$", r"\1", word) for word in words]
    named = [str(_NUMBER_WORDS.index(word)) if word in _NUMBER_WORDS else word for word in words]
    return [word for word in named if word not in _ARTICLES] or named


def _without_letter_a(text: str) -> str:
    """Protect a capital A that is a name (``Plan A``) from being taken for an article."""
    return re.sub(r"(?<=\w )A\b|\bA(?= (?:and|or)\b)|\bA$", "letter-a", text)


def option(text: str) -> tuple[str, str] | None:
    """Read ``(C)``, ``C)``, ``C`` or ``(C) 12`` as a letter and its text (or ``""``); None for anything else."""
    match = re.fullmatch(r"\(?\s*([A-J])\s*(?:\)(?:\s+(\S.*))?)?", text)
    return (match.group(1), match.group(2) or "") if match else None


def clock_time(text: str) -> tuple[tuple[int, int, int], str] | None:
    """Read ``3:15 P.M.`` as (hour, minute, second) and half of day (``""`` where unsaid); None for anything else."""
    text = text.strip()
    if match := _NAMED_HOUR.fullmatch(text):
        return (12, 0, 0), "p" if match.group(1).lower() == "noon" else "a"
    if match := _FULL_HOUR.fullmatch(text):
        hour, minute, second, half = match.group(1), "0", "0", match.group(2)
    elif match := _CLOCK.fullmatch(text):
        hour, minute, second, half = match.groups()
    else:
        return None
    if int(hour) > 23 or int(minute) > 59:
        return None
    if int(hour) > 12:
        return (int(hour) - 12, int(minute), int(second or 0)), "p"
    return (int(hour), int(minute), int(second or 0)), (half or "").lower()


def date(text: str) -> tuple[str, int, str] | None:
    """Read ``July 4th, 1776`` or ``4 July`` as (month, day, year or ``""``); None for anything else."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    word = (match["month"] or match["month_first"]).lower()
    month = next((name for name in _MONTHS[1:] if word in (name, name[:3], name[:4])), None)
    return (month, int(match["day"] or match["day_behind"]), match["year"] or "") if month else None


def same_ratio(left: str, right: str) -> bool | None:
    """Compare two ratios such as ``3:4`` or ``1:2:3``; None unless both are."""
    if not (_RATIO.fullmatch(left) and _RATIO.fullmatch(right)):
        return None
    terms, others = ([int(term) for term in re.findall(r"\d+", text)] for text in (left, right))
    if len(terms) != len(others) or not all(terms[1:] + others[1:]) or not (terms[0] and others[0]):
        return terms == others
    return len({Fraction(term, other) for term, other in zip(terms, others, strict=True)}) == 1
