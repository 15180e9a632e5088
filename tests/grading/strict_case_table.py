"""Reads the table of strict cases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One line of ``strict_cases.txt``."""

    source: str
    same: bool
    answer: str
    gold: str


def read_cases() -> list[Case]:
    cases, source = [], ""
    for line in Path(__file__).with_name("strict_cases.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            source = line[3:]
        elif line.strip() and not line.startswith("#"):
            word, answer, gold = (part.strip() for part in line.split("||"))
            cases.append(Case(source, {"same": True, "different": False}[word], answer, gold))
    return cases
