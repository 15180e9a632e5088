"""The two readers of LaTeX, sympy's and math-verify's, made quicker: their ANTLR parsers predict without context first.

Each parser asks at every fork of its grammar which way to go. ANTLR's full prediction (LL) looks at the rules that it
came through, anew each time; without them (SLL) it remembers the answer. A text that SLL reads to its end has the tree
that LL gives it, as ANTLR guarantees; any other is read again by LL, and so no reading changes. Nearly all of a
grading worker's time was LL's.

Installed once in each worker process, before it forks. The names that this replaces are private to the two packages.
"""

from __future__ import annotations

import contextlib
from functools import cache
from typing import Any

Parser = Any
"""A class that ANTLR generated, which has no types."""


def predict_without_context() -> None:
    """Let ``parse_latex`` and ``latex2sympy`` of this process use the quick parsers; a second call changes nothing."""
    from latex2sympy2_extended import latex2sympy2
    from sympy.parsing.latex import _parse_latex_antlr

    latex2sympy2.PSParser = quick(latex2sympy2.PSParser)
    _parse_latex_antlr.LaTeXParser = quick(_parse_latex_antlr.LaTeXParser)


@cache
def quick(parser: Parser) -> Parser:
    """Return a subclass of a parser whose rule ``math``, the whole of a text, is read by SLL and at need by LL."""
    from antlr4 import CommonTokenStream, Token
    from antlr4.atn.PredictionMode import PredictionMode

    if hasattr(parser, "reads_quickly"):
        return parser

    class Quick(parser):  # type: ignore[misc]
        reads_quickly = True

        def math(self) -> Any:
            self._interp.predictionMode = PredictionMode.SLL
            with contextlib.suppress(Exception):  # LL finds the same fault, if it is one
                tree = super().math()
                if self.getCurrentToken().type == Token.EOF:
                    return tree
            lexer = self.getTokenStream().tokenSource
            lexer.reset()
            self.setTokenStream(CommonTokenStream(lexer))  # which resets the parser
            self._interp.predictionMode = PredictionMode.LL
            return super().math()

    return Quick
