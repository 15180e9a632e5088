r"""Removing typography: two answers that print the same come out as the same string.

Spacing commands, ``\left``/``\right``, dollar signs around formulas, styles of fractions and of text, Unicode signs,
thousands separators, redundant braces. Nothing that carries meaning (units, percent signs, order, case) is touched.
"""

from __future__ import annotations

import re
from functools import lru_cache

_UNICODE = {
    "−": "-", "–": "-", "‐": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "⁄": "/", "∕": "/", "°": r"^\circ ",
    "π": r"\pi ", "∞": r"\infty ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
    "≈": r"\approx ", "±": r"\pm ", "√": r"\sqrt ", "∅": r"\emptyset ", "²": "^2", "³": "^3", "½": r"\frac{1}{2}",
    "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "θ": r"\theta ", "％": "%",
    "（": "(", "）": ")", "，": ",", "’": "'", "‘": "'", "“": '"', "”": '"', "\u200b": "", "\ufeff": "",
}  # fmt: skip
_REWRITES = tuple(
    (re.compile(pattern), template)
    for pattern, template in (
        (r"\\begin\{array\}\{[^}]*\}", r"\\begin{pmatrix}"),
        (r"\\(begin|end)\{(?:array|[bvB]?matrix|smallmatrix)\}", r"\\\1{pmatrix}"),
        (r"\\!\s*", ""),
        (r"\{,\}", ","),
        (r"\\(?:left|right|[bB]igg?[lr]?)(?![A-Za-z])\s*\.?(?=[^\d.]|$)", ""),
        (r"\\[{}]", lambda match: {r"\{": r"\lbrace ", r"\}": r"\rbrace "}[match.group()]),
        (r"\\\$", r"\\dollar "),
        (r"\$\$?|\\[()\[\]]", " "),
        (r"\\(?:quad|qquad|displaystyle|textstyle|limits|nolimits)(?![A-Za-z])|\\[,;: ]|~", " "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:mathrm|mathbf|mathit|textbf|textit|textrm|textnormal|textsf|mbox|hbox|emph|rm|bf)\s*\{", r"\\text{"),
        (r"\\text\{([^{}]*)\}", r" \1 "),
        (r"\\operatorname\*?\{([a-z]+)\}", r"\\\1 "),
        (r"\\(?:leq|leqslant)(?![A-Za-z])|<=", r"\\le "),
        (r"\\(?:geq|geqslant)(?![A-Za-z])|>=", r"\\ge "),
        (r"\\neq(?![A-Za-z])|!=", r"\\ne "),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\(?:infin|infty)(?![A-Za-z])|\binfinity\b", r"\\infty "),
        (r"\(\s*-\s*\\infty\s*,\s*\+?\s*\\infty\s*\)|ℝ|\\Bbb\s*\{?R\}?", r"\\mathbb{R}"),
        (r"\\(?:degree|degrees)(?![A-Za-z])|\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![A-Za-z])", r"^\\circ "),
        (r"\\(?:varnothing)(?![A-Za-z])", r"\\emptyset "),
        (r"\\(?:div)(?![A-Za-z])", "/"),
        (r"\*\*", "^"),
        (r"\\%", "%"),
        (r"\\frac\s*([0-9A-Za-z])\s*([0-9A-Za-z])", r"\\frac{\1}{\2}"),
        (r"\\frac\s*([0-9A-Za-z])\s*\{", r"\\frac{\1}{"),
        (r"(\\frac\s*\{[^{}]*\})\s*([0-9A-Za-z])", r"\1{\2}"),
        (r"\\sqrt\s*([0-9A-Za-z])", r"\\sqrt{\1}"),
        (r"([_^])\s*([0-9A-Za-z])", r"\1{\2}"),
        (r"(?<![\d.])\.(?=\d)", "0."),
    )
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{(.*)\}\s*", re.DOTALL)
_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,3}(?:,\d{3})+)(?![\d,])")
_SPACED_THOUSANDS = re.compile(r"(-?\d{1,3}(?: \d{3})+(?:\.\d+)?)")


@lru_cache(maxsize=4096)
def tidy(text: str) -> str:
    """Return ``text`` with one spelling for what prints alike; single spaces stay between words."""
    for char, latex in _UNICODE.items():
        text = text.replace(char, latex)
    if box := _BOX.fullmatch(text.strip()):
        text = box.group(1)
    text = _single_backslashes(text)
    for pattern, template in _REWRITES:
        text = pattern.sub(template, text)
    text = re.sub(r"\s+", " ", text).strip().rstrip(".,;:\\ ").lstrip(":, ")
    return _outer(_joined_thousands(text))


def _single_backslashes(text: str) -> str:
    """Name the row breaks of matrices; elsewhere a doubled backslash before a command is an escape written twice."""
    if r"\begin" in text:
        return text.replace(r"\\", r"\cr ")
    return re.sub(r"\\\\(?=[A-Za-z])", r"\\", text)


def _joined_thousands(text: str) -> str:
    if _SPACED_THOUSANDS.fullmatch(text):
        return text.replace(" ", "")
    if re.search(r"[(\[]|\\lbrace", text):
        return text
    return _THOUSANDS.sub(lambda match: match.group().replace(",", ""), text)


def _outer(text: str) -> str:
    """Drop one pair of braces around the whole."""
    inner = text[1:-1]
    wrapped = text.startswith("{") and text.endswith("}") and "{" not in inner and "}" not in inner
    return inner.strip() if wrapped else text


def squeezed(text: str) -> str:
    """Return a tidy text without the spaces that a formula does not need; those after a command word stay."""
    return re.sub(r"(\\[A-Za-z]+) (?=[A-Za-z])|\s", lambda match: f"{match.group(1)} " if match.group(1) else "", text)
