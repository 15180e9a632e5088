"""The parts of a leaderboard's tables, numbers and text without any formatting; ``board`` puts them together.

Scores are in percent and differences in points, as the paper prints them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rho1bench.intervals import Interval, average_interval
from rho1bench.leaderboard.record import Record, TaskRecord
from rho1bench.suites import SUITES

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


@dataclass(frozen=True)
class Cell:
    """One number. ``marked``: the best of its group beyond chance, or a difference that is."""

    value: float | None
    ci: tuple[float, float] | None = None
    p: float | None = None
    p_holm: float | None = None
    marked: bool = False
    note: int | None = None
    """Number of a footnote of the table, from 1."""


@dataclass(frozen=True)
class Origin:
    """How a row of ours is made again."""

    record: str
    """The record's id."""
    command: str
    source: str
    revision: str | None
    weights_sha256: str | None
    recipe: str | None
    recipe_sha256: str | None
    stage: str | None
    seed: int | None
    selection: str | None
    commit: str | None
    dirty: bool
    engine: str
    dtype: str
    device: str
    eval_fingerprint: str


@dataclass(frozen=True)
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


def score_cells(record: Record, tasks: Sequence[str]) -> tuple[Cell, ...]:
    """Return the average over ``tasks`` and the score of each, in percent, with their 95% intervals."""
    chosen = [record.tasks[task] for task in tasks]
    return (_average_cell(record, chosen), *(Cell(100.0 * task.score, percent(task.ci)) for task in chosen))


def _average_cell(record: Record, tasks: Sequence[TaskRecord]) -> Cell:
    if len(tasks) == len(record.tasks):
        return Cell(100.0 * record.average.score, percent(record.average.ci))
    scores = [task.score for task in tasks]
    interval = average_interval(scores, [Interval(*task.ci) for task in tasks])
    return Cell(100.0 * sum(scores) / len(scores), percent((interval.low, interval.high)))


def percent(bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return an interval of fractions in percent."""
    return None if bounds is None else (100.0 * bounds[0], 100.0 * bounds[1])


def origin_of(record: Record) -> Origin:
    """Return how the row of ``record`` is made again."""
    model, training, evaluation = record.model, record.training, record.evaluation
    git = evaluation.git or {}
    return Origin(
        record=record.id,
        command=record.command,
        source=model.source,
        revision=model.revision,
        weights_sha256=model.weights_sha256,
        recipe=training.recipe if training else None,
        recipe_sha256=training.recipe_sha256 if training else None,
        stage=training.stage if training else None,
        seed=training.seed if training else None,
        selection=selection_text(training.selection) if training else None,
        commit=str(git["commit"]) if git.get("commit") else None,
        dirty=bool(git.get("dirty")),
        engine=f"{evaluation.engine} {evaluation.engine_version}",
        dtype=evaluation.dtype,
        device=evaluation.device,
        eval_fingerprint=record.eval_fingerprint,
    )


def selection_text(selection: dict[str, Any] | None) -> str | None:
    """Return a token selection in words: its score functions, joined as they are combined."""
    if selection is None:
        return None
    for key, word in (("all_of", " AND "), ("any_of", " OR ")):
        if selection.get(key):
            return word.join(_part_text(part) for part in selection[key])
    return _part_text(selection)


def _part_text(part: Any) -> str:
    if not isinstance(part, dict):
        return str(part)
    ratio = part.get("ratio")
    share = f" {100 * ratio:g}%" if isinstance(ratio, int | float) else ""
    return f"{part.get('score', 'excess_loss')}{share}"
