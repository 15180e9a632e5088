"""Two models on the same questions, answer by answer: who is right where, and which answers differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from rho1bench.answers.samples import Answer, read_answers
from rho1bench.answers.sources import Source
from rho1bench.errors import DataError
from rho1bench.rendering import numbers as fmt


@dataclass(frozen=True)
class AnswerPair:
    """One question and what the two said to it."""

    left: Answer
    right: Answer

    @property
    def sides(self) -> tuple[bool, bool]:
        """Whether the left and the right answer score 1."""
        return self.left.score == 1.0, self.right.score == 1.0

    @property
    def differs(self) -> bool:
        """True where score, extracted answer or a verdict is another one; the wording does not count."""
        return _said(self.left) != _said(self.right)


def _said(answer: Answer) -> tuple[object, ...]:
    return answer.score, answer.pred, answer.paper, answer.verified


def answer_pairs(left: Source, right: Source) -> list[AnswerPair]:
    """Return the questions that both were asked; raises DataError where there are none."""
    others = {answer.question.key: answer for answer in _answers(right)}
    pairs = [
        AnswerPair(answer, others[answer.question.key]) for answer in _answers(left) if answer.question.key in others
    ]
    if not pairs:
        raise DataError(
            f"{left.label} and {right.label} have no question in common: the same task, document, prompt and gold "
            "answer. Evaluate both on one suite with the same settings."
        )
    return pairs


def _answers(source: Source) -> Iterable[Answer]:
    return (answer for path in source.files for answer in read_answers(path))


def counts_table(pairs: Sequence[AnswerPair], left: str, right: str) -> Table:
    """Return counts of questions by task: who was right, and how many answers read the same word by word."""
    table = Table(title=Text(f"{left} and {right}, questions that both were asked"), title_justify="left")
    table.add_column("task", no_wrap=True)
    for column in ("n", "both right", f"only {left}", f"only {right}", "neither", "same text"):
        table.add_column(Text(column), justify="right")
    tasks: dict[str, list[AnswerPair]] = {}
    for pair in pairs:
        tasks.setdefault(pair.left.question.task, []).append(pair)
    for task, found in tasks.items():
        table.add_row(Text(task), *_counts(found))
    if len(tasks) > 1:
        table.add_section()
        table.add_row("all", *_counts(pairs))
    return table


def _counts(pairs: Sequence[AnswerPair]) -> list[str]:
    by_side = [sum(pair.sides == sides for pair in pairs) for sides in ((True, True), (True, False), (False, True))]
    same = sum(bool(pair.left.texts) and pair.left.texts == pair.right.texts for pair in pairs)
    numbers = (len(pairs), *by_side, len(pairs) - sum(by_side), same)
    return [fmt.count(number) for number in numbers]


def differing_table(pairs: Sequence[AnswerPair], left: str, right: str, most: int) -> Table:
    """Return the first ``most`` questions whose answers differ, those that one side alone gets right first."""
    found = sorted((pair for pair in pairs if pair.differs), key=lambda pair: pair.sides[0] == pair.sides[1])
    title = f"{len(found)} of {len(pairs)} answers differ" + (f"; the first {most}" if len(found) > most else "")
    table = Table(title=Text(title), title_justify="left")
    table.add_column("question", no_wrap=True)
    for column in ("gold", left, right):
        table.add_column(Text(column), overflow="fold")
    for pair in found[:most]:
        question = pair.left.question
        cells = (question.gold, _short(pair.left), _short(pair.right))
        table.add_row(Text(f"{question.task} {question.doc_id}"), *(Text(_one_line(cell)) for cell in cells))
    return table


def as_rows(pairs: Sequence[AnswerPair], left: str, right: str) -> list[dict[str, object]]:
    """Return every question with what both answered, for ``--json``."""
    return [
        {
            "task": pair.left.question.task,
            "doc_id": pair.left.question.doc_id,
            "gold": pair.left.question.gold,
            "differs": pair.differs,
            "answers": [
                {
                    "model": name,
                    "score": answer.score,
                    "pred": answer.pred,
                    "paper": answer.paper,
                    "verified": answer.verified,
                    "texts": answer.texts,
                }
                for name, answer in ((left, pair.left), (right, pair.right))
            ],
        }
        for pair in pairs
    ]


def _short(answer: Answer) -> str:
    verdicts = "" if not answer.paper else f" ({answer.paper}, verified {answer.verified})"
    said = answer.pred or (answer.texts[0] if answer.texts else "")
    return f"{'✓' if answer.score == 1.0 else '✗'} {said}{verdicts}"


def _one_line(text: str, most: int = 120) -> str:
    line = " ".join(text.split())
    line = "".join(letter if letter.isprintable() else "�" for letter in line)
    return line if len(line) <= most else line[: most - 1] + "…"
