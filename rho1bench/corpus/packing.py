"""Packing: documents joined to one stream of tokens and cut into blocks of one length (paper section 3.1).

The tail that does not fill a block is dropped. Tokens carry the kind of the text they come from, so that a run can
measure what a selection keeps (figure 13), and the starts of documents are kept for document masking. Blocks gather in
one buffer of a fixed size, so memory does not grow with the corpus.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rho1bench.corpus.encoder import SPECIAL_KIND, TokenDocument
from rho1bench.corpus.packed_corpus import Array


class KindTable:
    """Numbers the kinds in order of first use; at most 256 of them."""

    def __init__(self) -> None:
        self.names: list[str] = [SPECIAL_KIND]
        self._ids = {SPECIAL_KIND: 0}

    def id(self, name: str) -> int:
        """Return the number of kind ``name``."""
        if name not in self._ids:
            self._ids[name] = len(self.names)
            self.names.append(name)
            assert len(self.names) <= 256, "kinds are stored as uint8"
        return self._ids[name]


@dataclass(frozen=True)
class Shard:
    """Finished blocks: tokens, kinds and where documents start, ``(blocks, block_size)`` each; views of the buffer."""

    tokens: Array
    kinds: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.bool_]


class Packer:
    """Gathers documents and gives out shards of at most ``shard_blocks`` blocks, ``max_blocks`` in all."""

    def __init__(self, block_size: int, shard_blocks: int, max_blocks: int | None, dtype: npt.DTypeLike) -> None:
        self.kinds = KindTable()
        self.num_blocks = 0
        """Blocks given out."""
        self.tokens_kept: dict[int, int] = {}
        """Tokens in the blocks given out, by source."""
        self._block_size, self._shard_blocks, self._max_blocks = block_size, shard_blocks, max_blocks
        size = shard_blocks * block_size
        self._tokens = np.empty(size, dtype=dtype)
        self._kinds = np.empty(size, dtype=np.uint8)
        self._starts = np.empty(size, dtype=np.bool_)
        self._fill = 0
        self._owners: deque[tuple[int, int]] = deque()
        """(source, tokens) of what the buffer holds, in order."""

    @property
    def blocks_so_far(self) -> int:
        """Whole blocks gathered, given out or not."""
        found = self.num_blocks + self._fill // self._block_size
        return found if self._max_blocks is None else min(found, self._max_blocks)

    def is_full(self) -> bool:
        """True once ``max_blocks`` have been gathered."""
        return self._max_blocks is not None and self.blocks_so_far >= self._max_blocks

    def add(self, source: int, document: TokenDocument) -> Iterator[Shard]:
        """Take in a document; yield each shard that it fills."""
        kinds = np.array([self.kinds.id(name) for name in document.names], dtype=np.uint8)[document.kinds]
        done = 0
        while done < len(document) and not self.is_full():
            count = min(len(document) - done, len(self._tokens) - self._fill)
            place = slice(self._fill, self._fill + count)
            self._tokens[place] = document.tokens[done : done + count]
            self._kinds[place] = kinds[done : done + count]
            self._starts[place] = False
            self._starts[self._fill] = done == 0
            self._owners.append((source, count))
            self._fill, done = self._fill + count, done + count
            if self._fill == len(self._tokens) and not self.is_full():
                yield self._give_out(self._shard_blocks)

    def rest(self) -> Shard | None:
        """Return the last whole blocks as a smaller shard; None if there are none."""
        count = self.blocks_so_far - self.num_blocks
        return self._give_out(count) if count else None

    def state(self) -> dict[str, Array]:
        """Return the tokens that wait for their block, and whose they are."""
        fill = self._fill
        return {
            "tokens": self._tokens[:fill],
            "kinds": self._kinds[:fill],
            "starts": self._starts[:fill],
            "owners": np.array(self._owners, dtype=np.int64).reshape(-1, 2),
        }

    def restore(self, state: dict[str, Array], num_blocks: int, kept: dict[int, int], kinds: list[str]) -> None:
        """Resume from ``state`` of an earlier packer."""
        self.num_blocks, self.tokens_kept = num_blocks, dict(kept)
        for name in kinds:
            self.kinds.id(name)
        self._fill = len(state["tokens"])
        self._tokens[: self._fill] = state["tokens"]
        self._kinds[: self._fill] = state["kinds"]
        self._starts[: self._fill] = state["starts"]
        self._owners = deque((int(source), int(count)) for source, count in state["owners"])

    def _give_out(self, blocks: int) -> Shard:
        size, shape = blocks * self._block_size, (blocks, self._block_size)
        tokens, kinds, starts = self._tokens[:size], self._kinds[:size], self._starts[:size]
        shard = Shard(tokens.reshape(shape), kinds.reshape(shape), starts.reshape(shape))
        self._count(size)
        self.num_blocks += blocks
        self._fill = 0
        return shard

    def _count(self, size: int) -> None:
        """Note whose the first ``size`` tokens of the buffer are."""
        while size:
            source, count = self._owners.popleft()
            taken = min(count, size)
            self.tokens_kept[source] = self.tokens_kept.get(source, 0) + taken
            size -= taken
            if taken < count:
                self._owners.appendleft((source, count - taken))
