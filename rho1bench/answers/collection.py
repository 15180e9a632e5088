"""All answers of a page in two parts: an index that the filters need, and chunks that are read when they are shown.

The index holds a few letters an answer; prompts, completions and documents lie in chunks of about half a megabyte of
text. A question stands once, however many models answered it, and the examples before it once a task.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rho1bench.answers.samples import Answer, Question, read_answers
from rho1bench.answers.sources import Source
from rho1bench.comparison.result_files import JsonObject

CHUNK = 1 << 19
"""Characters of text in a chunk, about."""
_SHOWN = 60
"""Characters of an extracted or a gold answer in the list."""


@dataclass
class Chunks:
    """Values in order, cut into chunks of about ``CHUNK`` characters; ``starts`` are the chunks' first places."""

    starts: list[int] = field(default_factory=list)
    parts: list[list[list[object]]] = field(default_factory=list)
    _room: int = 0

    def add(self, value: list[object], size: int) -> None:
        """Append a value that takes about ``size`` characters."""
        if self._room <= 0:
            self.starts.append(sum(map(len, self.parts[-1:]), self.starts[-1] if self.starts else 0))
            self.parts.append([])
            self._room = CHUNK
        self.parts[-1].append(value)
        self._room -= size


@dataclass
class _Numbered:
    """Words that the index holds as numbers."""

    names: dict[str, int] = field(default_factory=dict)

    def number(self, name: str) -> int:
        return self.names.setdefault(name, len(self.names))


@dataclass
class Collection:
    """The index and the chunks of the questions and of each model's answers."""

    index: JsonObject
    questions: Chunks
    answers: list[Chunks]

    @property
    def num_answers(self) -> int:
        """Answers of all models."""
        return sum(len(model["question"]) for model in self.index["models"])


def collect(sources: Sequence[Source]) -> Collection:
    """Read the answers of all models; raises DataError, naming file and line."""
    questions: dict[tuple[str, ...], Question] = {}
    words, reasons = _Numbered(), _Numbered()
    models, chunks = [], []
    for source in sources:
        own = Chunks()
        found = (answer for path in source.files for answer in read_answers(path))
        models.append({"label": source.label} | _columns(found, questions, words, reasons, own))
        chunks.append(own)
    tasks = _Numbered()
    asked = Chunks()
    table = _question_columns(list(questions.values()), tasks, asked)
    index = {
        "models": [model | {"starts": own.starts} for model, own in zip(models, chunks, strict=True)],
        "questions": table | {"starts": asked.starts},
        "tasks": list(tasks.names),
        "words": list(words.names),
        "reasons": list(reasons.names),
    }
    return Collection(index, asked, chunks)


def _columns(
    answers: Iterable[Answer],
    questions: dict[tuple[str, ...], Question],
    words: _Numbered,
    reasons: _Numbered,
    chunks: Chunks,
) -> JsonObject:
    """Return the columns of one model's answers; its texts go into ``chunks``, new questions into ``questions``."""
    columns: dict[str, list[object]] = {
        key: [] for key in ("question", "score", "paper", "verified", "reason", "cut", "pred")
    }
    places = {key: place for place, key in enumerate(questions)}
    for answer in answers:
        asked = answer.question
        questions.setdefault(asked.key, asked)
        columns["question"].append(places.setdefault(asked.key, len(places)))
        columns["score"].append(round(answer.score, 4))
        columns["paper"].append(words.number(answer.paper))
        columns["verified"].append(words.number(answer.verified))
        columns["reason"].append(reasons.number(answer.finish_reason))
        columns["cut"].append(int(answer.truncated))
        columns["pred"].append(_short(answer.pred))
        chunks.add([answer.texts, answer.details], sum(map(len, answer.texts)) + 200)
    return dict(columns)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _question_columns(questions: Sequence[Question], tasks: _Numbered, chunks: Chunks) -> JsonObject:
    """Return the columns of the questions; their prompts go into ``chunks`` without what all of a task begin with."""
    prompts: dict[str, list[str]] = {}
    for one in questions:
        prompts.setdefault(one.task, []).append(one.prompt)
    examples = {task: common_examples(found) for task, found in prompts.items()}
    for one in questions:
        rest = one.prompt[len(examples[one.task]) :]
        document = json.dumps(one.document, ensure_ascii=False, indent=1)
        chunks.add([rest, document], len(rest) + len(document))
    return {
        "task": [tasks.number(one.task) for one in questions],
        "doc": [one.doc_id for one in questions],
        "gold": [_short(one.gold) for one in questions],
        "examples": [examples[task] for task in tasks.names],
    }


def common_examples(prompts: Sequence[str]) -> str:
    """Return what all prompts of a task begin with, up to the last blank line; empty for fewer than two prompts."""
    if len(prompts) < 2:
        return ""
    low, high = min(prompts), max(prompts)  # what these two begin with, all that lie between them begin with too
    end = next((place for place, (left, right) in enumerate(zip(low, high, strict=False)) if left != right), len(low))
    shared = low[:end]
    return shared[: shared.rfind("\n\n") + 2] if "\n\n" in shared else ""
