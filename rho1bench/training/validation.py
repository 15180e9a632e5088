"""The validation loss of a pretraining stage, and the losses of blocks that it and the probe read (section 3.5).

Shapes: B blocks, T positions, S = T - 1 predicted positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.modeling.causal_lm import backbone, output_head
from rho1bench.modeling.distributed import is_main
from rho1bench.selection.loss import token_losses
from rho1bench.system.files import append_jsonl
from rho1bench.training.callbacks import Hook, StageCallback
from rho1bench.training.datasets import block_batch

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
