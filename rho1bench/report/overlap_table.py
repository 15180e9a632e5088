"""Benchmark texts in the corpora on a run's page: source by source, in words and rows."""

from __future__ import annotations

from collections.abc import Mapping

from rho1bench.comparison.benchmark_overlap import CorpusOverlap, SourceOverlap
from rho1bench.corpus.overlap import WORDS
from rho1bench.rendering import numbers as fmt

_SHOWN = 3


def overlap_table(overlaps: Mapping[str, CorpusOverlap]) -> dict[str, object] | None:
    """Return the table of all corpora that were searched; None where none was."""
    if not overlaps:
        return None
    looked_for = max(corpus.looked_for for corpus in overlaps.values())
    return {
        "sentence": (
            f"{fmt.count(looked_for)} questions and answers of benchmarks were looked for, {WORDS} words in a row (a "
            "shorter one whole). Shares are of all documents and tokens that a source gave, those left out included."
        ),
        "rows": [
            [name, *_row(source)]
            for name, corpus in overlaps.items()
            for source in sorted(corpus.sources, key=lambda source: -source.documents)
        ],
    }


def _row(source: SourceOverlap) -> list[str]:
    is_dropped = source.decontaminate == "drop"
    counts = sorted(((sum(parts.values()), task) for task, parts in source.tasks.items()), key=lambda one: -one[0])
    return [
        source.source,
        _share(source.documents, source.num_documents, is_dropped),
        _share(source.tokens, source.num_tokens, is_dropped),
        fmt.count(source.texts),
        ", ".join(f"{task} {fmt.count(number)}" for number, task in counts[:_SHOWN]) or fmt.NONE,
        "left out" if is_dropped else "kept",
    ]


def _share(part: int, rest: int, is_dropped: bool) -> str:
    whole = part + rest if is_dropped else rest
    return f"{fmt.count(part)} ({fmt.percent(part / whole if whole else 0.0, 2)}%)"
