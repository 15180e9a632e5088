"""What the corpora of a run hold of benchmark texts (``corpus.decontamination``), for summary, report and records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from rho1bench.comparison.result_files import ResultModel
from rho1bench.corpus.packed_corpus import CorpusMeta, PackedCorpus
from rho1bench.recipe import CorpusStage, Recipe


class SourceOverlap(ResultModel):
    """One source: how much of it holds texts of benchmarks, and whether that was left out of the corpus."""

    source: str
    decontaminate: Literal["report", "drop"]
    documents: int
    """With a benchmark text; of ``num_documents`` (those left out are not among them)."""
    tokens: int
    """Of these documents; of ``num_tokens``."""
    num_documents: int
    num_tokens: int
    texts: int
    """Benchmark texts that were found."""
    tasks: dict[str, dict[str, int]]
    """The same by task and part, ``{"rho1_gsm8k_cot": {"question": 2}}``."""


class CorpusOverlap(ResultModel):
    """One corpus, and how many texts were looked for in it."""

    texts: int
    looked_for: int
    """The others are too short, or share their words with many."""
    texts_sha256: str
    sources: list[SourceOverlap]


def corpus_overlaps(recipe: Recipe, folders: Mapping[str, Path]) -> dict[str, CorpusOverlap]:
    """Return what was found by corpus stage; stages without ``benchmark_texts`` are left out.

    Raises DataError for a stage whose folder holds no corpus.
    """
    stages = [stage.name for stage in recipe.stages_of(CorpusStage) if stage.benchmark_texts is not None]
    return {name: _overlap(PackedCorpus(folders[name]).meta) for name in stages if name in folders}


def _overlap(meta: CorpusMeta) -> CorpusOverlap:
    sources = []
    for account in meta["sources"]:
        found = account["benchmark_overlap"]
        sources.append(
            SourceOverlap(
                source=account["source"],
                decontaminate=found["decontaminate"],
                documents=found["documents"],
                tokens=found["tokens"],
                num_documents=account["num_documents"],
                num_tokens=account["num_tokens"],
                texts=found["texts"],
                tasks=found["tasks"],
            )
        )
    texts = meta["benchmark_texts"]
    return CorpusOverlap(
        texts=texts["texts"], looked_for=texts["looked_for"], texts_sha256=texts["sha256"], sources=sources
    )
