"""The text of an atlas: blocks of a packed corpus, its tokens as one stream, and the documents that lie in it.

Shapes: B blocks, T positions, N = B * T tokens of the stream, D documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rho1bench.corpus.packed_corpus import SPECIAL, PackedCorpus, shard_name

Ints = npt.NDArray[np.int64]
LONGEST = 4096
"""Tokens of a document that a page shows at a time; the rest is a part of its own."""
MOST_STRETCHES = 32
_PREVIEW = 64
"""Characters of a document in the list."""


@dataclass(frozen=True)
class AtlasText:
    """Blocks of one corpus, and where documents begin in their tokens."""

    blocks: list[int]
    """Numbers of the blocks, ascending."""
    ids_BT: Ints
    """Vocabulary ids."""
    starts: Ints
    """Place in the stream at which each document, or part of a long one, begins, shape (D,)."""
    numbers: Ints
    """The document that it is, from 0, shape (D,); parts of one share it."""

    @property
    def num_tokens(self) -> int:
        """Tokens of the stream."""
        return self.ids_BT.size

    @property
    def lengths(self) -> Ints:
        """Tokens of each document or part, shape (D,)."""
        return np.diff(self.starts, append=self.num_tokens)


def choose_blocks(num_blocks: int, wanted: int) -> list[int]:
    """Return about ``wanted`` of ``num_blocks`` blocks, all where there are no more.

    They lie in stretches that are spread evenly, so that most documents are whole.
    """
    if wanted >= num_blocks:
        return list(range(num_blocks))
    size = -(-wanted // MOST_STRETCHES)
    count = wanted // size
    gaps = max(count - 1, 1)
    return [place * (num_blocks - size) // gaps + i for place in range(count) for i in range(size)]


def read_text(corpus: PackedCorpus, num_tokens: int, eos: int) -> AtlasText:
    """Read about ``num_tokens`` tokens; ``eos`` is the token that ends documents.

    Raises DataError for a corpus that does not say where they end.
    """
    corpus.check_document_ends()
    blocks = choose_blocks(len(corpus), max(num_tokens // corpus.block_size, 1))
    ids_BT = np.stack([corpus.block(block) for block in blocks])
    ends_BT = ids_BT == eos
    if (corpus.folder / shard_name("kinds", 0)).is_file():  # a text may hold the token, too
        ends_BT &= np.stack([corpus.kinds[block] for block in blocks]) == SPECIAL
    begins_BT = np.zeros_like(ends_BT)
    begins_BT[:, 1:] = ends_BT[:, :-1]
    begins_BT[1:, 0] = ends_BT[:-1, -1] | (np.diff(blocks) != 1)
    begins_BT[0, 0] = True
    whole = np.flatnonzero(begins_BT)
    lengths = np.diff(whole, append=ids_BT.size)
    parts = [np.arange(start, start + length, LONGEST) for start, length in zip(whole, lengths, strict=True)]
    numbers = np.repeat(np.arange(len(whole)), [len(part) for part in parts])
    return AtlasText(blocks, ids_BT, np.concatenate(parts), numbers)


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that occur, the commonest first."""

    ids: Ints
    """Their ids in the tokenizer, shape (V,)."""
    places_N: Ints
    """The place of every token of the stream in ``ids``."""


def vocabulary_of(text: AtlasText) -> Vocabulary:
    """Return the vocabulary of a text."""
    ids, places, counts = np.unique(text.ids_BT.ravel(), return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return Vocabulary(ids[order], rank[places.ravel()])


def previews(text: AtlasText, pieces: Mapping[int, bytes]) -> list[str]:
    """Return how each document or part begins, on one line."""
    stream = text.ids_BT.ravel()
    return [
        _beginning(stream[start : start + min(length, _PREVIEW)].tolist(), pieces)
        for start, length in zip(text.starts.tolist(), text.lengths.tolist(), strict=True)
    ]


def _beginning(tokens: Sequence[int], pieces: Mapping[int, bytes]) -> str:
    found = b"".join(pieces.get(token, b"") for token in tokens).decode("utf-8", "replace")
    return " ".join(found.split())[:_PREVIEW]
