"""What each source of a corpus holds of the benchmarks that models are tested on, and what becomes of it.

Between the encoder, which finds the overlaps (``corpus.overlap``), and corpus.json, which tells of them. Only documents
that reach the corpus are counted, or that would but for ``decontaminate: drop``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

from rho1bench.corpus.overlap import Overlap, build_index
from rho1bench.errors import DataError
from rho1bench.system.files import read_json, read_jsonl, sha256_file, write_json, write_jsonl

TEXTS, SUMMARY = "benchmark_texts.jsonl", "benchmark_texts.json"
"""Of a stage ``benchmark_texts``: one text a line, and how many there are."""
EXAMPLES = 5


class BenchmarkText(TypedDict):
    """One line of :data:`TEXTS`; its number is its place."""

    tasks: list[str]
    """All that ask this very text."""
    doc_id: str
    """In the first of the tasks."""
    part: Literal["question", "answer"]
    text: str


class TaskTexts(TypedDict):
    """How many texts of one task there are, and how many of its test documents they are from."""

    documents: int
    whole: int | None
    """Documents of the whole test set; None if not known."""
    texts: int
    looked_for: int
    """The others are too short, or have no words that few other texts share."""


class BenchmarkSummary(TypedDict):
    """:data:`SUMMARY`."""

    texts: int
    looked_for: int
    sha256: str
    tasks: dict[str, TaskTexts]


class Example(TypedDict):
    """A document of a source (counted from 0 among those read) and the first words that a benchmark text shares."""

    document: int
    words: str
    text: int


class OverlapState(TypedDict):
    """What :class:`OverlapCount` needs to resume, as JSON."""

    documents: int
    tokens: int
    texts: list[int]
    examples: list[Example]


class ToldExample(TypedDict):
    """An example with the text's place in its benchmark."""

    document: int
    words: str
    task: str
    doc_id: str
    part: str


class SourceOverlap(TypedDict):
    """What corpus.json says of one source."""

    decontaminate: Literal["report", "drop"]
    documents: int
    """Documents that hold a benchmark text: in the corpus, or dropped from it."""
    tokens: int
    """Of these documents."""
    texts: int
    """Benchmark texts that were found."""
    tasks: dict[str, dict[str, int]]
    """The same by task and part: ``{"rho1_gsm8k_cot": {"question": 2}}``."""
    examples: list[ToldExample]


class OverlapCount:
    """Counts the overlaps of one source, document by document."""

    def __init__(self, policy: Literal["report", "drop"], state: OverlapState | None = None) -> None:
        self.policy = policy
        self.documents = state["documents"] if state else 0
        self.tokens = state["tokens"] if state else 0
        self.texts = set(state["texts"]) if state else set()
        self.examples = list(state["examples"]) if state else []

    @property
    def dropped(self) -> int:
        """Documents that were left out."""
        return self.documents if self.policy == "drop" else 0

    def is_dropped(self, overlap: Overlap | None, tokens: int, document: int) -> bool:
        """Count a document of so many ``tokens``; tell whether it is to be left out."""
        if overlap is None:
            return False
        self.documents, self.tokens = self.documents + 1, self.tokens + tokens
        self.texts.update(overlap.texts)
        if len(self.examples) < EXAMPLES:
            self.examples.append({"document": document, "words": overlap.words, "text": overlap.texts[0]})
        return self.policy == "drop"

    def state(self) -> OverlapState:
        """Return what ``__init__`` needs to resume, as JSON."""
        return {
            "documents": self.documents,
            "tokens": self.tokens,
            "texts": sorted(self.texts),
            "examples": self.examples,
        }

    def told(self, texts: Sequence[BenchmarkText]) -> SourceOverlap:
        """Return what corpus.json says; ``texts`` are those of the index."""
        tasks: dict[str, Counter[str]] = {}
        for number in sorted(self.texts):
            for task in texts[number]["tasks"]:
                tasks.setdefault(task, Counter())[texts[number]["part"]] += 1
        return {
            "decontaminate": self.policy,
            "documents": self.documents,
            "tokens": self.tokens,
            "texts": len(self.texts),
            "tasks": {task: dict(sorted(parts.items())) for task, parts in sorted(tasks.items())},
            "examples": [_told(example, texts[example["text"]]) for example in self.examples],
        }


def _told(example: Example, text: BenchmarkText) -> ToldExample:
    return {
        "document": example["document"],
        "words": example["words"],
        "task": text["tasks"][0],
        "doc_id": text["doc_id"],
        "part": text["part"],
    }


def write_benchmark_texts(
    folder: Path, texts: Sequence[BenchmarkText], rows: Mapping[str, tuple[int, int | None]]
) -> None:
    """Write texts, their index and how many there are; ``rows`` are each task's documents, at hand and in the whole."""
    index = build_index([text["text"] for text in texts])
    index.save(folder)
    write_jsonl(folder / TEXTS, texts)
    looked_for = index.looked_for
    tasks: dict[str, TaskTexts] = {
        name: {"documents": at_hand, "whole": whole, "texts": 0, "looked_for": 0}
        for name, (at_hand, whole) in rows.items()
    }
    for number, text in enumerate(texts):
        for name in text["tasks"]:
            tasks[name]["texts"] += 1
            tasks[name]["looked_for"] += number in looked_for
    summary: BenchmarkSummary = {
        "texts": len(texts),
        "looked_for": len(looked_for),
        "sha256": sha256_file(folder / TEXTS),
        "tasks": tasks,
    }
    write_json(folder / SUMMARY, summary)


def read_benchmark_texts(folder: Path) -> tuple[list[BenchmarkText], BenchmarkSummary]:
    """Return the texts of a stage ``benchmark_texts`` and how many there are.

    Raises DataError where the folder does not hold them.
    """
    if not (folder / SUMMARY).is_file():
        raise DataError(f"{folder}: holds no benchmark texts ({SUMMARY} is missing). Run its stage first.")
    texts: list[BenchmarkText] = read_jsonl(folder / TEXTS)
    summary: BenchmarkSummary = read_json(folder / SUMMARY)
    return texts, summary


def overlap_line(place: str, found: SourceOverlap) -> str:
    """Return one line about a source for people; empty where nothing was found."""
    if not found["documents"]:
        return ""
    worst = sorted(found["tasks"].items(), key=lambda item: (-sum(item[1].values()), item[0]))[:3]
    tasks = ", ".join(f"{task} {sum(parts.values())}" for task, parts in worst)
    what = "left out" if found["decontaminate"] == "drop" else "kept"
    return (
        f"{place}: {found['documents']} documents ({found['tokens']} tokens) hold {found['texts']} benchmark texts "
        f"({tasks}{', ...' if len(found['tasks']) > len(worst) else ''}) and are {what}"
    )
