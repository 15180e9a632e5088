"""A moving average of the weights, kept during training as the model's earlier self (rules that read ``earlier.*``).

It begins with the weights that training starts from and follows each optimizer step, in float32, so that it is the same
in every process; a resume point holds it. It costs a copy of the weights and one forward pass a step. Where training
starts from random weights, it lags behind them for long, and rules that compare with it favour what is learnt first.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rho1bench.modeling.causal_lm import measuring
from rho1bench.recipe import TrainStage
from rho1bench.recipe.models.rule_specs import EARLIER, ENTROPIES, LOSSES
from rho1bench.selection.local_reference import score_blocks
from rho1bench.training.datasets import Batch


def moving_average(stage: TrainStage, lm: PreTrainedModel, device: torch.device) -> MovingAverage | None:
    """Return the moving average that a stage's selection asks for and reads; None without one."""
    if stage.selection is None or stage.selection.moving_average is None or not stage.selection.keeps_average:
        return None
    return MovingAverage(lm, stage.selection.moving_average, device)


class MovingAverage(TrainerCallback):
    """The average of ``lm``'s weights on ``device``: after each step, ``decay`` of the old and the rest of the new."""

    def __init__(self, lm: PreTrainedModel, decay: float, device: torch.device) -> None:
        self._lm, self._decay = lm, decay
        self.model: PreTrainedModel = nn.Module.to(copy.deepcopy(lm).eval().requires_grad_(False), device)

    @torch.no_grad()
    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Follow one optimizer step."""
        for average, weight in zip(self.model.parameters(), self._lm.parameters(), strict=True):
            average.lerp_(weight.detach().to(average.dtype), 1.0 - self._decay)

    def complete(self, batch: Batch) -> None:
        """Add its losses and entropies to the inputs of a batch: float32 nats, (B, S)."""
        scores_BS2 = self._scores(batch["input_ids"], batch.get("position_ids"))
        for kind, place in ((LOSSES, 0), (ENTROPIES, 1)):
            batch["inputs"][f"{EARLIER}.{kind}"] = scores_BS2[..., place].to(batch["input_ids"].device)

    def _scores(self, blocks_BT: Tensor, positions_BT: Tensor | None) -> Tensor:
        device = self.model.device
        with measuring(self.model):
            scores = score_blocks(
                self.model, blocks_BT.to(device), None if positions_BT is None else positions_BT.to(device)
            )
        return scores.clone()
