"""The probe of a pretraining stage: which tokens of a few fixed blocks are selected as training goes on (section 3.5).

Shapes: B blocks, S predicted positions of a block.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.corpus.tokenizer import load_raw_tokenizer
from rho1bench.modeling.distributed import is_main
from rho1bench.selection.score_store import TokenScores
from rho1bench.selection.selector import Selector, TokenBatch
from rho1bench.system.files import append_jsonl
from rho1bench.training.callbacks import Hook
from rho1bench.training.datasets import block_batch
from rho1bench.training.validation import BlockLosses

NUM_PROBE_BLOCKS = 8


class Probe:
    """Writes which tokens of a few fixed blocks are selected, at 0%, 50% and 100% of training (figures 13 and 14)."""

    def __init__(
        self,
        losses: BlockLosses,
        selector: Selector,
        corpus: PackedCorpus,
        scores: TokenScores | None,
        tokenizer_folder: Path,
        device: torch.device,
    ) -> None:
        self._losses = losses
        self._device = device
        self._selector = selector
        self._corpus = corpus
        self._scores = scores
        self._tokenizer = load_raw_tokenizer(tokenizer_folder)
        count = min(NUM_PROBE_BLOCKS, len(corpus))
        self.blocks = [int(block) for block in np.linspace(0, len(corpus) - 1, count)]

    def hook(self, path: Path, max_steps: int) -> Hook:
        """Return the hook that appends to ``path``."""
        wanted = {0, max_steps // 2, max_steps}

        def hook(step: int) -> None:
            if step in wanted:
                for row in self.rows(step):
                    if is_main():
                        append_jsonl(path, row)

        return hook

    def rows(self, step: int) -> list[dict[str, Any]]:
        """Return one row a block; the probe's blocks are ranked together, as if they were a batch."""
        batch = {
            name: tensor.to(self._device)
            for name, tensor in block_batch(self._corpus, self.blocks, self.blocks, self._scores).items()
        }
        losses_BS = self._losses(batch["input_ids"], batch.get("position_ids"))
        # Every rank has the same blocks, and ranking is over all ranks: only those of rank 0 may count.
        selected_BS = batch["eligible"] if is_main() else torch.zeros_like(batch["eligible"])
        if not self._selector.is_full:
            tokens = TokenBatch(selected_BS, batch["token_ids"], batch.get("reference"))
            selected_BS = self._selector.choose(self._selector.scores(tokens, losses_BS), selected_BS)
        return [
            {
                "step": step,
                "block": block,
                "pieces": [self._tokenizer.decode([token], skip_special_tokens=False) for token in ids.tolist()],
                "selected": [0, *map(int, selected.tolist())],
                "loss": [None, *_rounded(losses)],
                "reference_loss": self._reference_losses(block),
                "kinds": self._corpus.kind_names(block),
            }
            for block, ids, selected, losses in zip(
                self.blocks, batch["input_ids"], selected_BS, losses_BS, strict=True
            )
        ]

    def _reference_losses(self, block: int) -> list[float | None]:
        if self._scores is None:
            return [None] * self._corpus.block_size
        return [None, *_rounded(torch.from_numpy(self._scores.block(block)[1:, 0]))]


def _rounded(losses_S: Tensor) -> list[float]:
    return [round(loss, 4) for loss in losses_S.tolist()]
