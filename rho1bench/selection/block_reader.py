"""Blocks of a packed corpus as batches, with what selection rules may read of their tokens before a model sees them.

Training, its probe and the analyses read their blocks here (paper section 2.2).
Shapes: B blocks, T positions, S = T - 1 predicted positions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from rho1bench.corpus.masking import eligible_targets, position_ids
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.recipe.models.rule_specs import DOCUMENT_INPUTS, stored_part
from rho1bench.selection.score_store import TokenScores

Batch = dict[str, Any]
"""Arguments of :class:`~rho1bench.selection.selective_lm.SelectiveLM`: tensors, and ``inputs``, tensors by name."""


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
