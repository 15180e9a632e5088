"""Stored reference scores: loss and entropy of every token of a packed corpus, made once (``selection.scoring``).

A store names the reference, tokenizer and packing that it was made with; using it with others is an error, never a
silent rescore.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rho1bench.corpus.packed import PackedCorpus, Shards, shard_name
from rho1bench.errors import ScoreStoreError
from rho1bench.files import read_json

_TOKENS_PER_SHARD = 2**20


def score_shard_blocks(block_size: int) -> int:
    """Return how many blocks one score file holds: about a million tokens, the most that a kill can cost."""
    return max(_TOKENS_PER_SHARD // block_size, 1)


class TokenScores:
    """The scores of one score stage. Raises ScoreStoreError for a folder that holds no finished store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "scores.json"
        if not path.is_file():
            raise ScoreStoreError(
                f"{folder}: holds no token scores (scores.json is missing). Run its score stage first."
            )
        self.meta: dict[str, Any] = read_json(path)
        num_blocks, per_shard = int(self.meta["num_blocks"]), score_shard_blocks(int(self.meta["block_size"]))
        paths = [folder / shard_name("scores", index) for index in range(-(-num_blocks // per_shard))]
        self.scores = Shards(paths, num_blocks, per_shard)

    def __len__(self) -> int:
        return len(self.scores)

    def block(self, index: int) -> npt.NDArray[np.float32]:
        """Return loss and entropy of one block in nats, shape ``(block_size, 2)``; position 0 is NaN."""
        return self.scores[index].astype(np.float32)

    def check(self, corpus: PackedCorpus, reference_sha256: str | None = None) -> None:
        """Raise ScoreStoreError, naming every difference, unless the scores belong to ``corpus`` and reference."""
        expected: dict[str, Any] = {
            "tokenizer_sha256": corpus.tokenizer_sha256,
            "corpus_fingerprint": corpus.fingerprint,
            "num_blocks": len(corpus),
            "block_size": corpus.block_size,
        }
        if reference_sha256 is not None:
            expected["reference_sha256"] = reference_sha256
        lines = [
            f"  {name}: the scores were made with {self.meta.get(name)}, here it is {value}"
            for name, value in expected.items()
            if self.meta.get(name) != value
        ]
        if lines:
            raise ScoreStoreError(
                f"{self.folder}: these token scores do not belong to the corpus in {corpus.folder}:\n"
                + "\n".join(lines)
                + "\nScore this corpus with its own score stage."
            )
