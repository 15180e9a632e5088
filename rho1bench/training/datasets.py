"""Training blocks in their order: a function of seed and corpus only, so that CLM and SLM see the same data.

Shapes: B blocks, T positions, S = T - 1 predicted positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rho1bench.corpus.masking import eligible_targets, position_ids
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.pipeline.stage import derive_seed
from rho1bench.selection.score_store import TokenScores


def block_order(num_blocks: int, num_samples: int, seed: int, corpus_fingerprint: str) -> npt.NDArray[np.int64]:
    """Return the block of every sample, shape (num_samples,): a new permutation for each epoch, the last one cut."""
    epochs = -(-num_samples // num_blocks)
    parts = [
        np.random.Generator(np.random.PCG64(derive_seed(seed, "block order", corpus_fingerprint, epoch))).permutation(
            num_blocks
        )
        for epoch in range(epochs)
    ]
    return np.concatenate(parts)[:num_samples].astype(np.int64)


class BlockDataset(Dataset[dict[str, Tensor]]):
    """Blocks in training order with what selection needs to know of them; fetched a whole batch at a time."""

    def __init__(self, corpus: PackedCorpus, order: npt.NDArray[np.int64], scores: TokenScores | None) -> None:
        self.corpus = corpus
        self.order = order
        self.scores = scores

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.__getitems__([index])

    def __getitems__(self, samples: Sequence[int]) -> dict[str, Tensor]:
        """Return one batch (see :func:`block_batch`); through ``samples``, ``random`` scores differ between epochs."""
        return block_batch(self.corpus, [int(self.order[sample]) for sample in samples], samples, self.scores)


def block_batch(
    corpus: PackedCorpus, blocks: Sequence[int], samples: Sequence[int], scores: TokenScores | None
) -> dict[str, Tensor]:
    """Return input_ids (B, T), eligible and token_positions (B, S) and, with ``scores``, reference (B, S, 2).

    A corpus with document masking adds position_ids (B, T), and the first token of a document is not eligible.
    """
    input_ids = torch.from_numpy(np.stack([corpus.block(block) for block in blocks]))
    positions = torch.arange(1, corpus.block_size)
    batch = {
        "input_ids": input_ids,
        "eligible": torch.ones(len(blocks), corpus.block_size - 1, dtype=torch.bool),
        "token_positions": torch.tensor(samples).unsqueeze(1) * corpus.block_size + positions,
    }
    if corpus.document_ids is not None:
        document_ids_BT = np.stack([corpus.document_ids[block] for block in blocks])
        batch["position_ids"] = torch.from_numpy(position_ids(document_ids_BT))
        batch["eligible"] = torch.from_numpy(eligible_targets(document_ids_BT))
    if scores is not None:
        batch["reference"] = torch.from_numpy(np.stack([scores.block(block)[1:] for block in blocks]))
    return batch


def as_is(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Collate nothing: :class:`BlockDataset` returns whole batches."""
    return batch
