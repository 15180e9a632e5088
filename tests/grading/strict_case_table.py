"""Reads the tables of strict cases; what judges them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rho1bench.grading.pool import Question
from rho1bench.grading.verdict import Verdict

Judge = Callable[[Sequence[Question]], list[Verdict]]
"""Verdicts on questions, in their order (the fixture ``judged``)."""


@dataclass(frozen=True)
class Case:
    """One line of a table; ``source`` is the heading above it, ``answer`` a span or a whole completion."""

    source: str
    same: bool
    answer: str
    gold: str


def read_cases(table: str = "strict_cases.txt") -> list[Case]:
    cases, source = [], ""
    for line in Path(__file__).with_name(table).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            source = line[3:]
        elif line.strip() and not line.startswith("#"):
            word, answer, gold = (part.strip() for part in line.split("||"))
            cases.append(Case(source, {"same": True, "different": False}[word], answer.replace("⏎", "\n"), gold))
    return cases
