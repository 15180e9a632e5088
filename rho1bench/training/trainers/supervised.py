"""TRL's trainer with the stage's resume points and totals."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback
from trl import SFTTrainer

from rho1bench.training.loss_sums import LossTotals
from rho1bench.training.trainers.resumable import ResumableTrainer


class StageSFTTrainer(ResumableTrainer, SFTTrainer):  # type: ignore[misc]
    """Trains on samples that are tokenised and labelled already."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.remove_callback(PrinterCallback)
        self._step = LossTotals()

    def training_step(self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: Any = None) -> Tensor:
        """Run one micro-batch; its loss is a part of the optimizer step's mean over labelled tokens."""
        tokens = int(inputs["attention_mask"].sum())
        num_items = int(num_items_in_batch)
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        # The Trainer multiplies by the number of processes, because DDP averages over them.
        loss_sum = float(loss) * num_items / self.accelerator.num_processes
        self._step.add(LossTotals(selected_sum=loss_sum, tokens=tokens))
        self._step.selected_num = num_items
        return loss

    def step_totals(self) -> LossTotals:
        """Return the finished step's sums; every labelled token counts as selected."""
        totals, self._step = self._step, LossTotals()
        if self.accelerator.num_processes > 1:
            sums = torch.tensor([totals.selected_sum, totals.tokens], dtype=torch.float64, device=self.args.device)
            sums = self.accelerator.reduce(sums, reduction="sum")
            totals.selected_sum, totals.tokens = float(sums[0]), int(sums[1])
        totals.all_sum, totals.all_num = totals.selected_sum, totals.selected_num
        return totals

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Save the model alone: a resume point needs no tokenizer and no pickled arguments."""
        self.model.save_pretrained(output_dir or self.args.output_dir, state_dict=state_dict)
