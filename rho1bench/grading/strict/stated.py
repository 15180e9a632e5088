r"""From "the answer is" to the end of the answer: what of a sentence states the value.

A formula or display maths is taken whole; words that lead to a value ("approximately", "equal to") and clauses behind
it ("because ...", ", which ...") are not part of it; abbreviations and decimal points do not end a sentence.
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
_CODE = re.compile(r"\s*```[a-z]*\s*\n(.*?)(?:```|\Z)", re.DOTALL)
_LIST_MARK = re.compile(r"(?:[-•*+]\s+|\(?\d{1,2}[.)]\s+)(?=\S)")
_LEADING_MARKS = re.compile(r"(?:[\s:>*_~`…]|\\\s|\.\.\.)*")
_EMPHASIS = re.compile(
    r"(?<![\w)}*])\*{1,3}(?=\S)|(?<=\S)\*{2,3}(?![\w(*])|(?<=\S)\*(?=[\s.,;!?]|$)|(?<!\w)__|__(?!\w)|(?<=[\w)])_(?=[\s.,;!?]|$)|`"
    r"|</?(?:b|i|em|strong)>"
)

_STOP = re.compile(r"[.!?](?=\s|$|[A-Z])|;(?=\s+[A-Za-z]{2})|\n")
_ABBREVIATION = re.compile(
    r"\b(?:dr|mr|mrs|ms|st|vs|approx|prof|sq|cu|e\.g|i\.e)$|\d\s?[ap]$|^(?:[a-z]\.\s?)*[a-z]$", re.IGNORECASE
)
"""Before a full stop that ends no sentence: a title, half of "a.m.", initials."""
_ABBREVIATED_UNIT = re.compile(r"\b(?:in|ft|yd|mi|cm|mm|km|min|sec|hr|oz|lbs?|no)$|\d\s?[ap]\.m$", re.IGNORECASE)
"""Before a full stop that ends a sentence only if a capital letter follows."""

_LEAD_INS = re.compile(
    r"(?:(?:of course,?|is|are|was|were|equals?|be|to|approximately|approx\.?|about|around|roughly|nearly|exactly|"
    r"simply|just|precisely|therefore|thus|hence|then|now|indeed|clearly|equal to|equivalent to|given by|found to be|"
    r"either|both|only|an? (?:total|maximum|minimum|average|value) of|of|"
    r"the (?:value|number|expression|fraction|integer|set|interval|point|function|equation)|that|it is|it's|"
    r"there (?:are|is|were|was|will be)|we (?:get|have|find|obtain)|"
    r"(?:he|she|they|it|you) (?:has|have|had|gets?|got|needs?|needed|will have|earns?|paid|pays?|makes?|can)|"
    r"as follows|option|choice)(?![A-Za-z'])|=|:|≈|\\approx(?![A-Za-z])|,(?=\s))\s*"
)
_TRAILING_CLAUSE = re.compile(
    r",?\s+(?:because|since|as (?:the|it|we|this|there|required|desired|shown|stated|claimed)|which|"
    r"so (?:the|that|we|it|he|she|they)|where|when|whenever|if|while|but|thus|therefore|hence|meaning|that is|"
    r"given|assuming|after|before|by(?! \d)|using|from|provided|according|rounded|thanks to|as (?:a|an) |"
    r"in (?:total|all|simplest|this case|lowest|terms)|due to|for (?:this|the|all|each|every|any)|"
    r"more (?:precisely|exactly)|"
    r"or (?:about|approximately|roughly|equivalently|\S+ as an? (?:decimal|fraction|percentage|mixed number))|"
    r"on (?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|"
    r"of (?:it|them|all|the|this|that|these|those|his|her|its|their)|and (?:we|this|that|the|so|it|he|she)|"
    r"(?:and |but )?not|who|whose)\b.*"
    r"|,?\s+i\.e\..*|,\s+(?:in|so|the|this|we|it|he|she|as|to|i|(?:and|or)(?=\s[a-z]{2}))\s.*"
    r"|\s+[—–]\s+.*|\s+\((?=[^()]*[A-Za-z]{3})[^()]*\)?\s*$",
    re.DOTALL,
)
_BEHIND_A_NUMBER = re.compile(
    r"(?:,\s+(?!(?:and|or)\b)[A-Za-z]{2,}(?!\w*\s*[=_])|:\s+[A-Za-z]{2}|\s-\s+[A-Za-z]{2}|"
    r"\s+with\s(?!(?:a )?remainder)).*",
    re.DOTALL,
)
"""A clause that only ends an answer that begins with a number or a formula; names may go on behind a comma."""
_FORMULA = re.compile(r"\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_WORDS_IN_FORMULA = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{3,}(?![A-Za-z]*[}(])")
_VALUE = re.compile(r"-?(?:\\?\$)?-?\d[\d,]*(?:\.\d+)?(?:\s\d+/\d+|/\d+)?(?:\s?\\?%)?(?:[²³½¼¾]|\^\{?\d+\}?)?")
_STATES_A_VALUE = re.compile(
    r"(?:\b(?:is|are|was|were|be|has|have|had|gets?|got|needs?|needed|earns?|earned|pays?|paid|spends?|spent|makes?|made|"
    r"costs?|sold|sells?|takes?|took|equals?|contains?|bought|buys?|saves?|saved|ate|eats?|ran|runs?|about|only|exactly|"
    r"(?:total|amount|value|average|mean|maximum|minimum|profit|cost|price|length|width|height|distance|area|volume|"
    r"speed|weight|score|age) of)"
    r"|[:=])\s*$"
)
_CHANGES_THE_VALUE = re.compile(
    r"\b(?:not|no|times|half|twice|double|triple|third|quarter|thousands?|millions?|billions?|hundreds?|dozens?|less|fewer|"
    r"more|than|least|most|minus|plus|negative|between|over|under|above|below|square|root|squared|cubed|power|percent|per|"
    r"divided|multiplied|sum|product|difference|ratio|out|every|first|last|or|and|to|from|through|except|excluding|all|"
    r"other|any|without|greater|smaller|larger|longer|shorter|older|younger|before|after|until|mod|modulo|base|if|when|"
    r"factorial|log|sin|cos|tan)\b|[=<>^_\\/*!|]",
    re.IGNORECASE,
)


def clause(rest: str) -> str:
    """Return the answer that begins ``rest``, the text behind "the answer is"."""
    rest = rest.lstrip(": ")
    if code := _CODE.match(rest):
        return code.group(1).strip()
    if rest.startswith("\n") and (mark := _LIST_MARK.match(rest.lstrip())):
        rest = rest.lstrip()[mark.end() :]
    if marks := _LEADING_MARKS.match(rest):
        rest = rest[marks.end() :]
    rest = _without_lead_ins(rest)
    if display := _DISPLAY.match(rest):
        return _one_line(next(text for text in (display["dollars"], display["brackets"], display["body"]) if text))
    return _value_in(_first_sentence(_EMPHASIS.sub("", rest)))


def _one_line(body: str) -> str:
    """Join the lines of display maths, whose columns matter in matrices alone."""
    return body.strip() if "matrix" in body or "array" in body else re.sub(r"&|\\\\", " ", body).strip()


def _first_sentence(rest: str) -> str:
    """Cut at the first full stop, semicolon or line end that ends a sentence, outside brackets."""
    depth = place = 0
    for stop in _STOP.finditer(rest):
        depth += sum((char in "{[(") - (char in "}])") for char in rest[place : stop.start()])
        place = stop.start()
        if stop.group() == "\n" or (depth <= 0 and _ends_sentence(rest, stop)):
            return rest[: stop.start()].strip()
    return rest.strip()


def _ends_sentence(rest: str, stop: re.Match[str]) -> bool:
    before, behind = rest[max(0, stop.start() - 20) : stop.start()], rest[stop.end() : stop.end() + 3].lstrip()
    if stop.group() == "!":
        return re.search(r"[\dA-Za-z)]$", before) is None  # else it is a factorial
    if stop.group() != "." or not behind:
        return True
    if _ABBREVIATED_UNIT.search(before):
        return behind[0].isupper()
    return _ABBREVIATION.search(before) is None


def _value_in(sentence: str) -> str:
    """Return the value that a sentence states, the sentence where it states none that can be told from its words."""
    formulas = _formulas(sentence)
    stripped = _without_lead_ins(sentence)
    if not stripped.startswith(("$", r"\(")) and len(formulas) == 1 and re.match(r"[A-Za-z]{2}", sentence):
        return sentence if _CHANGES_THE_VALUE.search(_FORMULA.sub(" ", sentence)) else formulas[0]
    if re.match(r"[-+$\\(\[\d]", stripped):
        stripped = _BEHIND_A_NUMBER.sub("", stripped, count=1)
    value = stripped if stripped.startswith("(") else _TRAILING_CLAUSE.sub("", stripped, count=1).strip() or stripped
    if formula := _FORMULA.fullmatch(value):
        return next(group for group in formula.groups() if group)
    return _only_number(value) if re.match(r"[A-Za-z]{2}", value) else value


def _formulas(sentence: str) -> list[str]:
    """Return the formulas of a sentence; two dollar signs around words are two prices."""
    found = (next(group for group in match.groups() if group) for match in _FORMULA.finditer(sentence))
    return [formula for formula in found if not _WORDS_IN_FORMULA.search(formula)]


def _without_lead_ins(sentence: str) -> str:
    while (lead := _LEAD_INS.match(sentence)) and sentence[lead.end() :].strip():
        sentence = sentence[lead.end() :]
    return sentence


def _only_number(text: str) -> str:
    """Return the one number in a sentence of words, if no word there changes what it is; else the sentence."""
    values = list(_VALUE.finditer(text))
    if len(values) != 1:
        return text
    before, behind = text[: values[0].start()], text[values[0].end() :]
    stated = _STATES_A_VALUE.search(before) is not None and not _CHANGES_THE_VALUE.search(f"{before} {behind}")
    return text[values[0].start() :].strip() if stated else text
