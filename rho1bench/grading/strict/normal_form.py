r"""Removing typography: two answers that print the same come out as the same string.

Spacing commands, ``\left``/``\right``, dollar signs around formulas, colours, styles of fractions and of text,
Markdown, Unicode signs, thousands separators, redundant braces. Nothing that carries meaning (units, percent signs,
order, case) is touched.
"""

from __future__ import annotations

import re
from functools import lru_cache

from rho1bench.grading.strict.number_words import NUMBER_WORDS
from rho1bench.grading.strict.unicode_math import as_latex

_FUNCTION_WORDS = (
    "sin cos tan cot sec csc arcsin arccos arctan log exp sqrt frac max min gcd lcm mod pmod binom cdot times infty "
    "emptyset theta alpha beta gamma lambda sigma"
)
FUNCTIONS = frozenset(_FUNCTION_WORDS.split())
"""Words of three letters and more that are mathematics, not language."""
_STYLES = (
    "mathrm|mathbf|mathit|mathsf|mathtt|mathcal|boldsymbol|bm|pmb|textbf|textit|textrm|textnormal|textsf|texttt|textup|"
    "mbox|hbox|emph|rm|bf|underline|uline|ensuremath|mathop|cancel|operatorname\\*?"
)
_FUNCTION_NAMES = "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|gcd|lcm|max|min"
_PLAIN_FUNCTIONS = _FUNCTION_NAMES.removesuffix("|max|min").replace("sec|", "")
_REWRITES = tuple(
    (re.compile(pattern), template)
    for pattern, template in (
        (r"\\(?:begin|end)\{(?:equation|align|aligned|gather|gathered|split|displaymath|math)\*?\}", " "),
        (
            r"\\left\s*\\\{\s*\\begin\{array\}\s*\{[^}]*\}(.*)\\end\{array\}\s*\\right\s*\.",
            r"\\begin{cases}\1\\end{cases}",
        ),
        (r"\\begin\{array\}\{[^}]*\}", r"\\begin{pmatrix}"),
        (r"\\begin\{vmatrix\}", r"\\det \\begin{pmatrix}"),
        (r"\\(begin|end)\{(?:array|[bvB]?matrix|smallmatrix)\}", r"\\\1{pmatrix}"),
        (r"\\begin\{cases\}([^&]*)\\end\{cases\}", lambda match: match.group(1).replace(r"\cr", ", ")),
        (r"(?<![\\\w)}])\*\*(?=\S)([^*]+?)(?<=\S)\*\*(?![\w(])|(?<!\w)__(?=\S)([^_]+?)(?<=\S)__(?!\w)", r"\1\2"),
        (r"(?<![\\\w)}*])\*(?=\S)([^*]+?)(?<=\S)\*(?![\w(*])", r"\1"),
        (r"\{\s*\\(?:rm|bf|it|sf|tt|boldmath)(?![A-Za-z])\s*([^{}]*)\}", r" \1 "),
        (r"`+([^`]*)`+", r"\1"),
        (r"\\!\s*", ""),
        (r"\{,\}", ","),
        (r"(?<![\w.])\d{1,3}(?:_\d{3})+(?!\w)", lambda match: match.group().replace("_", "")),
        (r"\\(?:left|right|[bB]igg?[lr]?)(?![A-Za-z])\s*\.?(?=[^\d.]|$)", ""),
        (r"\\(?:middle)(?![A-Za-z])", ""),
        (r"\\[{}]", lambda match: {r"\{": r"\lbrace ", r"\}": r"\rbrace "}[match.group()]),
        (r"\\langle(?![A-Za-z])", "("),
        (r"\\rangle(?![A-Za-z])", ")"),
        (r"(^|\\(?:cup|in))\s*\](?=[^\[\]]+,)", r"\1 ("),
        (r"(?<=[^\s,])\s*\[\s*($|\\cup)", r")\1"),
        (r"\\(?:lvert|rvert|vert)(?![A-Za-z])", "|"),
        (r"\\\$|(?<![A-Za-z])(?:US|CA|AU|NZ|HK)\\?\$(?=\s?\d)", r"\\dollar "),
        (r"\$\$?|\\[()\[\]]", " "),
        (r"\\(?:textcolor|colorbox)\s*\{[^{}]*\}\s*\{", r"\\text{"),
        (
            r"\\color\s*\{[^{}]*\}|\\(?:hspace|vspace|phantom|hphantom|vphantom|label|tag)\*?\s*\{[^{}]*\}|\\m?strut(?:box)?(?![A-Za-z])|\\mathstrut(?![A-Za-z])",
            " ",
        ),
        (
            r"\\(?:quad|qquad|thinspace|medspace|thickspace|enspace|enskip|space|nobreakspace|displaystyle|textstyle|"
            r"scriptstyle|limits|nolimits|checkmark|blacksquare|square|Box|qed|hfill|newline|large|Large|huge|Huge|"
            r"boldmath|rm|bf|it|sf|tt)(?![A-Za-z])|\\[,;: ]|~",
            " ",
        ),
        (r"\\[dtcx]frac(?![A-Za-z])", r"\\frac"),
        (r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
        (r"\{?\s*([\w^{}+-]+?)\s*\\choose\s*([\w^{}+-]+?)\s*\}?(?=[^\w}]|$)", r"\\binom{\1}{\2}"),
        (r"\\operatorname\*?\s*\{(" + _FUNCTION_NAMES + r")\}", r"\\\1 "),
        (r"\\(?:" + _STYLES + r")\s*\{", r"\\text{"),
        (r"\\text\s*\{((?:[^{}]|\{[^{}]*\})*)\}", r" \1 "),
        (r"\\text\s*\{([^{}]*)\}", r" \1 "),
        (r",?\s*&\s*(?:if|for|when)(?![A-Za-z])", "&"),
        (r"\\(?:leq|leqslant|leqq)(?![A-Za-z])|<=|=<", r"\\le "),
        (r"\\(?:geq|geqslant|geqq)(?![A-Za-z])|>=", r"\\ge "),
        (r"\\neq(?![A-Za-z])|!=|\\not\s*=", r"\\ne "),
        (r"\\in(?![A-Za-z])\s*", r"\\in "),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\(?:lor|vee)(?![A-Za-z])", " or "),
        (r"\\(?:land|wedge)(?![A-Za-z])", " and "),
        (r"\\(?:simeq|cong|doteq|thickapprox)(?![A-Za-z])", r"\\approx "),
        (r"\\mp(?![A-Za-z])(?=[^\\]*$)", lambda match: r"\mp" if r"\pm" in match.string else r"\pm"),
        (r"\+\s*/\s*-|\+-", r"\\pm "),
        (r"\\(?:ldots|cdots|dotsc|dotsb|dotso|dotsm)(?![A-Za-z])|\.\.\.+", r"\\dots "),
        (r"\\(?:infin|infty)(?![A-Za-z])|\b[iI]nfinity\b|(?<![\\A-Za-z])inf(?![A-Za-z])", r"\\infty "),
        (r"\\Bbb\s*\{?([RZNQC])\}?|\\mathbb\s*([RZNQC])(?![A-Za-z])", r"\\mathbb{\1\2}"),
        (r"\\(?:R|reals|Reals)(?![A-Za-z])", r"\\mathbb{R}"),
        (r"\(\s*-\s*\\infty\s*,\s*\+?\s*\\infty\s*\)", r"\\mathbb{R}"),
        (
            r"\\(?:degree|degrees)(?![A-Za-z])|\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![A-Za-z])|\^\s*o(?![A-Za-z])",
            r"^\\circ ",
        ),
        (r"\^\s*\{\s*\\prime\s*\\prime\s*\}|\^\s*\\prime\s*\\prime(?![A-Za-z])", '"'),
        (r"\^\s*\{\s*\\prime\s*\}|\^\s*\\prime(?![A-Za-z])", "'"),
        (r"\\varnothing(?![A-Za-z])|\\lbrace\s*\\rbrace", r"\\emptyset "),
        (r"\\backslash(?![A-Za-z])", r"\\setminus "),
        (r"(\\mathbb\{R\})\s*[-/]\s*(?=\\lbrace)", r"\1\\setminus "),
        (r"\\div(?![A-Za-z])", "/"),
        (
            r"(?:\{\s*\})?[_^]\s*\{?(\d+)\}?\s*C\s*_\s*\{?(\d+)\}?|(?<!\w)C\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)",
            r"\\binom{\1\3}{\2\4}",
        ),
        (r"(?<=\d)\s*\^\s*\{\s*(st|nd|rd|th)\s*\}", r"\1"),
        (r"(?<=[\d)}])\s*degrees?\b(?!\s*(?:[CFK]\b|[Cc]elsius|[Cc]entigrade|[Ff]ahrenheit|[Kk]elvin))", r"^\\circ "),
        (r"\\(?:ast|star)(?![A-Za-z])", "*"),
        (r"\\lg(?![A-Za-z])", r"\\log_{10}"),
        (r"\\(?:vert|mid)(?![A-Za-z])", r"\\mid "),
        (r"\*\*", "^"),
        (r"\\%", "%"),
        (r"(?<![\\A-Za-z])(" + _PLAIN_FUNCTIONS + r")(?=\s*[\d(^\\{])", r"\\\1"),
        (r"(?<![\\A-Za-z])pi(?![A-Za-z])", r"\\pi "),
        (r"(?<=\d)\s*x\s*(?=\d)", r"\\times "),
        (r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"\^\s*\(([^()]*)\)", r"^{\1}"),
        (r"\\frac\s*([0-9A-Za-z])\s*([0-9A-Za-z])", r"\\frac{\1}{\2}"),
        (r"\\frac\s*([0-9A-Za-z])\s*\{", r"\\frac{\1}{"),
        (r"(\\frac\s*\{[^{}]*\})\s*([0-9A-Za-z])", r"\1{\2}"),
        (r"\\sqrt\s*([0-9A-Za-z])", r"\\sqrt{\1}"),
        (r"\^\s*(-?\d+)(?=[^\d.]|$)", r"^{\1}"),
        (r"([_^])\s*([0-9A-Za-z])", r"\1{\2}"),
        (r"\\dot\s*\{?(\d)\}?(\d*)\\dot\s*\{?(\d)\}?", r"\\overline{\1\2\3}"),
        (r"(?<![\d.])\.(?=\d|\\overline|\\bar)", "0."),
        (r"^\s*(?:[Nn]egative|[Mm]inus)\s+(?=[\d\\]|(?:" + "|".join(NUMBER_WORDS) + r")\b)", "-"),
    )
)
_PLAIN_BUILDER = re.compile(r"\{\s*[A-Za-z]\s*(?:\\in [^|:{}]*(?:\{\w\})?\s*)?(?:\||:|\\mid)[^{}]*\}")
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{(.*)\}\s*", re.DOTALL)
_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,3}(?:,\d{3})+)(?!\d|,\d)")
_SPACED_THOUSANDS = re.compile(r"(?<![\d.,/])(\d{1,3}(?: \d{3})+)(?![\d/]|,\d)")
_DOTTED_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?(?![\d.,])")
"""Two dots and more, which no decimal has; a comma behind them is the decimal point."""
_LEAD = re.compile(r"(?:\\approx|\\sim(?!eq)|=|:|,|\.(?!\d)|\\dots|\\therefore|\\implies|\\Rightarrow)(?![A-Za-z])\s*")


@lru_cache(maxsize=4096)
def tidy(text: str) -> str:
    """Return ``text`` with one spelling for what prints alike; single spaces stay between words."""
    text = _single_backslashes(as_latex(text).strip())
    while box := _BOX.fullmatch(text):
        text = box.group(1).strip()
    for pattern, template in _REWRITES:
        text = pattern.sub(template, text)
    text = re.sub(r"\s+", " ", text).strip().rstrip(".,;:?\\ ")
    while lead := _LEAD.match(text):
        text = text[lead.end() :]
    return _outer(_joined_thousands(text))


def _single_backslashes(text: str) -> str:
    """Name the row breaks of matrices; elsewhere a doubled backslash before a command is an escape written twice."""
    if r"\begin" in text:
        return text.replace(r"\\", r"\cr ")
    return re.sub(r"\\\\(?=[A-Za-z])", r"\\", text)


def _joined_thousands(text: str) -> str:
    """Drop the separators of thousands; inside brackets only where items are set apart by a comma and a space."""
    text = _DOTTED_THOUSANDS.sub(lambda match: match.group().replace(".", "").replace(",", "."), text)
    if not re.search(r"[(\[]|\\lbrace", text):
        text = _SPACED_THOUSANDS.sub(lambda match: match.group().replace(" ", ""), text)
    elif not re.search(r",\s", text):
        return text
    return _THOUSANDS.sub(lambda match: match.group().replace(",", ""), text)


def _outer(text: str) -> str:
    """Drop one pair of braces around the whole; those of a set with a condition are meant to print."""
    if _PLAIN_BUILDER.fullmatch(text):
        return rf"\lbrace {text[1:-1].strip()}\rbrace"
    inner = text[1:-1]
    wrapped = text.startswith("{") and text.endswith("}") and "{" not in inner and "}" not in inner
    return inner.strip() if wrapped else text


def squeezed(text: str) -> str:
    """Return a tidy text without the spaces that a formula does not need; between letters or digits they stay."""
    return re.sub(r"(?<![A-Za-z])\s(?!\d)|(?<![A-Za-z0-9])\s|(?<=[A-Za-z])\s(?![A-Za-z])", "", text)
