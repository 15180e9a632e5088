"""Texts among the suites of an ``eval`` stage: what a checkpoint's bits per byte are measured on.

``gold_answers:SUITE`` are the gold answers of a suite's tasks, ``corpus:STAGE`` is a packed corpus: clean held-out
text, or training text (forgetting). They stand where suites stand, so that contests take them as they take suites.
"""

from __future__ import annotations

from typing import Literal

from rho1bench.recipe.models.base import StageBase, references
from rho1bench.recipe.models.evaluation import EvalStage

TextKind = Literal["corpus", "gold_answers"]
MAX_BLOCKS = 256
"""Blocks of a corpus that are measured, evenly spread, where the evaluation has no ``limit``."""
_KINDS: tuple[TextKind, ...] = ("corpus", "gold_answers")


def text_of(suite: str) -> tuple[TextKind, str] | None:
    """Return the kind of a text and the stage or suite that it is of; None for a suite of tasks."""
    kind, colon, name = suite.partition(":")
    return next(((known, name) for known in _KINDS if colon and known == kind), None)


def corpora_of(stage: StageBase) -> list[str]:
    """Return the corpus stages that an eval stage measures, in order; none for a stage of another kind."""
    if not isinstance(stage, EvalStage):
        return []
    texts = [text_of(suite) for item in stage.evaluations for suite in item.suites]
    return list(dict.fromkeys(text[1] for text in texts if text is not None and text[0] == "corpus"))


def stages_read(stage: StageBase) -> list[str]:
    """Return the earlier stages whose results enter that of ``stage``: those that its fields name, and its corpora."""
    return list(dict.fromkeys([*(name for _, name, _ in references(stage)), *corpora_of(stage)]))
