"""Stored reference scores: loss and entropy of every token of a packed corpus, made once (``selection.scoring``).

A store names the reference, tokenizer and packing that it was made with; using it with others is an error, never a
silent rescore. ``scoring.json`` says whose shards a folder holds; ``scores.json`` says the same when all are there,
with their hashes and what the scoring took.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rho1bench.corpus.packed_corpus import PackedCorpus, Shards, shard_name
from rho1bench.errors import ScoreStoreError
from rho1bench.recipe.models.rule_specs import LOSS_RANKS, LOSSES
from rho1bench.system.files import changed_files, content_hashes, read_json, write_text

TOKENS_PER_SHARD = 2**26
"""Tokens in one file of a finished store."""
TOKENS_PER_PART = 2**20
"""Tokens of a file on the way there: the most that a kill can cost, and what one of several processes takes at a
time."""
NOTE, FINISHED, PARTS = "scoring.json", "scores.json", "parts"
_HASH = ".sha256"


def shard_paths(folder: Path, num_blocks: int, shard_blocks: int) -> list[Path]:
    """Return the files of a store in order."""
    return [folder / shard_name("scores", index) for index in range(-(-num_blocks // shard_blocks))]


@dataclass(frozen=True)
class Part:
    """Blocks ``first`` to ``last``, scored in one go: a shard, or a piece of one that waits for its others."""

    path: Path
    shard: Path
    first: int
    last: int


def parts_of(folder: Path, num_blocks: int, shard_blocks: int, part_blocks: int) -> list[Part]:
    """Return what a store is made of, in order; a shard of at most ``part_blocks`` is a part itself."""
    parts = []
    for index, shard in enumerate(shard_paths(folder, num_blocks, shard_blocks)):
        end = min((index + 1) * shard_blocks, num_blocks)
        for number, first in enumerate(range(index * shard_blocks, end, part_blocks)):
            piece = folder / PARTS / f"{shard.stem}-{number:03d}.npy"
            path = shard if shard_blocks <= part_blocks else piece
            parts.append(Part(path, shard, first, min(first + part_blocks, end)))
    return parts


def note_hash(path: Path) -> None:
    """Note the hash of a shard beside it, until ``scores.json`` takes it over."""
    write_text(path.with_suffix(_HASH), content_hashes(path.parent, [path.name])[path.name])


def noted_hashes(folder: Path) -> dict[str, str]:
    """Return the hashes of the files of a store, finished or not; of its parts too if it is their folder."""
    finished = read_json(folder / FINISHED).get("sha256", {}) if (folder / FINISHED).is_file() else {}
    notes = {path.with_suffix(".npy").name: path.read_text(encoding="utf-8") for path in folder.glob(f"*{_HASH}")}
    return {**finished, **notes}


def remove_notes(folder: Path) -> None:
    """Remove what :func:`note_hash` wrote."""
    for path in folder.glob(f"*{_HASH}"):
        path.unlink()


def corpus_identity(corpus: PackedCorpus) -> dict[str, Any]:
    """Return what a store says of the corpus whose tokens it scores."""
    return {
        "tokenizer_sha256": corpus.tokenizer_sha256,
        "corpus_fingerprint": corpus.fingerprint,
        "num_blocks": len(corpus),
        "block_size": corpus.block_size,
    }


def differences(found: dict[str, Any], expected: dict[str, Any]) -> str:
    """Return a line for every name under which a store says something else than ``expected``."""
    return "\n".join(
        f"  {name}: the scores were made with {found.get(name)}, here it is {value}"
        for name, value in expected.items()
        if found.get(name) != value
    )


def ranks(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return the rank, 0 to 1, of every float16 among numbers of which each occurs ``counts`` times; NaN of NaN.

    Both are indexed by the number's 16 bits. Equal numbers share their middle rank.
    """
    numbers = np.arange(2**16, dtype=np.uint16).view(np.float16)
    order = np.argsort(numbers, kind="stable")  # NaN last
    order = order[: int(np.sum(~np.isnan(numbers)))]
    # Both zeros are one number.
    merged = counts.copy()
    merged[0], merged[_MINUS_ZERO] = counts[0] + counts[_MINUS_ZERO], 0
    below = np.cumsum(merged[order]) - merged[order]
    found = np.full(2**16, np.nan, dtype=np.float32)
    found[order] = (below + merged[order] / 2) / max(int(merged[order].sum()), 1)
    found[_MINUS_ZERO] = found[0]
    return found


_MINUS_ZERO = 2**15


class TokenScores:
    """The scores of one score stage. Raises ScoreStoreError for a folder that holds no finished store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / FINISHED
        if not path.is_file():
            raise ScoreStoreError(
                f"{folder}: holds no token scores ({FINISHED} is missing). Run its score stage first."
            )
        self.meta: dict[str, Any] = read_json(path)
        try:
            num_blocks, shard_blocks = int(self.meta["num_blocks"]), int(self.meta["shard_blocks"])
        except (KeyError, TypeError, ValueError) as error:
            raise ScoreStoreError(
                f"{path}: describes no score store of this version ({error!r}). Score the corpus again."
            ) from error
        self.scores = Shards(shard_paths(folder, num_blocks, shard_blocks), num_blocks, shard_blocks)

    def __len__(self) -> int:
        return len(self.scores)

    def block(self, index: int) -> npt.NDArray[np.float32]:
        """Return loss and entropy of one block in nats, shape ``(block_size, 2)``; position 0 is NaN.

        The entropies of a store that holds none are all NaN.
        """
        scores_TC = self.scores[index].astype(np.float32)
        if scores_TC.shape[1] == 1:
            scores_TC = np.pad(scores_TC, ((0, 0), (0, 1)), constant_values=np.nan)
        return scores_TC

    def check_files(self) -> None:
        """Raise ScoreStoreError if a shard is not the file that was written; older stores have no hashes."""
        changed = changed_files(self.folder, self.meta.get("sha256", {}))
        if changed:
            raise ScoreStoreError(
                f"{self.folder / changed[0]}: is missing or was changed after it was written ({FINISHED} has another "
                "SHA-256). Remove the folder and score the corpus again."
            )

    def values(self, index: int, kind: str) -> npt.NDArray[np.float32]:
        """Return ``losses``, ``entropies`` or ``loss_ranks`` of one block, ``(block_size,)``; position 0 is NaN."""
        scores_TC = self.scores[index]
        if kind == LOSS_RANKS:
            return self._rank_of_loss[np.ascontiguousarray(scores_TC[:, 0]).view(np.uint16)]
        return scores_TC[:, 0 if kind == LOSSES else 1].astype(np.float32)

    @cached_property
    def _rank_of_loss(self) -> npt.NDArray[np.float32]:
        """The rank of every number that a float16 can be among the losses of the store, by its 16 bits."""
        counts = np.zeros(2**16, dtype=np.int64)
        step = max(TOKENS_PER_PART // int(self.meta["block_size"]), 1)
        for start in range(0, len(self), step):
            losses = self.scores.rows(start, min(start + step, len(self)))[:, 1:, 0]
            counts += np.bincount(np.ascontiguousarray(losses).view(np.uint16).ravel(), minlength=2**16)
        return ranks(counts)

    def check(self, corpus: PackedCorpus, reference_sha256: str | None = None) -> None:
        """Raise ScoreStoreError, naming every difference, unless the scores belong to ``corpus`` and reference."""
        expected = corpus_identity(corpus)
        if reference_sha256 is not None:
            expected["reference_sha256"] = reference_sha256
        lines = differences(self.meta, expected)
        if lines:
            raise ScoreStoreError(
                f"{self.folder}: these token scores do not belong to the corpus in {corpus.folder}:\n{lines}\n"
                "Score this corpus with its own score stage."
            )

    def check_entropies(self, score: str = "reference_entropy") -> None:
        """Raise ScoreStoreError if the store has losses only, for a selection by the rule ``score``."""
        if not self.meta["has_entropy"]:
            raise ScoreStoreError(
                f"{self.folder}: these token scores ({self.meta['reference']}) hold no entropies, which the score "
                f"{score!r} needs: a server tells none, and a score stage with `entropies: false` keeps none. Select "
                "by reference_loss or excess_loss, or score with a checkpoint and with entropies."
            )
