"""What ``rho1bench grade`` shows: progress while it grades, then accuracies, verdict counts and every disagreement.

Reads the summary of :func:`rho1bench.grading.saved_outputs.grade_file`; the only module of the room that knows a
console.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from rho1bench.grading.pool import Question, WorkerPool
from rho1bench.grading.verdict import Verdict
from rho1bench.system.progress import Progress

_LONGEST = 80
"""Characters of an answer in the list of disagreements; the output file has it whole."""


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


def print_summary(summary: Mapping[str, Any], console: Console) -> None:
    """Print the summary of a graded file."""
    console.print(Group(_scores(summary["tasks"]), *_disagreements(summary["disagreements"])))
    console.print(f"{summary['n']} answers in {summary['seconds']:.1f} s", highlight=False)


def _scores(tasks: Mapping[str, Any]) -> Table:
    table = Table("task", "n", "verdict", "accuracy", *(verdict.value.replace("_", " ") for verdict in Verdict))
    for column in table.columns[1:2] + table.columns[3:]:
        column.justify = "right"
    for task, counts in tasks.items():
        for kind in ("paper", "verified"):
            first = (task, str(counts["n"])) if kind == "paper" else ("", "")
            numbers = (str(counts[kind][verdict.value]) for verdict in Verdict)
            table.add_row(*first, kind, f"{counts[f'{kind}_accuracy']:.1f}", *numbers)
    return table


def _disagreements(entries: list[dict[str, Any]]) -> list[Table | Text]:
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
