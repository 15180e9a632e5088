"""The quick parsers read every text as the plain ones do: the same tree, or a fault where those find one."""

from __future__ import annotations

from typing import Any

import antlr4
import pytest
from antlr4 import Token
from antlr4.atn.PredictionMode import PredictionMode
from latex2sympy2_extended.latex2sympy2 import PSParser, _Latex2Sympy
from strict_case_table import read_cases
from sympy.parsing.latex._parse_latex_antlr import LaTeXLexer, LaTeXParser, MathErrorListener

from rho1bench.grading.latex_parsers import predict_without_context, quick

ODD = [
    r"11\\sqrt{2}",
    r"\frac{0666}{1000}\dots",
    r"3,\ 5",
    "4\\",
    "2x ) 3",
    r"\frac{1",
    r"wefind\boxed{35}",
    r"\begin{pmatrix}-13*3*\4*3*\end{pmatrix}",
    r"0\le\lambda\le4Ihopeitiscorrect",
    "",
    "?",
]


def sympy_parser(text: str, parser: Any) -> Any:
    listener = MathErrorListener(text)
    lexer = LaTeXLexer(antlr4.InputStream(text))
    made = parser(antlr4.CommonTokenStream(lexer))
    for part in (lexer, made):
        part.removeErrorListeners()
        part.addErrorListener(listener)
    return made


def math_verify_parser(text: str, parser: Any) -> Any:
    made = _Latex2Sympy().create_parser(text)
    made.__class__ = parser
    return made


MAKERS = {"sympy": (sympy_parser, LaTeXParser), "math-verify": (math_verify_parser, PSParser)}


def reading(parser: Any) -> tuple[str, int] | None:
    """The tree and where it ends; None where the parser finds a fault."""
    try:
        tree = parser.math()
    except Exception:
        return None
    return tree.toStringTree(recog=parser), parser.getCurrentToken().tokenIndex


@pytest.mark.parametrize("name", MAKERS)
def test_the_trees_are_those_of_full_prediction(name: str) -> None:
    make, plain = MAKERS[name]
    texts = [*ODD, *dict.fromkeys(case.answer for case in read_cases()[::6])]
    without_context = faults = partial = 0
    for text in texts:
        parser = make(text, quick(plain))
        found = reading(parser)
        assert found == reading(make(text, plain)), text
        without_context += parser._interp.predictionMode == PredictionMode.SLL
        faults += found is None
        partial += found is not None and parser.getCurrentToken().type != Token.EOF
    assert without_context > len(texts) / 2
    assert faults > 3
    assert (partial > 0) == (name == "sympy"), "math-verify's grammar ends with the text"


def test_both_libraries_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    from latex2sympy2_extended import latex2sympy2
    from sympy.parsing.latex import _parse_latex_antlr

    parse_latex = _parse_latex_antlr.parse_latex
    # Restored afterwards, for the tests that measure the plain way.
    monkeypatch.setattr(latex2sympy2, "PSParser", PSParser)
    monkeypatch.setattr(_parse_latex_antlr, "LaTeXParser", LaTeXParser)
    made: list[str] = []
    for parser in (quick(PSParser), quick(LaTeXParser)):
        read = parser.math
        monkeypatch.setattr(
            parser, "math", lambda self, read=read: made.append(type(self).__bases__[0].__name__) or read(self)
        )
    predict_without_context()
    predict_without_context()
    assert parse_latex("x+1").doit() == parse_latex("1+x").doit()
    assert latex2sympy2.latex2sympy("x+1").doit() == latex2sympy2.latex2sympy("1+x").doit()
    assert made == ["LaTeXParser", "LaTeXParser", "PSParser", "PSParser"]
