"""What a pretraining stage measures along the way: validation loss, and a probe of selected tokens (section 3.5).

Both read the losses of fixed blocks, shared among the ranks, in the precision of training, and leave no trace in it: no
dropout, no graph, and no draw from the random stream (``modeling.causal_lm.measuring``).
Shapes: B blocks, T positions, S = T - 1 predicted positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.corpus.tokenizer import load_raw_tokenizer
from rho1bench.modeling.causal_lm import measuring
from rho1bench.modeling.distributed import all_rows, is_main, num_processes, rank, sum_over_ranks
from rho1bench.recipe.models.rule_specs import LOSSES
from rho1bench.selection.block_reader import Batch, BlockReader
from rho1bench.selection.selector import Selector
from rho1bench.system.files import append_jsonl
from rho1bench.training.callbacks import Hook, StageCallback

if TYPE_CHECKING:
    from torch import nn

BlockLosses = Callable[[Tensor, Tensor | None], Tensor]
"""From blocks (B, T) and their position_ids (or None) to losses (B, S)."""
BatchScores = Callable[[Batch], Tensor]
"""From a batch to the scores or weights of its tokens, as the selection's rules give them now."""
NUM_PROBE_BLOCKS = 8


def block_losses(model: nn.Module, blocks_BT: Tensor, position_ids_BT: Tensor | None = None) -> Tensor:
    """Return the loss of positions 1 to T-1 of each block: float32 nats, shape (B, S).

    ``model`` is a :class:`SelectiveLM` in whatever wraps it for training, so that it is measured in the precision in
    which it trains; where its weights are sharded, every rank has to call this equally often.
    """
    eligible_BS = torch.ones_like(blocks_BT[:, 1:], dtype=torch.bool)
    with measuring(model):
        outputs = model(
            input_ids=blocks_BT,
            inputs={"eligible": eligible_BS},
            position_ids=position_ids_BT,
            selected=torch.zeros_like(eligible_BS),
        )
    losses_BS: Tensor = outputs["losses"]
    return losses_BS


def own_batch(reader: BlockReader, blocks: Sequence[int], own: Sequence[int], device: torch.device) -> Batch:
    """Return the batch of ``blocks[number]`` for each number of ``own``; what is past the end fills up the batch.

    Filling has no eligible token: ranks have to make equally many forward passes of equally many blocks.
    """
    found = [blocks[min(number, len(blocks) - 1)] for number in own]
    batch = on_device(reader.batch(found, found), device)
    is_real_B1 = torch.tensor([number < len(blocks) for number in own], device=device).unsqueeze(1)
    batch["inputs"]["eligible"] = batch["inputs"]["eligible"] & is_real_B1
    return batch


def validation_loss(losses: BlockLosses, corpus: PackedCorpus, batch_size: int, device: torch.device) -> float:
    """Return the mean loss over all predicted tokens of ``corpus``, in nats; each rank measures its share of blocks."""
    reader, sums = BlockReader(corpus), torch.zeros(2, dtype=torch.float64, device=device)
    ranks, blocks = num_processes(), range(len(corpus))
    own = range(rank(), -(-len(corpus) // ranks) * ranks, ranks)
    for start in range(0, len(own), batch_size):
        batch = own_batch(reader, blocks, own[start : start + batch_size], device)
        losses_BS, eligible_BS = losses(batch["input_ids"], batch.get("position_ids")), batch["inputs"]["eligible"]
        sums += torch.stack([(losses_BS.double() * eligible_BS).sum(), eligible_BS.sum().double()])
    total, count = sum_over_ranks(sums).tolist()
    return float(total / count)


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
        scores: BatchScores,
        selector: Selector,
        reader: BlockReader,
        tokenizer_folder: Path,
        device: torch.device,
    ) -> None:
        self._losses, self._scores, self._selector = losses, scores, selector
        self._reader, self._device = reader, device
        self._tokenizer = load_raw_tokenizer(tokenizer_folder)
        count = min(NUM_PROBE_BLOCKS, len(reader.corpus))
        self.blocks = [int(block) for block in np.linspace(0, len(reader.corpus) - 1, count)]

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
        """Return one row of JSON a block; the probe's blocks are ranked together, as if they were a batch.

        Each rank measures its share of them; all have the rows of all.
        """
        share = -(-len(self.blocks) // num_processes())
        own = range(rank() * share, (rank() + 1) * share)
        batch = own_batch(self._reader, self.blocks, own, self._device)
        losses_BS, inputs = self._losses(batch["input_ids"], batch.get("position_ids")), batch["inputs"]
        self._selector.step = min(step, self._selector.total_steps - 1)
        selected_BS, weights_BS = inputs["eligible"], None
        if not self._selector.is_full:
            scores = self._scores(batch)
            selected_BS = self._selector.select(scores, inputs)
            weights_BS = all_rows(scores) if self._selector.gives_weights else None
        losses_BS, selected_BS = all_rows(losses_BS), all_rows(selected_BS)
        return [
            {
                "step": step,
                "block": block,
                "pieces": self._pieces(block),
                "selected": [0, *map(int, selected_BS[row].tolist())],
                **({} if weights_BS is None else {"weights": [None, *_rounded(weights_BS[row])]}),
                "loss": [None, *_rounded(losses_BS[row])],
                "reference_loss": self._reference_losses(block),
                "kinds": self._reader.corpus.kind_names(block),
            }
            for row, block in enumerate(self.blocks)
        ]

    def _pieces(self, block: int) -> list[str]:
        tokens = self._reader.corpus.block(block).tolist()
        return [self._tokenizer.decode([token], skip_special_tokens=False) for token in tokens]

    def _reference_losses(self, block: int) -> list[float | None]:
        store = self._reader.stores.get("reference")
        if store is None:
            return [None] * self._reader.corpus.block_size
        return [None, *_rounded(torch.from_numpy(store.values(block, LOSSES)[1:]))]


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Return a batch whose tensors lie on ``device``."""
    return {
        key: on_device(value, device) if isinstance(value, dict) else value.to(device) for key, value in batch.items()
    }


def _rounded(losses_S: Tensor) -> list[float]:
    return [round(loss, 4) for loss in losses_S.tolist()]
