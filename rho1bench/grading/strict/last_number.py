r"""The last number of a completion that states no answer: with sign, currency, fraction, power, root and unit.

A bare ``7`` out of ``\sqrt{7}``, ``2^{10}`` or ``3:30`` would be another number, so the whole expression around the
last digits is taken (the formula, where they stand in one), and of an equation its right-hand side. Words that make it
another number ("at least", "out of") stay with it.
"""

from __future__ import annotations

import re

from rho1bench.grading.strict.units import known_name

_WINDOW = 400
"""Characters before the last digits that are looked at; an expression that is longer is no number."""
_LAST_DIGITS = "0123456789½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
_ITEM = r"(?<![\w=+*/^}-])(?<!=\s)(?:[A-Za-z]\s*=\s*)?[-$]{0,2}\d[\d.,/]*"
_LISTED = re.compile(
    rf"(?:{_ITEM}\s*(?:,|and|or|to)\s+){{0,9}}{_ITEM}\$?,?\s+(?:and|or|to)\s+(?:[A-Za-z]\s*=\s*)?$"
    r"|(?:(?<=are|ere)\s|[=:]\s?|\d,\s+)(?:[-$]{0,2}\d[\d./]*\$?,\s+)+$"
)
_QUALIFIED = re.compile(
    r"\b(?:not|at (?:least|most)|(?:less|more|fewer|greater|smaller|larger) than(?: or equal to)?|"
    r"under|over|above|below|twice|half|base|(?:half|root|square|cube|log(?:arithm)?|reciprocal|opposite) of|"
    r"(?:\d+ )?(?:out of\s|times|\\?p?mod(?:ulo)?[\s{])|"
    r"\d+ (?:plus|minus|over|by|in|choose|(?:divided|multiplied) by))\s*$|\\?[A-Za-z]+$"
)
"""Words before a number that make it another one, or a bound of it; letters that it is a part of."""
_FORMULA = re.compile(r"\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]")
_WORDS = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{3,}")
_FUNCTION_BEFORE = re.compile(
    r"\\?(?<![A-Za-z])(?:log|ln|lg|sqrt|cbrt|sin|cos|tan|exp|arcsin|arccos|arctan)(?:_\{?\w+\}?)?\s*[({]?\s*$"
)
_PIECE = re.compile(
    r"""\\(?:d|t|c)?frac\s*\{[^{}]{1,80}\}\s*\{[^{}]{1,80}\}|\\sqrt(?:\[\d+\])?\s*\{[^{}]{1,80}\}|\\binom\{[^{}]{1,40}\}\{[^{}]{1,40}\}
    |\\(?:pi|cdot|times|div|pm|left|right|infty|circ|%|\$|,|!)(?![A-Za-z])|[_^]\s?(?:\{[^{}]{1,80}\}|\([^()]{1,80}\))|[_^][-−]?\w
    |\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|\.\d+|[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]|[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+|[√∛∜|]|\*\*
    |(?<=\d)\s?x\s?(?=\d)|(?<=\d)\s:\s(?=\d)|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z'])|[-−+±*/×·÷=≈()!%°$€£¥π:]|\\[()\[\]]""",
    re.VERBOSE,
)
_UNIT_WITH_POWER = re.compile(
    r"(?<![A-Za-z])(?:mm|cm|dm|m|km|in|ft|yd|mi|units?|feet|inches|meters?)\s?(?:\^\{?[23]\}?|[²³])"
)
_OPERATORS = "+±*/×·÷=≈"
_OPERATOR_NAMES = (r"\cdot", r"\times", r"\pm", r"\div")


def last_number(completion: str) -> str | None:
    """Return the expression that holds the completion's last digits, None where there are none."""
    text = _UNIT_WITH_POWER.sub("", completion[-20 * _WINDOW :]) if _UNIT_WITH_POWER.search(completion) else completion
    end = max((text.rfind(digit) for digit in _LAST_DIGITS), default=-1)
    if end < 0:
        return None
    line_start = text.rfind("\n", 0, end) + 1
    if end - line_start > _WINDOW and all(char.isdigit() for char in text[end - _WINDOW : end]):
        return text[line_start : end + 1]
    line = text[max(line_start, end - _WINDOW) : end + 60].partition("\n\n")[0]
    return _expression(line, end - max(line_start, end - _WINDOW))


def _expression(line: str, digit: int) -> str:
    """Return the run of pieces of mathematics around the place ``digit`` of a line."""
    line = re.sub(r"(?<![\w)])\*\*|\*\*(?![\w(])|__|`|\s{2,}", lambda match: " " * len(match.group()), line)
    pieces = list(_PIECE.finditer(line))
    at = next(place for place, piece in enumerate(pieces) if piece.start() <= digit < piece.end())
    first = at
    while first > 0 and _joined(line, pieces[first - 1], pieces[first]):
        first -= 1
    last = at
    while last + 1 < len(pieces) and _joined(line, pieces[last], pieces[last + 1]):
        last += 1
    start, end = pieces[first].start(), pieces[last].end()
    if (several := _brackets_around(line, pieces[at].start(), pieces[at].end())) is not None:
        return several
    if function := _FUNCTION_BEFORE.search(line[:start]):
        closing = re.match(r"\s*[)|]", line[end:]) if function.group().rstrip()[-1:] in "(|" else None
        return function.group() + line[start : end + (closing.end() if closing else 0)]
    before = line[:start]
    if (formula := _formula_around(line, digit)) is not None:
        before, (start, end) = line[: formula.start()], formula.span(formula.lastindex or 0)
    listed = _LISTED.search(before) or _QUALIFIED.search(before)
    minus = "-" if re.search(r"\b(?:minus|negative)\s+$", before) else ""
    value = line[start:end] if listed and "=" in listed.group() else _value(line[start:end])
    return (listed.group() if listed else minus) + value + _tail(line[end:])


def _formula_around(line: str, digit: int) -> re.Match[str] | None:
    """Return the formula that holds the place ``digit``; two dollar signs around words are two prices."""
    around = (match for match in _FORMULA.finditer(line) if match.start() < digit < match.end())
    found = next(around, None)
    return None if found is None or _WORDS.search(found.group(found.lastindex or 0)) else found


def _brackets_around(line: str, start: int, end: int) -> str | None:
    """Return the list in brackets that holds a number (``(3, 8)``, ``\\{3, 8\\}``), None where it stands outside."""
    depth, comma = 0, False
    for place in range(start - 1, -1, -1):
        depth += (line[place] in ")]}") - (line[place] in "([{")
        comma |= line[place] == "," and depth == 0
        if depth < 0:
            closing = re.match(r"[^()\[\]{}]*[)\]}]", line[end:])
            opening = place - (line[max(0, place - 1) : place] == "\\")
            return line[opening : end + closing.end()] if comma and closing else None
    return None


def _joined(line: str, left: re.Match[str], right: re.Match[str]) -> bool:
    """Tell whether two pieces belong to one expression: nothing between them, or a blank beside an operator."""
    between = line[left.end() : right.start()]
    if between == "":
        return not (left.group() in ":" and not left.string[: left.start()][-1:].isdigit())
    if between.strip():
        return False
    one, other = left.group(), right.group()
    if one in _OPERATORS or other in _OPERATORS or one in _OPERATOR_NAMES or other in _OPERATOR_NAMES:
        return True
    if one in "-−" or other in "-−":
        return True
    return re.fullmatch(r"\d+", one) is not None and (
        re.match(r"\d+/\d", line[right.start() :]) is not None
        or (len(one) <= 3 and re.match(r"\d{3}(?!\d)", line[right.start() :]) is not None)
    )


def _value(expression: str) -> str:
    """Return what an equation comes to, and an expression without the punctuation around it."""
    expression = re.split(r"[=≈]", expression)[-1] if re.search(r"[=≈]\s*[^\s=≈]", expression) else expression
    expression = expression.strip().strip(":").strip()
    while expression[:1] == "(" and expression.count("(") > expression.count(")"):
        expression = expression[1:].strip()
    while expression[-1:] == ")" and expression.count(")") > expression.count("("):
        expression = expression[:-1].strip()
    if expression[-1:] in ("+", "-", "−", "=", "*", "/"):
        expression = expression[:-1].strip()
    return expression.lstrip("+*/×·÷≈ ")


def _tail(rest: str) -> str:
    """Return letters attached to the number, a scale word or a unit behind it; other words are left out."""
    attached = re.match(r"(?!st\b|nd\b|rd\b|th\b)[A-Za-z]{1,3}\b", rest)
    scale = re.match(
        r"\s(?:hundred|thousand|million|billion|trillion|percent|squared|cubed|factorial|below zero)\b", rest
    )
    unit = re.match(r"\s([A-Za-z]{4,})\b", rest)
    known = unit.group() if unit and known_name(unit.group(1)) else ""
    return (attached.group() if attached else "") or (scale.group() if scale else known)
