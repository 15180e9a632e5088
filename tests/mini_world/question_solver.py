"""Answers mini-world questions from their text alone, by rules that share no code with the generator."""

from __future__ import annotations

import re
from fractions import Fraction

from rho1bench.mini_world import Problem


def solved(problem: Problem) -> str:
    """The answer that a reader of the question would give: a number, a name, a LaTeX fraction or a letter."""
    stem = problem.stem
    numbers = [int(digits) for digits in re.findall(r"\d+", stem.replace("m/s^2", ""))]
    if problem.task in ("gsm8k", "gsm_hard"):
        return str(numbers[0] + numbers[1] - numbers[2])
    if problem.task == "svamp":
        return str(numbers[0] - numbers[1])
    if problem.task == "asdiv":
        return str(numbers[0] * numbers[1])
    if problem.task == "mawps":
        return str(sum(numbers))
    if problem.task == "tabmwp":
        return _table_answer(stem, numbers)
    if problem.task == "math500":
        return _formula_answer(stem)
    return _letter(problem.question, _choice_value(stem, numbers))


def _table_answer(stem: str, numbers: list[int]) -> str:
    if "How many" in stem:
        return str(sum(numbers))
    rows = re.findall(r"^(\w+) \| (\d+)$", stem, flags=re.MULTILINE)
    return max(rows, key=lambda row: int(row[1]))[0]


def _formula_answer(question: str) -> str:
    formula = re.findall(r"\$(.+?)\$", question)[0]
    value = Fraction(0)
    for sign, term in re.findall(r"([+-]?)((?:\\frac\{\d+\}\{\d+\}|\d+)(?: \\cdot \d+)?)", formula):
        factor = Fraction(1)
        for top, bottom, whole in re.findall(r"\\frac\{(\d+)\}\{(\d+)\}|(\d+)", term):
            factor *= Fraction(int(whole)) if whole else Fraction(int(top), int(bottom))
        value += -factor if sign == "-" else factor
    return str(value) if value.denominator == 1 else f"\\frac{{{value.numerator}}}{{{value.denominator}}}"


def _choice_value(stem: str, numbers: list[int]) -> int:
    if stem.startswith("If $"):
        return numbers[1] - numbers[0]
    if "Force?" in stem or "Area?" in stem:
        return numbers[0] * numbers[1]
    return numbers[0] + numbers[1]


def _letter(question: str, value: int) -> str:
    letters = [key for key, option in re.findall(r"\(([A-E])\) (\d+)", question) if int(option) == value]
    assert len(letters) == 1, f"the value {value} stands at {letters} in {question!r}"
    return letters[0]
