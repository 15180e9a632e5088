"""Training blocks in their order: a function of seed and corpus only, so that CLM and SLM see the same data.

Shapes: B blocks, T positions, S = T - 1 predicted positions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from rho1bench.corpus.masking import eligible_targets, position_ids
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.pipeline.stage import derive_seed
from rho1bench.recipe.models.rule_specs import DOCUMENT_INPUTS, stored_part
from rho1bench.selection.score_store import TokenScores

Batch = dict[str, Any]
"""Arguments of :class:`~rho1bench.selection.selective_lm.SelectiveLM`: tensors, and ``inputs``, tensors by name."""


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


class BlockReader:
    """Reads blocks of ``corpus`` with what is known of their tokens before a model sees them.

    ``wanted`` are the names of inputs (``recipe.models.rule_specs``) beyond those that every batch has, ``stores`` the
    scores that some of them come from, and ``eos`` the end-of-text token, for those of documents.
    """

    def __init__(
        self,
        corpus: PackedCorpus,
        wanted: Collection[str] = (),
        stores: Mapping[str, TokenScores] | None = None,
        eos: int = -1,
    ) -> None:
        self.corpus, self.stores = corpus, dict(stores or {})
        self._wanted, self._eos = set(wanted), eos
        if self._wanted & DOCUMENT_INPUTS:
            corpus.check_document_ends()

    def batch(self, blocks: Sequence[int], samples: Sequence[int]) -> Batch:
        """Return input_ids (B, T) and inputs by name, (B, S) each: eligible, token_positions and what is wanted.

        ``samples`` number the blocks in the stream of training. A corpus with document masking adds position_ids
        (B, T), and the first token of a document is not eligible.
        """
        size = self.corpus.block_size
        input_ids = torch.from_numpy(np.stack([self.corpus.block(block) for block in blocks]))
        first_B1 = torch.tensor(samples).unsqueeze(1) * size
        inputs = {
            "eligible": torch.ones(len(blocks), size - 1, dtype=torch.bool),
            "token_positions": first_B1 + torch.arange(1, size),
        }
        batch: Batch = {"input_ids": input_ids, "inputs": inputs}
        if self.corpus.document_ids is not None:
            document_ids_BT = np.stack([self.corpus.document_ids[block] for block in blocks])
            batch["position_ids"] = torch.from_numpy(position_ids(document_ids_BT))
            inputs["eligible"] = torch.from_numpy(eligible_targets(document_ids_BT))
        if "target_ids" in self._wanted:
            inputs["target_ids"] = input_ids[:, 1:].contiguous()
        if "block_positions" in self._wanted:
            inputs["block_positions"] = torch.arange(1, size).repeat(len(blocks), 1)
        if self._wanted & DOCUMENT_INPUTS:
            numbers_BT = np.stack([self.corpus.document_numbers(block, self._eos) for block in blocks])
            inputs["document_ids"] = first_B1 + torch.from_numpy(numbers_BT[:, 1:])
            inputs["document_positions"] = torch.from_numpy(position_ids(numbers_BT)[:, 1:])
        for name in self._wanted:
            if (part := stored_part(name)) is not None and part[0] in self.stores:
                rows = [self.stores[part[0]].values(block, part[1])[1:] for block in blocks]
                inputs[name] = torch.from_numpy(np.stack(rows))
        return batch


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
