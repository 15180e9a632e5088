"""Training blocks in their order: a function of seed and corpus only, so that CLM and SLM see the same data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from rho1bench.pipeline.stage import derive_seed
from rho1bench.selection.block_reader import Batch, BlockReader


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


class BlockDataset(Dataset[Batch]):
    """Blocks in training order with what selection needs to know of them; fetched a whole batch at a time."""

    def __init__(self, reader: BlockReader, order: npt.NDArray[np.int64]) -> None:
        self.reader, self.order = reader, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, samples: Sequence[int]) -> Batch:
        """Return one batch; through ``samples``, ``random`` scores differ between epochs."""
        return self.reader.batch([int(self.order[sample]) for sample in samples], samples)


def as_is(batch: Batch) -> Batch:
    """Collate nothing: :class:`BlockDataset` returns whole batches."""
    return batch
