"""Runs a corpus stage on its own, in this process or in one that can be killed or measured."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from rho1bench.corpus import packed_corpus
from rho1bench.corpus import stage as corpus_stage
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import Recipe
from rho1bench.system.progress import SilentProgress


class HeardProgress(SilentProgress):
    """Remembers the lines that a user would see."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def corpus_context(tokenizer_folder: Path, folder: Path, sources: list[dict[str, Any]], **fields: Any) -> StageContext:
    """Return the context of a corpus stage that writes to ``folder``; ``tokenizer_folder`` holds ``tokenizer/``."""
    folder.mkdir(parents=True, exist_ok=True)
    stages = [
        {"name": "tokens", "kind": "tokenizer", "pretrained": str(tokenizer_folder / "tokenizer")},
        {"name": "corpus", "kind": "corpus", "tokenizer": "tokens", "block_size": 32, "sources": sources, **fields},
    ]
    recipe = Recipe.model_validate({"name": "corpus", "stages": stages})
    return StageContext(recipe, recipe.stages[1], folder, {"tokens": tokenizer_folder}, 0, HeardProgress())


def make_corpus(tokenizer_folder: Path, folder: Path, sources: list[dict[str, Any]], **fields: Any) -> PackedCorpus:
    """Run the stage and return the corpus."""
    corpus_stage.run(corpus_context(tokenizer_folder, folder, sources, **fields))
    return PackedCorpus(folder)


def content(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a corpus."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def write_lines(path: Path, texts: list[str]) -> dict[str, Any]:
    """Write one document a line and return the source that reads them."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return {"type": "local", "path": str(path)}


def kill_at_write(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let a process be killed (KeyboardInterrupt) where it puts its ``number``-th file in place; later ones go well."""
    replace, left = os.replace, number

    def dying_replace(origin: str, target: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        replace(origin, target)

    monkeypatch.setattr("rho1bench.system.files.os.replace", dying_replace)


def main() -> None:
    """Run the stage described by the JSON in the first argument and print the largest memory in kB."""
    import resource

    wanted = json.loads(sys.argv[1])
    packed_corpus.TOKENS_PER_SHARD = wanted["tokens_per_shard"]
    make_corpus(Path(wanted["tokenizer"]), Path(wanted["folder"]), wanted["sources"], **wanted["fields"])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main()
