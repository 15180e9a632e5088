r"""From "the answer is" to the end of the answer: what of a sentence states the value.

A formula or display maths is taken whole; words that lead to a value ("approximately", "equal to") and clauses behind it
("because ...", ", which ...") are not part of it; abbreviations and decimal points do not end a sentence.
"""

from __future__ import annotations

import re

WINDOW = 3000
"""Characters looked at behind the words that announce an answer; an answer is never near as long."""

_DISPLAY = re.compile(
    r"\s*(?:\$\$(?P<dollars>.+?)\$\$|\\\[(?P<brackets>.+?)\\\]|"
    r"\\begin\{(?P<kind>equation|align|gather|displaymath)(?P<star>\*?)\}(?P<body>.+?)\\end\{(?P=kind)(?P=star)\})",
    re.DOTALL,
)
_LEADING_MARKS = re.compile(r"(?:[\s:>*_]|~|\\\s|```[a-z]*\n|`|\n[-•*]\s|\n\(?\d{1,2}[.)]\s+(?=\S)|…|\.\.\.)*")
_LIST_ITEM = re.compile(r"\s*\n\s*(?:[-•*+]\s+|\(?\d{1,2}[.)]\s+)(?=\S)")
_CODE = re.compile(r"\s*```[a-z]*\s*\n(.*?)(?:```|\Z)", re.DOTALL)
_ABBREVIATIONS = frozenset(
    "dr mr mrs ms st vs approx no prof jr sr sq cu ft in cm mi oz lb lbs hr min sec e.g i.e etc".split()
)
_STOP = re.compile(r"[.!?](?=\s|$|[A-Z])|;|\n")
_LEAD_INS = re.compile(
    r"(?:(?:is|are|was|equals?|be|to|approximately|approx\.?|about|around|roughly|nearly|exactly|simply|just|precisely|"
    r"therefore|thus|hence|then|now|indeed|clearly|equal to|equivalent to|given by|found to be|either|both|only|"
    r"the value|the number|the expression|the fraction|the integer|the set|the interval|the point|the function|"
    r"the equation|of|that|it is|it's|there (?:are|is|were|was|will be)|we (?:get|have|find|obtain)|"
    r"(?:he|she|they|it|you) (?:has|have|had|gets?|got|needs?|needed|will have|earns?|paid|pays?|makes?|can)|as follows|"
    r"option|choice)(?![A-Za-z'])|=|:|≈|\\approx(?![A-Za-z])|,(?=\s))\s*"
)
_TRAILING_CLAUSE = re.compile(
    r",?\s+(?:because|since|as (?:the|it|we|this|there|required|desired|shown|stated|claimed)|which|so (?:the|that|we|it|he|she|they)|"
    r"where|when|whenever|if|while|but|thus|therefore|hence|meaning|that is|i\.e\.|given|assuming|after|before|by|using|from|"
    r"provided|according|rounded|in (?:total|all|simplest|this case|lowest|terms)|as (?:a|an) |due to|for (?:this|the|all|each|"
    r"every|any)|more (?:precisely|exactly)|or (?:about|approximately|roughly|equivalently)|on (?:Mon|Tues|Wednes|Thurs|Fri|"
    r"Satur|Sun)day|and (?:we|this|that|the|so|it|he|she)|not)\b.*"
    r"|,\s+(?:in|so|and|the|this|we|it|he|she|or|as|to|i)\s.*|\s+[—–]\s+.*|\s+\((?=[^()]*[A-Za-z]{3})[^()]*\)?\s*$",
    re.DOTALL,
)
_MATH = re.compile(r"\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_WORDS_IN_FORMULA = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{3,}(?![A-Za-z]*[}(])")
_VALUE = re.compile(r"[-−]?(?:\\?\$)?[-−]?\d[\d,]*(?:\.\d+)?(?:\s\d+/\d+|/\d+)?(?:\s?\\?%)?(?:[²³½¼¾]|\^\{?\d+\}?)?")
_CHANGES_THE_VALUE = re.compile(
    r"\b(?:not|no|times|half|twice|double|triple|third|quarter|thousands?|millions?|billions?|hundreds?|dozens?|less|fewer|"
    r"more|than|least|most|minus|plus|negative|between|over|under|above|below|square|root|squared|cubed|power|percent|per|"
    r"divided|multiplied|sum|product|difference|ratio|out|every|first|last|or|and|to|from|through|except|excluding|all|other|any|without|greater|smaller|larger|longer|shorter|older|younger|before|after|until|mod|modulo|base|if|when|factorial|log|sin|cos|tan)\b"
    r"|[=<>^_\\/*!|]",
    re.IGNORECASE,
)
_STATES_A_VALUE = re.compile(
    r"(?:\b(?:is|are|was|were|be|has|have|had|gets?|got|needs?|needed|earns?|earned|pays?|paid|spends?|spent|makes?|made|"
    r"costs?|sold|sells?|takes?|took|equals?|contains?|bought|buys?|saves?|saved|ate|eats?|ran|runs?|of|about|only|exactly)"
    r"|[:=])\s*$"
)


def clause(rest: str) -> str:
    """Return the answer that begins ``rest``, the text behind "the answer is"."""
    if code := _CODE.match(rest):
        return code.group(1).strip()
    rest = rest.lstrip(": ") if not _LIST_ITEM.match(rest) else rest
    if item := _LIST_ITEM.match(rest):
        rest = rest[item.end() :]
    rest = _without_marks(rest)
    if display := _DISPLAY.match(rest):
        return _one_line(next(text for text in (display["dollars"], display["brackets"], display["body"]) if text))
    sentence = _first_sentence(_without_bold(rest))
    formulas = _formulas(sentence)
    if begins_formula := re.match(r"(?:\$([^$]+)\$|\\\((.+?)\\\))(?P<tail>.*)", sentence, re.DOTALL):
        if begins_formula.group(0) and formulas[:1] == [_inside(begins_formula)]:
            return _with_tail(formulas, sentence)
    stripped = _without_lead_ins(sentence)
    if len(formulas) == 1 and re.match(r"[A-Za-z]{2,}", sentence) and formulas[0] not in stripped[: len(formulas[0])]:
        return formulas[0] if not _starts_with_formula(stripped) else _with_tail(formulas, stripped)
    cut = _TRAILING_CLAUSE.sub("", stripped, count=1).strip() if not stripped.startswith("(") else stripped
    cut = cut or stripped
    return _only_value(cut) if re.match(r"[A-Za-z]{2,}", cut) else cut


def _one_line(body: str) -> str:
    """Join the lines of display maths, whose columns matter in matrices alone."""
    return body.strip() if "matrix" in body or "array" in body else re.sub(r"&|\\\\", " ", body).strip()


def _inside(match: re.Match[str]) -> str:
    return next(group for group in match.groups()[:2] if group)


def _starts_with_formula(text: str) -> bool:
    return text.startswith(("$", r"\(", r"\["))


def _with_tail(formulas: list[str], sentence: str) -> str:
    """Return a sentence that begins with a formula: the formula with its unit, or with the formulas joined to it."""
    return _TRAILING_CLAUSE.sub("", sentence, count=1).strip() or formulas[0]


def _without_marks(rest: str) -> str:
    return rest[_LEADING_MARKS.match(rest).end() :] if _LEADING_MARKS.match(rest) else rest


def _without_bold(text: str) -> str:
    return re.sub(
        r"(?<![\w)}*])\*{1,3}(?=\S)|(?<=\S)\*{2,3}(?![\w(*])|(?<=\S)\*(?=[\s.,;!?]|$)|(?<!\w)__|__(?!\w)|`", "", text
    )


def _first_sentence(rest: str) -> str:
    """Cut at the first full stop, semicolon or line end that ends a sentence, outside brackets."""
    depth = 0
    place = 0
    for stop in _STOP.finditer(rest):
        depth += sum((char in "{[(") - (char in "}])") for char in rest[place : stop.start()])
        place = stop.start()
        if stop.group() == "\n" or (depth <= 0 and _ends_sentence(rest, stop)):
            return rest[: stop.start()].strip()
    return rest.strip()


def _ends_sentence(rest: str, stop: re.Match[str]) -> bool:
    if stop.group() == ";":
        return re.match(r"\s+[A-Za-z]{2,}", rest[stop.end() :]) is not None
    if stop.group() != ".":
        return stop.group() == "?" or re.match(r"\s|$", rest[stop.end() :]) is not None and not _factorial(rest, stop)
    word = re.search(r"[A-Za-z.]*$", rest[max(0, stop.start() - 12) : stop.start()])
    before = word.group().lower() if word else ""
    if before in ("a.m", "p.m", "a", "p") and re.search(r"\d\s?[ap](?:\.m)?$", rest[: stop.start()], re.IGNORECASE):
        return re.match(r"\s+[A-Z]|\s*$", rest[stop.end() :]) is not None and before.endswith("m")
    if before in _ABBREVIATIONS and not re.match(r"\s*(?:$|\n)", rest[stop.end() :]):
        return (
            before in ("in", "ft", "cm", "min", "sec", "hr", "oz", "no")
            and re.match(r"\s+[A-Z]", rest[stop.end() :]) is not None
        )
    return not (
        len(before) == 1
        and before.isalpha()
        and re.search(r"\b[A-Z]$", rest[: stop.start()])
        and re.match(r"\s+[A-Z][a-z]", rest[stop.end() :])
        and not re.search(r"\$|\d", rest[: stop.start()])
    )


def _factorial(rest: str, stop: re.Match[str]) -> bool:
    """Tell ``5!`` from an exclamation; at the end of what is said, a number with a mark is a factorial."""
    return re.search(r"[\dA-Za-z)]$", rest[: stop.start()]) is not None and stop.group() == "!"


def _formulas(sentence: str) -> list[str]:
    """Return the formulas of a sentence; two dollar signs around words are two prices."""
    found = (next(group for group in match.groups() if group) for match in _MATH.finditer(sentence))
    return [formula for formula in found if not _WORDS_IN_FORMULA.search(formula)]


def _without_lead_ins(sentence: str) -> str:
    while lead := _LEAD_INS.match(sentence):
        if not sentence[lead.end() :].strip():
            break
        sentence = sentence[lead.end() :]
    return sentence


def _only_value(text: str) -> str:
    """Return the one number in a sentence of words, if no word there changes what it is; else the sentence."""
    values = list(_VALUE.finditer(text))
    if len(values) != 1:
        return text
    value = values[0]
    before, behind = text[: value.start()], text[value.end() :]
    stated = _STATES_A_VALUE.search(before) is not None and not _CHANGES_THE_VALUE.search(f"{before} {behind}")
    return text[value.start() :].strip() if stated else text
