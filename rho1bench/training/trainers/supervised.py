"""TRL's trainer with the stage's resume points and loss sums (paper section 3.2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PrinterCallback
from trl.trainer.sft_trainer import SFTTrainer

from rho1bench.modeling.distributed import sum_over_ranks
from rho1bench.recipe import TrainStage
from rho1bench.training.loss_sums import LossSums
from rho1bench.training.trainers.resumable import ResumableTrainer


class StageSFTTrainer(ResumableTrainer, SFTTrainer):
    """Trains on samples that are tokenised and labelled already."""

    def __init__(self, *, stage: TrainStage, model: PreTrainedModel, **kwargs: Any) -> None:
        super().__init__(stage=stage, model=model, lm=model, **kwargs)
        self.remove_callback(PrinterCallback)
        self._step = LossSums()

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Run one micro-batch; its loss is a part of the optimizer step's mean over labelled tokens."""
        assert num_items_in_batch is not None, "transformers counts the labelled tokens of a step"
        tokens = int(inputs["attention_mask"].sum())
        num_items = int(num_items_in_batch)
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)  # type: ignore[no-untyped-call]
        # The Trainer multiplies by the number of processes, because DDP averages over them.
        loss_sum = float(loss) * num_items / self.accelerator.num_processes
        self._step.add(LossSums(selected_sum=loss_sum, tokens=tokens))
        self._step.selected_num = num_items
        return loss

    def step_loss_sums(self) -> LossSums:
        """Return the finished step's sums; every labelled token counts as selected."""
        step, self._step = self._step, LossSums()
        sums = torch.tensor([step.selected_sum, step.tokens], dtype=torch.float64, device=self.args.device)
        sums = sum_over_ranks(sums)
        step.selected_sum, step.tokens = float(sums[0]), int(sums[1])
        step.all_sum, step.all_num = step.selected_sum, step.selected_num
        step.trained_rows = step.tokens  # TRL makes every token's logits, and backward all of them take part
        return step
