"""What a pretraining stage measures along the way: validation loss, and a probe of selected tokens (section 3.5).

Both read the losses of fixed blocks and leave no trace in training: no dropout, no graph, and no draw from the random
stream (``modeling.causal_lm.measuring``).
Shapes: B blocks, T positions, S = T - 1 predicted positions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.corpus.tokenizer import load_raw_tokenizer
from rho1bench.modeling.causal_lm import backbone, measuring, output_head
from rho1bench.modeling.distributed import is_main
from rho1bench.selection.loss import token_losses
from rho1bench.selection.score_store import TokenScores
from rho1bench.selection.selector import Selector, TokenBatch
from rho1bench.system.files import append_jsonl
from rho1bench.training.callbacks import Hook, StageCallback
from rho1bench.training.datasets import block_batch

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

BlockLosses = Callable[[Tensor, Tensor | None], Tensor]
"""From blocks (B, T) and their position_ids (or None) to losses (B, S)."""
NUM_PROBE_BLOCKS = 8


def block_losses(lm: PreTrainedModel, blocks_BT: Tensor, position_ids_BT: Tensor | None = None) -> Tensor:
    """Return the loss of positions 1 to T-1 of each block: float32 nats, shape (B, S)."""
    with measuring(lm):
        hidden_BTD = backbone(lm)(input_ids=blocks_BT, position_ids=position_ids_BT, use_cache=False).last_hidden_state
        hidden_ND = hidden_BTD[:, :-1].reshape(-1, hidden_BTD.shape[-1])
        return token_losses(hidden_ND, output_head(lm), blocks_BT[:, 1:].reshape(-1)).view(len(blocks_BT), -1)


def sharded_block_losses(model: nn.Module, blocks_BT: Tensor, position_ids_BT: Tensor | None = None) -> Tensor:
    """Return the same from a wrapped :class:`SelectiveLM`, whose forward gathers sharded weights."""
    eligible_BS = torch.ones_like(blocks_BT[:, 1:], dtype=torch.bool)
    with measuring(model):
        outputs = model(
            input_ids=blocks_BT,
            eligible=eligible_BS,
            token_positions=torch.zeros_like(blocks_BT[:, 1:]),
            position_ids=position_ids_BT,
            selected=torch.zeros_like(eligible_BS),
        )
    losses_BS: Tensor = outputs["losses"]
    return losses_BS


def validation_loss(losses: BlockLosses, corpus: PackedCorpus, batch_size: int, device: torch.device) -> float:
    """Return the mean loss over all predicted tokens of ``corpus``, in nats."""
    total, count = 0.0, 0
    for start in range(0, len(corpus), batch_size):
        blocks = range(start, min(start + batch_size, len(corpus)))
        batch = {name: tensor.to(device) for name, tensor in block_batch(corpus, blocks, blocks, None).items()}
        losses_BS = losses(batch["input_ids"], batch.get("position_ids"))
        total += float((losses_BS.double() * batch["eligible"]).sum())
        count += int(batch["eligible"].sum())
    return total / count


def validation_hook(
    callback: StageCallback, losses: BlockLosses, corpus: PackedCorpus, every: int, max_steps: int, batch_size: int
) -> Hook:
    """Return a hook that appends the validation loss to the metrics every ``every`` steps and after the last."""

    def hook(step: int) -> None:
        if step % every and step != max_steps:
            return
        row = {
            "step": step,
            "tokens": callback.loss_sums.tokens,
            "selected_tokens": callback.loss_sums.selected_num,
            "validation_loss": validation_loss(losses, corpus, batch_size, callback.trainer.args.device),
        }
        if is_main():
            append_jsonl(callback.metrics_path, row)

    return hook


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
        """Return one row of JSON a block; the probe's blocks are ranked together, as if they were a batch."""
        batch = {
            name: tensor.to(self._device)
            for name, tensor in block_batch(self._corpus, self.blocks, self.blocks, self._scores).items()
        }
        losses_BS = self._losses(batch["input_ids"], batch.get("position_ids"))
        # Every rank has the same blocks, and ranking is over all ranks: only those of rank 0 may count.
        selected_BS = batch["eligible"] if is_main() else torch.zeros_like(batch["eligible"])
        if not self._selector.is_full:
            tokens = TokenBatch(selected_BS, batch["token_positions"], batch.get("reference"))
            selected_BS = self._selector.select(self._selector.scores(tokens, losses_BS), selected_BS)
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
