"""A moving average of the weights, kept during training as the model's earlier self (rules that read ``earlier.*``).

It begins with the weights that training starts from and follows each optimizer step, in float32, so that it is the same
in every process; a resume point holds it. It costs a copy of the weights and one forward pass a step. Where training
starts from random weights, it lags behind them for long, and rules that compare with it favour what is learnt first.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rho1bench.modeling.causal_lm import backbone, output_head
from rho1bench.recipe import TrainStage
from rho1bench.recipe.models.rule_specs import EARLIER, ENTROPIES, LOSSES
from rho1bench.selection.block_reader import Batch
from rho1bench.selection.loss import token_measures


def moving_average(stage: TrainStage, lm: PreTrainedModel, device: torch.device) -> MovingAverage | None:
    """Return the moving average that a stage's selection asks for and reads; None without one."""
    if stage.selection is None or stage.selection.moving_average is None or not stage.selection.keeps_average:
        return None
    read = [name for part in stage.selection.parts for name in part.spec.inputs]
    with_entropies = f"{EARLIER}.{ENTROPIES}" in read
    return MovingAverage(lm, stage.selection.moving_average, device, with_entropies=with_entropies)


class MovingAverage(TrainerCallback):
    """The average of ``lm``'s weights on ``device``: after each step, ``decay`` of the old and the rest of the new."""

    def __init__(
        self, lm: PreTrainedModel, decay: float, device: torch.device, *, with_entropies: bool = False
    ) -> None:
        self._lm, self._decay, self._with_entropies = lm, decay, with_entropies
        self.model: PreTrainedModel = nn.Module.to(copy.deepcopy(lm).eval().requires_grad_(False), device)

    @torch.no_grad()
    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Follow one optimizer step; weights that are sharded are gathered, one after the other."""
        for average, weight in zip(self.model.parameters(), self._lm.parameters(), strict=True):
            whole = weight.full_tensor() if isinstance(weight, DTensor) else weight.detach()
            average.lerp_(whole.to(average.dtype), 1.0 - self._decay)

    @torch.no_grad()
    def complete(self, batch: Batch) -> None:
        """Add its losses to the inputs of a batch, and its entropies if wanted: float32 nats, (B, S).

        Made as the losses of the model itself are, so that before the first step both are equal to the last bit, and
        no ranking follows rounding errors.
        """
        device, positions_BT = self.model.device, batch.get("position_ids")
        blocks_BT = batch["input_ids"].to(device)
        masking = None if positions_BT is None else positions_BT.to(device)
        hidden_BTD = backbone(self.model)(input_ids=blocks_BT, position_ids=masking, use_cache=False).last_hidden_state
        hidden_ND = hidden_BTD[:, :-1].reshape(-1, hidden_BTD.shape[-1])
        targets_N = blocks_BT[:, 1:].reshape(-1)
        found = token_measures(hidden_ND, output_head(self.model), targets_N, with_entropies=self._with_entropies)
        for kind, values_N in ((LOSSES, found.losses_N), (ENTROPIES, found.entropies_N)):
            if values_N is not None:
                values_BS = values_N.view(len(blocks_BT), -1)
                batch["inputs"][f"{EARLIER}.{kind}"] = values_BS.to(batch["input_ids"].device)
