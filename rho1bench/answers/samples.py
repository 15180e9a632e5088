"""One line of samples, whoever wrote it, as a question and an answer to it.

Known are the lines of ``samples_<task>.jsonl`` (an evaluation of this project), and the lines that ``rho1bench grade``
wrote: released outputs, our own and lm-eval's samples, each with ``pred``, ``paper`` and ``verified``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rho1bench.comparison.result_files import JsonObject
from rho1bench.errors import DataError

_TEXTS = ("completion", "code", "resps", "filtered_resps")
_QUESTIONS = ("prompt", "question", "input", "problem")
_GOLDS = ("gold", "gt", "target", "answer")
_DETAILS = ("pred", "num_tokens", "calls", "outcomes", "loglikelihoods")
_OF_THE_ANSWER = {
    *_TEXTS, *_DETAILS, "task", "doc_id", "idx", "doc", "target", "prompt", "score", "paper", "verified",
    "finish_reason", "truncated", "doc_hash", "prompt_hash", "arguments", "metrics", "filter", "report",
}  # fmt: skip
_ADVICE = "Expected samples of an evaluation, or lines that `rho1bench grade` wrote."


@dataclass(frozen=True)
class Question:
    """What was asked: ``document`` is the whole row of the data set."""

    task: str
    doc_id: str
    prompt: str
    gold: str
    document: Mapping[str, object]

    @property
    def key(self) -> tuple[str, ...]:
        """The same for all who were asked the same."""
        return self.task, self.doc_id, self.prompt, self.gold


@dataclass(frozen=True)
class Answer:
    """What a model said; verdicts are empty for tasks that no answer is extracted for, ``score`` is in [0, 1]."""

    question: Question
    score: float
    paper: str
    verified: str
    finish_reason: str
    truncated: bool
    texts: list[str]
    """Several where several samples were drawn; none where choices were ranked."""
    details: JsonObject
    """What else the line says: ``pred``, tokens, calls of the interpreter, log-likelihoods, outcomes of programs."""

    @property
    def pred(self) -> str:
        """The extracted answer; empty where there is none."""
        return str(self.details.get("pred", ""))


def read_answers(path: Path, task: str | None = None) -> Iterator[Answer]:
    """Yield the answers of a file; ``task`` is the name for lines that name none (default: the file's name).

    Raises DataError, with file and line, for what is no JSON object or holds no answer.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file):
                if line.strip():
                    yield as_answer(_parsed(line), f"{path}:{number + 1}", number, task or task_of_file(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}). {_ADVICE}") from error


def task_of_file(path: Path) -> str:
    """Return the task's name in ``samples_<task>.jsonl``, else the file's name."""
    return path.stem.removeprefix("samples_")


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def as_answer(row: object, where: str, number: int, task: str) -> Answer:
    """Return one line as an answer; ``number`` is its doc_id where it has none. Raises DataError."""
    if not isinstance(row, dict):
        raise DataError(f"{where}: is no JSON object. {_ADVICE}")
    texts = next((found for key in _TEXTS if (found := list(_strings(row.get(key))))), [])
    paper, verified = (_word(row.get(side)) for side in ("paper", "verified"))
    if not texts and "loglikelihoods" not in row and "score" not in row:
        raise DataError(f"{where}: holds no answer. {_ADVICE}")
    return Answer(
        question=_question(row, number, task),
        score=_score(row.get("score"), verdict=paper),
        paper=paper,
        verified=verified,
        finish_reason=str(row.get("finish_reason") or ""),
        truncated=row.get("truncated") is True,
        texts=texts,
        details={key: row[key] for key in _DETAILS if row.get(key) is not None},
    )


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _question(row: Mapping[str, object], number: int, task: str) -> Question:
    doc = row.get("doc")
    document = doc if isinstance(doc, dict) else {key: row[key] for key in row if key not in _OF_THE_ANSWER}
    places = (row, document)
    return Question(
        task=str(row.get("task", task)),
        doc_id=str(row.get("doc_id", row.get("idx", number))),
        prompt=_first(places, _QUESTIONS),
        gold=_first(places, _GOLDS),
        document=document,
    )


def _first(places: tuple[Mapping[str, object], ...], keys: tuple[str, ...]) -> str:
    for place in places:
        for key in keys:
            value = place.get(key)
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                return str(value)
            if isinstance(value, list) and value and key in _GOLDS:
                return json.dumps(value, ensure_ascii=False)
    return ""


def _score(value: object, *, verdict: str) -> float:
    """Return the line's score; graded lines are scored by the paper's verdict."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return float(verdict == "correct")


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
