"""The text that an analysis looks at: blocks of a packed corpus, the tokens that have a target, and passages to show.

Shapes: B blocks, T positions, S = T - 1 predicted positions, N tokens that have a target, in the order of the blocks.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rho1bench.analysis.checkpoint_scores import evenly_spread
from rho1bench.analysis.results import Passage
from rho1bench.analysis.token_kinds import token_kinds
from rho1bench.corpus.masking import eligible_targets
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.corpus.token_bytes import token_pieces
from rho1bench.corpus.tokenizer import load_raw_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
PASSAGE_TOKENS = 160
NUM_PASSAGES = 2
NO_MARK = -1


def shown_texts(tokenizer: Tokenizer, ids: Sequence[int], pieces: Mapping[int, bytes] | None = None) -> list[str]:
    """Return the text of each token; a character that several tokens make stands at the last of them.

    ``pieces`` are :func:`~rho1bench.corpus.token_bytes.token_pieces`, where the caller has them.
    """
    known = token_pieces(tokenizer) if pieces is None else pieces
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return [
        decoder.decode(piece) if (piece := known.get(token, b"")) else str(tokenizer.id_to_token(token))
        for token in ids
    ]


@dataclass(frozen=True)
class AnalysedText:
    """Some blocks of a corpus."""

    corpus: PackedCorpus
    blocks: list[int]
    tokenizer: Path

    @cached_property
    def ids_BT(self) -> Ints:
        """Vocabulary ids."""
        return np.stack([self.corpus.block(block) for block in self.blocks])

    @cached_property
    def eligible_BS(self) -> npt.NDArray[np.bool_]:
        """Which predicted positions have a target."""
        if self.corpus.document_ids is None:
            return np.ones((len(self.blocks), self.corpus.block_size - 1), dtype=np.bool_)
        return eligible_targets(np.stack([self.corpus.document_ids[block] for block in self.blocks]))

    def of_targets(self, values_BT: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return the values of the tokens that have a target, (N,)."""
        found: npt.NDArray[np.generic] = values_BT[:, 1:][self.eligible_BS]
        return found

    def spread(self, values_N: npt.NDArray[np.generic]) -> Ints:
        """Return whole numbers of the tokens that have a target at their places, (B, T); -1 elsewhere."""
        found_BT = np.full(self.ids_BT.shape, NO_MARK, dtype=np.int64)
        found_BT[:, 1:][self.eligible_BS] = values_N
        return found_BT

    @cached_property
    def targets_N(self) -> Ints:
        """Vocabulary ids of the tokens that have a target."""
        return self.of_targets(self.ids_BT).astype(np.int64)

    @cached_property
    def positions_N(self) -> Ints:
        """Their places in their blocks, from 1."""
        places_BT = np.broadcast_to(np.arange(self.corpus.block_size), self.ids_BT.shape)
        return self.of_targets(places_BT).astype(np.int64)

    @cached_property
    def kinds_N(self) -> Ints:
        """Their kinds, told from the text of their blocks, as places in ``token_kinds.KINDS``."""
        rows = [token_kinds([self._pieces[token] for token in ids_T.tolist()]) for ids_T in self.ids_BT]
        return self.of_targets(np.array(rows, dtype=np.int64)).astype(np.int64)

    @cached_property
    def corpus_kinds_N(self) -> Ints:
        """What the corpus itself calls them, as places in its ``kinds``."""
        return self.of_targets(np.stack([self.corpus.kinds[block] for block in self.blocks])).astype(np.int64)

    @cached_property
    def _pieces(self) -> Mapping[int, bytes]:
        return token_pieces(load_raw_tokenizer(self.tokenizer))

    def shown_pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the text of each token."""
        return shown_texts(load_raw_tokenizer(self.tokenizer), ids, self._pieces)

    def passages(self, marks_N: npt.NDArray[np.generic], losses_BT: Floats) -> list[Passage]:
        """Return the beginnings of the first block and of one in the middle, with a mark a token."""
        marks_BT = self.spread(marks_N)
        return [self._passage(row, marks_BT[row], losses_BT[row]) for row in self._shown_rows()]

    def _shown_rows(self) -> list[int]:
        return evenly_spread(len(self.blocks), NUM_PASSAGES + 1)[:NUM_PASSAGES]

    def _passage(self, row: int, marks_T: Ints, losses_T: Floats) -> Passage:
        stretch = slice(0, PASSAGE_TOKENS)
        losses = [None if np.isnan(loss) else round(float(loss), 4) for loss in losses_T[stretch]]
        pieces = self.shown_pieces(self.ids_BT[row, stretch].tolist())
        return Passage(block=self.blocks[row], pieces=pieces, marks=marks_T[stretch].tolist(), losses=losses)

    def context_of(self, place: int, num_tokens: int = 12) -> tuple[str, str]:
        """Return the text of token ``place`` (of N), and the text right before it."""
        row, column = (int(found[place]) for found in np.nonzero(self.eligible_BS))
        ids = self.ids_BT[row, max(column + 1 - num_tokens, 0) : column + 2].tolist()
        pieces = self.shown_pieces(ids)
        return pieces[-1], "".join(pieces[:-1])
