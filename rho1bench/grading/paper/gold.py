"""The gold answer of a test row: where each of the ten data sets keeps it, in normal form and as written.

Paper section 3.2 and appendix E; the rows are those of the authors' harness. MATH's gold answer is extracted from the
worked solution by the rules that read completions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from rho1bench.errors import DataError
from rho1bench.grading.paper.extraction import extract_answer
from rho1bench.grading.paper.normal_form import normalise
from rho1bench.paper.protocol import CHOICE_TASKS

Row = Mapping[str, Any]
"""A row of a data set or a line of saved outputs: JSON, whose values may be anything."""
_OPTIONS = "ABCDE"
_SYMBOLS = "∞∅\\"


def gold_answer(row: Row, task: str) -> str:
    """Return the normalised gold answer of one row of ``task``.

    Raises:
        DataError: the task is unknown, or the row lacks a readable answer.
    """
    if task not in _READERS:
        raise DataError(f"Unknown data set {task!r}; expected one of {', '.join(_READERS)}.")
    try:
        return normalise(str(_READERS[task](row)))
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise DataError(f"A {task} row holds no readable gold answer ({type(error).__name__}: {error}).") from error


def written_answer(row: Row, task: str) -> str:
    """Return the gold answer as the data set writes it, with its unit where the row names one, for strict grading.

    Raises:
        DataError: the task is unknown, or the row lacks a readable answer.
    """
    normal = gold_answer(row, task)
    if task in _WRITTEN:
        try:
            return _WRITTEN[task](row).strip() or normal
        except KeyError:
            return normal
    return normal


def gold_fault(gold: str, task: str) -> str | None:
    """Return why no answer could ever equal a gold answer as written, for a message; None where it can be read."""
    if task in CHOICE_TASKS:
        return None if gold.strip().upper() in tuple(_OPTIONS) else f"is no option ({', '.join(_OPTIONS)})"
    if not gold.strip():
        return "is empty"
    if not _balanced(gold):
        return "has braces that do not match"
    return None if any(char.isalnum() or char in _SYMBOLS for char in gold) else "holds no letter and no digit"


def _balanced(text: str) -> bool:
    """Tell whether the braces of LaTeX match, those that print (``\\{``) left out."""
    depth = 0
    for char in re.sub(r"\\.", "", text, flags=re.DOTALL):
        depth += (char == "{") - (char == "}")
        if depth < 0:
            return False
    return depth == 0


def _after_marks(row: Row) -> str:
    _, answer = row["answer"].split("####")
    return str(answer)


def _without_notes(row: Row) -> str:
    return re.sub(r"\(.*?\)", "", row["answer"])


def _table_answer(row: Row) -> str | float:
    """TabMWP: a numeric answer becomes a float, from a fraction, a percentage or digits with thousands separators."""
    answer = row["answer"]
    if row["ans_type"] not in ("integer_number", "decimal_number"):
        return str(answer)
    if "/" in answer:
        above, below = answer.split("/")[:2]
        return int(above) / int(below)
    if "," in answer:
        return float(answer.replace(",", ""))
    return float(answer.partition("%")[0]) / 100 if "%" in answer else float(answer)


def _option_letter(row: Row) -> str:
    letter = str(row["correct"]).upper()
    if letter not in _OPTIONS:
        raise ValueError(f"{letter!r} is no option")
    return letter


_READERS: dict[str, Callable[[Row], object]] = {
    "gsm8k": _after_marks,
    "math": lambda row: extract_answer(row["solution"], "math"),
    "svamp": lambda row: row["Answer"],
    "asdiv": _without_notes,
    "mawps": lambda row: row["target"],
    "tabmwp": _table_answer,
    "mathqa": _option_letter,
    "mmlu_stem": lambda row: _OPTIONS[row["answer"]],
    "sat_math": lambda row: row["Answer"],
    "gsm_hard": lambda row: row["target"],
}


def _answer_with_notes(row: Row) -> str:
    """ASDiv writes units as notes: ``18 (dollars)`` becomes ``18 dollars``."""
    return re.sub(r"\s*\((.*?)\)", r" \1", row["answer"])


def _answer_with_unit(row: Row) -> str:
    answer, unit = str(row["answer"]), row.get("unit") or ""
    if unit == "$":
        return rf"\${answer}"
    return f"{answer} {unit}" if re.fullmatch(r"[A-Za-z ]+", unit) else answer


_WRITTEN: dict[str, Callable[[Row], str]] = {
    "gsm8k": _after_marks,
    "math": lambda row: str(row["answer"]),
    "asdiv": _answer_with_notes,
    "tabmwp": _answer_with_unit,
    "gsm_hard": lambda row: str(row["target"]),
}

TASKS = tuple(_READERS)
"""The paper's names of the ten data sets."""
