"""A packed corpus on disk: blocks of token ids and their kinds, in memory-mapped shards.

Written by the corpus stage (``corpus.stage``), read by scoring, training and analysis.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from rho1bench.corpus.decontamination import BenchmarkSummary, SourceOverlap
from rho1bench.errors import DataError
from rho1bench.system.files import changed_files, read_json

Array = npt.NDArray[np.generic]
"""Of token ids (uint16 or uint32), kinds or document ids; or of whatever else is kept in shards."""

TOKENS_PER_SHARD = 2**26
"""What a kill can cost, and the buffer that packing needs."""
SPECIAL = 0
"""Number of the kind of the tokens between documents."""
OLD_SHARD_BLOCKS = 2**16
"""Blocks in a shard of older corpora, whose metadata lack ``shard_blocks``."""


def shard_blocks(block_size: int) -> int:
    """Return how many blocks one shard holds: about :data:`TOKENS_PER_SHARD` tokens."""
    return max(TOKENS_PER_SHARD // block_size, 1)


def shard_name(prefix: str, index: int) -> str:
    """Return the file name of shard ``index``."""
    return f"{prefix}-{index:05d}.npy"


class Shards:
    """Rows of several ``.npy`` files, read as one sequence through memory maps that are opened when first used.

    At most ``max_open`` are open at a time; the least recently used one is closed.
    """

    def __init__(self, paths: Sequence[Path], num_rows: int, shard_rows: int, max_open: int = 256) -> None:
        self._max_open = max_open
        self._paths = list(paths)
        self._num_rows = num_rows
        self._shard_rows = shard_rows
        self._maps: OrderedDict[int, Array] = OrderedDict()

    def __len__(self) -> int:
        return self._num_rows

    def __getitem__(self, index: int) -> Array:
        if not 0 <= index < self._num_rows:
            raise IndexError(f"row {index} of {self._num_rows}")
        shard, row = divmod(index, self._shard_rows)
        array: Array = self._map(shard)[row]
        return array

    def rows(self, start: int, stop: int) -> Array:
        """Return rows ``start`` to ``stop`` as one array (a copy where they lie in several shards)."""
        first, last = start // self._shard_rows, max(stop - 1, start) // self._shard_rows
        parts = []
        for shard in range(first, last + 1):
            offset = shard * self._shard_rows
            parts.append(self._map(shard)[max(start - offset, 0) : stop - offset])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _map(self, shard: int) -> Array:
        if shard not in self._maps:
            try:
                self._maps[shard] = np.load(self._paths[shard], mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise DataError(f"{self._paths[shard]}: cannot be read ({error}). Run the stage again.") from error
            if len(self._maps) > self._max_open:
                self._maps.popitem(last=False)
        self._maps.move_to_end(shard)
        return self._maps[shard]


class SkippedRows(TypedDict):
    """How many rows of one kind were skipped, and where the first one stands."""

    count: int
    first: str


class SourceAccount(TypedDict):
    """What one source gave: its tokens in the blocks, its documents, and what was skipped, by kind."""

    source: str
    weight: float | None
    num_tokens: int
    num_documents: int
    bad_lines: dict[str, SkippedRows]
    benchmark_overlap: NotRequired[SourceOverlap]
    """Where benchmark texts were looked for."""


class CorpusMeta(TypedDict):
    """``corpus.json``; older corpora lack some keys."""

    num_blocks: int
    block_size: int
    num_tokens: int
    num_documents: int
    tokenizer_sha256: str
    vocab_size: NotRequired[int]
    kinds: list[str]
    shard_blocks: NotRequired[int]
    document_masking: NotRequired[bool]
    sources: NotRequired[list[SourceAccount]]
    fingerprint: NotRequired[str]
    benchmark_texts: NotRequired[BenchmarkSummary]
    """What was looked for in the sources."""
    sha256: NotRequired[dict[str, str]]
    """Hashes of the shards, by file name."""


class PackedCorpus:
    """The blocks of one corpus stage.

    ``blocks`` and ``kinds`` have one row of ``block_size`` entries a block, and so have ``document_ids`` (see
    ``corpus.masking``), which are None without document masking. Raises DataError for a folder that holds no finished
    corpus.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "corpus.json"
        if not path.is_file():
            raise DataError(f"{folder}: holds no packed corpus (corpus.json is missing). Run its corpus stage first.")
        self.meta: CorpusMeta = read_json(path)
        self.blocks = self._shards("blocks")
        self.kinds = self._shards("kinds")
        self.document_ids = self._shards("documents") if self.meta.get("document_masking") else None

    def _shards(self, prefix: str) -> Shards:
        per_shard = self.meta.get("shard_blocks", OLD_SHARD_BLOCKS)
        paths = [self.folder / shard_name(prefix, index) for index in range(-(-len(self) // per_shard))]
        return Shards(paths, len(self), per_shard)

    def check_files(self) -> None:
        """Raise DataError if a shard is not the file that the corpus stage wrote; older corpora have no hashes."""
        changed = changed_files(self.folder, self.meta.get("sha256", {}))
        if changed:
            raise DataError(
                f"{self.folder / changed[0]}: is missing or was changed after the corpus stage wrote it (corpus.json "
                "has another SHA-256). Remove the folder and run the corpus stage again."
            )

    def __len__(self) -> int:
        return self.meta["num_blocks"]

    @property
    def block_size(self) -> int:
        """Tokens in one block."""
        return self.meta["block_size"]

    @property
    def tokenizer_sha256(self) -> str:
        """Hash of the tokenizer that made the blocks."""
        return self.meta["tokenizer_sha256"]

    @property
    def fingerprint(self) -> str:
        """Hash of blocks, tokenizer and packing."""
        return self.meta["fingerprint"]

    def block(self, index: int) -> npt.NDArray[np.int64]:
        """Return the token ids of one block, shape ``(block_size,)``."""
        return self.blocks[index].astype(np.int64)

    def check_document_ends(self) -> None:
        """Raise DataError for a corpus that does not say where documents end, for rules that read documents."""
        has_kinds = bool(self.meta.get("kinds")) and (self.folder / shard_name("kinds", 0)).is_file()
        if self.document_ids is None and not has_kinds:
            raise DataError(
                f"{self.folder}: does not say where its documents end (it has no kinds of tokens), which a selection "
                "by document needs. Run its corpus stage again."
            )

    def document_numbers(self, index: int, eos: int) -> npt.NDArray[np.int64]:
        """Return the number of each token's document within its block, from 0, shape ``(block_size,)``.

        Stored ones with document masking; else a document ends with each end-of-text token (id ``eos``) that packing
        has put there, whatever the text itself holds.
        """
        if self.document_ids is not None:
            return self.document_ids[index].astype(np.int64)
        ends_T = (self.blocks[index] == eos) & (self.kinds[index] == SPECIAL)
        numbers_T: npt.NDArray[np.int64] = np.cumsum(ends_T) - ends_T
        return numbers_T

    def kind_names(self, index: int) -> list[str]:
        """Return the kind of every token of one block."""
        names = self.meta["kinds"]
        return [names[kind] for kind in self.kinds[index]]
