"""Hooks of a pretraining stage: validation loss, checkpoints along the way, the probe of selected tokens (section 3.5).

Shapes: B blocks, T positions, S = T - 1 predicted positions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rho1bench.corpus.packed import PackedCorpus
from rho1bench.corpus.tokenizer import load_raw_tokenizer
from rho1bench.files import append_jsonl
from rho1bench.selection.causal_lm import backbone, output_head
from rho1bench.selection.loss import token_losses
from rho1bench.selection.selector import Selector, TokenBatch
from rho1bench.selection.store import TokenScores
from rho1bench.training.callbacks import Hook, StageCallback, checkpoint_steps
from rho1bench.training.data import block_batch
from rho1bench.training.model import save_model
from rho1bench.training.ranks import is_main, wait_for_everyone

NUM_PROBE_BLOCKS = 8
BlockLosses = Callable[[Tensor, Tensor | None], Tensor]
"""From blocks (B, T) and their position_ids (or None) to losses (B, S)."""


def block_losses(lm: Any, blocks_BT: Tensor, position_ids_BT: Tensor | None = None) -> Tensor:
    """Return the loss of positions 1 to T-1 of each block: float32 nats, shape (B, S), no graph."""
    with torch.no_grad():
        hidden_BTD = backbone(lm)(input_ids=blocks_BT, position_ids=position_ids_BT, use_cache=False).last_hidden_state
        hidden_ND = hidden_BTD[:, :-1].reshape(-1, hidden_BTD.shape[-1])
        return token_losses(hidden_ND, output_head(lm), blocks_BT[:, 1:].reshape(-1)).view(len(blocks_BT), -1)


def sharded_block_losses(model: Any, blocks_BT: Tensor, position_ids_BT: Tensor | None = None) -> Tensor:
    """Return the same from a wrapped :class:`SelectiveLM`, whose forward gathers sharded weights."""
    eligible_BS = torch.ones_like(blocks_BT[:, 1:], dtype=torch.bool)
    nothing_BS = torch.zeros_like(eligible_BS)
    with torch.no_grad():
        outputs = model(
            input_ids=blocks_BT,
            eligible=eligible_BS,
            token_ids=blocks_BT[:, 1:],
            position_ids=position_ids_BT,
            selected=nothing_BS,
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
            "tokens": callback.totals.tokens,
            "selected_tokens": callback.totals.selected_num,
            "validation_loss": validation_loss(losses, corpus, batch_size, callback.trainer.args.device),
        }
        if is_main():
            append_jsonl(callback.metrics_path, row)

    return hook


def checkpoint_hook(lm: Any, tokenizer_folder: Path, folder: Path, max_steps: int, num_checkpoints: int) -> Hook:
    """Return a hook that keeps ``num_checkpoints`` models along the way as ``step-000100`` and so on."""
    wanted = set(checkpoint_steps(max_steps, num_checkpoints))

    def hook(step: int) -> None:
        target = folder / f"step-{step:06d}"
        # One that a killed attempt left is whole, and the same to the last bit.
        missing = step in wanted and not target.exists()
        if step in wanted:
            wait_for_everyone()  # before rank 0 writes, so that every rank has seen the same
        if missing:
            save_model(lm, tokenizer_folder, target)

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
