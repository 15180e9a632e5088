r"""Unicode mathematics as LaTeX: powers, fractions, signs, Greek and styled letters, one spelling for each.

Most of it is what the Unicode character database itself says of a character (a superscript five, a fraction of three
fifths, a full-width minus); only operators need a table.
"""

from __future__ import annotations

import re
import unicodedata

_OPERATORS = {
    "×": r"\times ", "✕": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "÷": "/", "⁄": "/", "∕": "/",
    "°": r"^\circ ", "º": r"^\circ ", "∞": r"\infty ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∖": r"\setminus ",
    "≤": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "≡": r"\equiv ",
    "±": r"\pm ", "∓": r"\mp ", "∅": r"\emptyset ", "∨": r"\lor ", "∧": r"\land ", "∣": r"\mid ", "→": r"\to ",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ",
    "ℝ": r"\mathbb{R} ", "ℤ": r"\mathbb{Z} ", "ℕ": r"\mathbb{N} ", "ℚ": r"\mathbb{Q} ", "ℂ": r"\mathbb{C} ",
    "∠": r"\angle ", "△": r"\triangle ", "…": r"\dots ", "⋯": r"\dots ", "′": "'", "″": '"', "‘": "'", "’": "'",
    "“": '"', "”": '"', "，": ",", "；": ";", "\u200b": "", "\u200c": "", "\u200d": "", "\ufeff": "", "\u2060": "",
    "✓": "", "✔": "", "✅": "", "■": "", "∎": "", "□": "",
}  # fmt: skip
_KEPT = frozenset("€£¥₹¢™")
_ROOTS = {"√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]"}
_ROOT = re.compile(r"([√∛∜])\s*(?:\(([^()]*)\)|(\d+(?:\.\d+)?)|([A-Za-z])|)")
_REPEATED_DIGITS = re.compile("((?:[0-9][\u0304\u0305])+)")
_RUNS = tuple(re.compile(rf"(?:{mark}\{{[^{{}}]*\}}){{2,}}") for mark in (r"\^", "_"))
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def as_latex(text: str) -> str:
    """Return ``text`` with LaTeX in place of Unicode's mathematical characters; letters of languages stay."""
    if text.isascii():
        return text
    text = _REPEATED_DIGITS.sub(lambda match: rf"\overline{{{re.sub('[^0-9]', '', match.group())}}}", text)
    text = _ROOT.sub(_root, text)
    text = _NOT_ASCII.sub(lambda match: _latex(match.group()), text)
    for run in _RUNS:
        text = run.sub(lambda match: _merged(match.group()), text)
    return text


def _merged(run: str) -> str:
    """Write powers side by side (``^{1}^{2}``) as one."""
    return f"{run[0]}{{{re.sub(r'[{}^_]', '', run)}}}"


def _root(match: re.Match[str]) -> str:
    radicand = next((group for group in match.groups()[1:] if group), None)
    command = _ROOTS[match.group(1)]
    return f"{command} " if radicand is None else f"{command}{{{as_latex(radicand)}}}"


def _latex(char: str) -> str:
    if char in _OPERATORS:
        return _OPERATORS[char]
    if char in _KEPT:
        return char
    kind, _, rest = unicodedata.decomposition(char).partition(" ")
    plain = unicodedata.normalize("NFKC", char)
    if kind == "<super>":
        return f"^{{{_plain(plain)}}}"
    if kind == "<sub>":
        return f"_{{{_plain(plain)}}}"
    if kind == "<fraction>" and rest:
        above, _, below = plain.partition("⁄")
        return rf"\frac{{{above}}}{{{below}}}" if below else char
    if unicodedata.category(char) == "Pd" or _name(char) == "MINUS SIGN":
        return "-"
    if _name(char).startswith("GREEK ") and " LETTER " in _name(char) and " WITH " not in _name(char):
        return _greek(char)
    return _plain(plain) if kind.startswith("<") and plain != char else char


def _plain(text: str) -> str:
    return "".join(_latex(char) if not char.isascii() else char for char in text)


def _name(char: str) -> str:
    return unicodedata.name(char, "")


def _greek(char: str) -> str:
    letter = _name(char).rpartition(" ")[2].lower().replace("lamda", "lambda")
    return rf"\{letter.capitalize() if 'CAPITAL' in _name(char) else letter} "
