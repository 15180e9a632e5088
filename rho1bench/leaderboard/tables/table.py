"""The parts of a leaderboard's tables, numbers and text without any formatting; ``board`` assembles them.

Scores are in percent and differences in points, as the paper prints them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rho1bench.comparison.intervals import Interval, average_interval
from rho1bench.leaderboard.records.record_summary import Origin, RecordSummary, TaskSummary
from rho1bench.paper.suites import SUITES

Fact = str | int | float | None
"""A word, a number (of parameters, of tokens), or None where it is not known."""

_TITLES = {
    "gsm8k": "GSM8K",
    "math500": "MATH",
    "svamp": "SVAMP",
    "asdiv": "ASDiv",
    "mawps": "MAWPS",
    "tabmwp": "TAB",
    "mathqa": "MQA",
    "mmlu_stem": "MMLU-STEM",
    "sat": "SAT",
    "gsm_hard": "GSM-Hard",
    "mmlu": "MMLU",
    "bbh": "BBH",
    "agieval": "AGIEval",
    "arc_easy": "ARC-E",
    "arc_challenge": "ARC-C",
    "boolq": "BoolQ",
    "piqa": "PIQA",
    "hellaswag": "HellaSwag",
    "winogrande": "WinoGrande",
    "openbookqa": "OBQA",
    "humaneval": "HumanEval",
    "mbpp": "MBPP",
    "tydiqa": "TyDiQA",
}
_KNOWN_TASKS = frozenset(task for tasks in SUITES.values() for task in tasks)


@dataclass(frozen=True)
class Column:
    """A column of numbers: its title, and the documents behind each number where all have as many."""

    title: str
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One number. ``marked``: the best of its group beyond chance, or a difference that is."""

    value: float | None
    ci: tuple[float, float] | None = None
    p: float | None = None
    p_holm: float | None = None
    marked: bool = False
    note: int | None = None
    """Number of a footnote of the table, from 1."""
    p_exact: float | None = None
    """Of a mean over seeds: the exact sign-flip p."""
    p_tasks: float | None = None
    """Of an average: the exact sign-flip p over its tasks."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. ``cells`` are those of the columns, in their order."""

    name: str
    by: Literal["paper", "rho1bench", "seeds"]
    facts: tuple[Fact, ...]
    cells: tuple[Cell, ...]
    origin: Origin | None = None
    num_seeds: int | None = None


@dataclass(frozen=True)
class Group:
    """Rows that are marked and sorted among themselves; a table of one group gives it no title."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """A table: first the names of rows, then facts, then columns of numbers."""

    key: str
    title: str
    kind: Literal["scores", "differences"]
    facts: tuple[str, ...]
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> list[Row]:
        """All rows, group by group."""
        return [row for group in self.groups for row in group.rows]


def task_title(task: str) -> str:
    """Return the paper's name of a task's column; that of an unknown task is its own."""
    if task not in _KNOWN_TASKS:
        return task
    short = task.removeprefix("rho1_").removeprefix("mini_").removesuffix("_cot").removesuffix("_tir")
    return _TITLES[short]


def score_cells(entry: RecordSummary, tasks: Sequence[str]) -> tuple[Cell, ...]:
    """Return the average over ``tasks`` and the score of each, in percent, with their 95% intervals."""
    chosen = [entry.tasks[task] for task in tasks]
    return (_average_cell(entry, chosen), *(Cell(100.0 * task.score, percent(task.ci)) for task in chosen))


def _average_cell(entry: RecordSummary, tasks: Sequence[TaskSummary]) -> Cell:
    if len(tasks) == len(entry.tasks):
        return Cell(100.0 * entry.average.score, percent(entry.average.ci))
    scores = [task.score for task in tasks]
    interval = average_interval(scores, [Interval(*task.ci) for task in tasks])
    return Cell(100.0 * sum(scores) / len(scores), percent((interval.low, interval.high)))


def percent(bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return an interval of fractions in percent."""
    return None if bounds is None else (100.0 * bounds[0], 100.0 * bounds[1])
