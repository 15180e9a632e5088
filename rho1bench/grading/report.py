"""The summary of a graded file and how it is shown: accuracies, verdict counts and every disagreement.

Used by :func:`rho1bench.grading.saved_outputs.grade_file` and by the command ``rho1bench grade``; also the command's
progress while it grades.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from typing import NotRequired, TypedDict, cast

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from rho1bench.grading.grader import Answer
from rho1bench.grading.paper.gold import Row
from rho1bench.grading.pool import Question, WorkerPool
from rho1bench.grading.verdict import Grade, Verdict
from rho1bench.system.progress import Progress

_LONGEST = 80
"""Characters of an answer in the list of disagreements; the output file has it whole."""


class TaskCounts(TypedDict):
    """The answers of one data set: how many, how often each verdict came, and accuracies in percent."""

    n: int
    paper: dict[str, int]
    paper_accuracy: float
    verified: dict[str, int]
    verified_accuracy: float


class Disagreement(TypedDict):
    """A line that one verdict scores and the other does not."""

    line: int
    task: str
    idx: NotRequired[object]
    doc_id: NotRequired[object]
    gold: str
    pred: str
    paper: str
    verified: str


class Summary(TypedDict):
    """A graded file: answers, seconds of wall time, counts by data set, and every disagreement in file order."""

    n: int
    seconds: float
    tasks: dict[str, TaskCounts]
    disagreements: list[Disagreement]


def verdict_keys(grade: Grade) -> dict[str, str]:
    """Return what grading adds to a line."""
    return {"pred": grade.pred, "paper": grade.paper.value, "verified": grade.verified.value}


def summarize(
    lines: Sequence[tuple[int, Row]], answers: Sequence[Answer], grades: Sequence[Grade], seconds: float
) -> Summary:
    """Return the summary of ``lines`` (with their numbers in the file) and their grades."""
    by_task: dict[str, list[Grade]] = {}
    for answer, grade in zip(answers, grades, strict=True):
        by_task.setdefault(answer.task, []).append(grade)
    return {
        "n": len(grades),
        "seconds": round(seconds, 3),
        "tasks": {task: _counts(task_grades) for task, task_grades in by_task.items()},
        "disagreements": [
            _disagreement(number, row, answer, grade)
            for (number, row), answer, grade in zip(lines, answers, grades, strict=True)
            if (grade.paper is Verdict.CORRECT) != (grade.verified is Verdict.CORRECT)
        ],
    }


def _disagreement(number: int, row: Row, answer: Answer, grade: Grade) -> Disagreement:
    place: dict[str, object] = {key: row[key] for key in ("idx", "doc_id") if key in row}
    entry = {"line": number, "task": answer.task} | place | {"gold": answer.gold} | verdict_keys(grade)
    return cast("Disagreement", entry)


def _counts(grades: Sequence[Grade]) -> TaskCounts:
    paper = Counter(grade.paper for grade in grades)
    verified = Counter(grade.verified for grade in grades)
    return {
        "n": len(grades),
        "paper": {verdict.value: paper[verdict] for verdict in Verdict},
        "paper_accuracy": round(100 * paper[Verdict.CORRECT] / len(grades), 1),
        "verified": {verdict.value: verified[verdict] for verdict in Verdict},
        "verified_accuracy": round(100 * verified[Verdict.CORRECT] / len(grades), 1),
    }


def reporting_pool(progress: Progress) -> WorkerPool:
    """Return a pool that shows on ``progress`` how many of the answers that need algebra are settled."""
    settled = count(1)

    def announce(questions: int) -> None:
        nonlocal settled
        settled = count(1)
        progress.start(questions, "hard answers")

    def tick(question: Question, verdict: Verdict) -> None:
        progress.update(next(settled))

    return WorkerPool(on_questions=announce, on_answer=tick)


def print_summary(summary: Summary, console: Console) -> None:
    """Print the summary of a graded file."""
    console.print(Group(_scores(summary["tasks"]), *_disagreements(summary["disagreements"])))
    console.print(f"{summary['n']} answers in {summary['seconds']:.1f} s", highlight=False)


def _scores(tasks: Mapping[str, TaskCounts]) -> Table:
    table = Table("task", "n", "verdict", "accuracy", *(verdict.value.replace("_", " ") for verdict in Verdict))
    for column in table.columns[1:2] + table.columns[3:]:
        column.justify = "right"
    for task, counts in tasks.items():
        paper = map(str, counts["paper"].values())
        table.add_row(task, str(counts["n"]), "paper", f"{counts['paper_accuracy']:.1f}", *paper)
        verified = map(str, counts["verified"].values())
        table.add_row("", "", "verified", f"{counts['verified_accuracy']:.1f}", *verified)
    return table


def _disagreements(entries: Sequence[Disagreement]) -> list[Table | Text]:
    if not entries:
        return [Text("the two verdicts agree on every answer")]
    table = Table("line", "task", "answer", "gold", "paper", "verified", title=f"{len(entries)} disagreements")
    table.title_justify = "left"
    for entry in entries:
        cells = (entry["line"], entry["task"], _short(entry["pred"]), _short(entry["gold"]))
        # Text, not str: rich would take the brackets of an interval for markup.
        table.add_row(*(Text(str(cell)) for cell in (*cells, entry["paper"], entry["verified"])))
    return [table]


def _short(answer: str) -> str:
    line = " ".join(answer.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
