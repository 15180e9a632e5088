"""Pretraining with the selective loss on ``transformers.Trainer`` (paper section 2.2, step 3).

The sum over selected tokens is divided by the number of selected tokens of the whole optimizer step, over all
micro-batches and processes. Shapes: B blocks, S predicted positions.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PrinterCallback

from rho1bench.modeling.causal_lm import measuring
from rho1bench.modeling.distributed import all_rows, sum_over_ranks
from rho1bench.selection.selective_lm import SelectiveLM
from rho1bench.selection.selector import Selector, TokenBatch
from rho1bench.training.loss_sums import LossSums
from rho1bench.training.trainers.resumable import ResumableTrainer

Batch = dict[str, Tensor]


class SelectiveTrainer(ResumableTrainer):
    """Trains a :class:`SelectiveLM` on batches of :class:`~rho1bench.training.datasets.BlockDataset`."""

    def __init__(self, *, model: SelectiveLM, monitor: Selector | None = None, **kwargs: Any) -> None:
        super().__init__(model=model, **kwargs)
        self.remove_callback(PrinterCallback)
        # compute_loss divides by the tokens of the whole optimizer step, so the Trainer must not divide again.
        self.loss_is_scaled_for_ga = True
        self._lm = model.lm
        self.selector = model.selector
        self.monitor = monitor
        self._num_selected = 0
        self._sums: list[Tensor] = []
        self._thresholds: list[Tensor] = []
        self._monitored: list[tuple[Tensor, Tensor, Tensor]] = []
        self._tokens = 0
        self._forward_tokens = 0
        self._pre_pass_seconds = 0.0

    @property
    def lm(self) -> PreTrainedModel:
        """See :class:`ResumableTrainer`."""
        return self._lm

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], Tensor | int | None]:
        """Collect the micro-batches of one optimizer step; select first where ranking or divisor span all of them."""
        batches: list[Batch]
        batches, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        num_tokens = sum(_num_tokens(batch) for batch in batches)
        self._tokens += num_tokens
        selector = self.selector
        if batches and selector.is_count_known:
            self._num_selected = selector.num_selected([batch["eligible"] for batch in batches])
        spans_all = len(batches) > 1 and selector.scope == "global" and not selector.is_full
        if batches and (spans_all or not selector.is_count_known):
            began = time.monotonic()
            self._select_ahead(batches)
            if selector.needs_losses:
                self._pre_pass_seconds += time.monotonic() - began
                self._forward_tokens += num_tokens
        if batches and not selector.is_count_known:
            num = torch.stack([batch["selected"].sum() for batch in batches]).sum().to(self.args.device)
            self._num_selected = max(int(sum_over_ranks(num)), 1)
        return batches, num_items

    def _select_ahead(self, batches: list[Batch]) -> None:
        """Score-only pass over all micro-batches, then the choice: one among all their tokens where it is global.

        The pass is a measurement: the scores are those of the model without dropout, as the reference's are, and
        training's random stream does not know of it.
        """
        model = self.model_wrapped
        scores = []
        with measuring(model), self.compute_loss_context_manager():
            for batch in batches:
                if self.selector.needs_losses:
                    scores.append(model(**self._prepare_inputs(batch), score_only=True)["scores"])
                else:
                    ready = TokenBatch(batch["eligible"], batch["token_positions"], batch.get("reference"))
                    scores.append(self.selector.scores(ready, None))
        eligible = [batch["eligible"] for batch in batches]
        if self.selector.scope == "global":
            selected_BS = self._select(torch.cat(scores), torch.cat(eligible))
            selected = list(selected_BS.split([len(mask) for mask in eligible]))
        else:
            selected = [self._select(*pair) for pair in zip(scores, eligible, strict=True)]
        for batch, mask in zip(batches, selected, strict=True):
            batch["selected"] = mask

    def _select(self, scores: Tensor, eligible_BS: Tensor) -> Tensor:
        selected_BS = self.selector.select(scores, eligible_BS)
        self._note_threshold(scores, selected_BS)
        return selected_BS

    def _note_threshold(self, scores: Tensor, selected_BS: Tensor) -> None:
        threshold = self.selector.threshold(scores, selected_BS)
        if threshold is not None:
            self._thresholds.append(threshold)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return this micro-batch's part of the step's mean loss, and keep its sums for the metrics."""
        outputs: Batch = model(**inputs)
        self._record(inputs, outputs)
        # DDP averages gradients over processes, and the divisor already counts all of them.
        loss = outputs["loss_sum"] * (self.accelerator.num_processes / self._num_selected)
        return (loss, outputs) if return_outputs else loss

    def _record(self, inputs: Batch, outputs: Batch) -> None:
        losses_BS, selected_BS, eligible_BS = outputs["losses"].detach(), outputs["selected"], inputs["eligible"]
        losses64_BS = losses_BS.double()
        selected_num, all_num = selected_BS.sum().double(), eligible_BS.sum().double()
        ranked_here = "scores" in outputs and self.selector.needs_losses
        self._sums.append(
            torch.stack(
                [
                    (losses64_BS * selected_BS).sum(),
                    selected_num,
                    (losses64_BS * eligible_BS).sum(),
                    all_num,
                    all_num if ranked_here else all_num - selected_num,
                ]
            )
        )
        if "scores" in outputs:
            self._note_threshold(outputs["scores"], selected_BS)
        if self.monitor is not None:
            batch = TokenBatch(eligible_BS, inputs["token_positions"], inputs.get("reference"))
            self._monitored.append((self.monitor.scores(batch, losses_BS), losses64_BS, eligible_BS))

    def step_loss_sums(self) -> LossSums:
        """Return the sums of the finished optimizer step over all processes, and start anew."""
        sums = torch.stack(self._sums).sum(dim=0)
        sums = sum_over_ranks(torch.cat([sums, sums.new_tensor([self._tokens, self._forward_tokens])]))
        selected_sum, selected_num, all_sum, all_num, forward_rows, tokens, forward_tokens = sums.tolist()
        step = LossSums(selected_sum, int(selected_num), all_sum, int(all_num), tokens=int(tokens))
        step.trained_rows = step.selected_num
        step.forward_rows, step.forward_tokens = int(forward_rows), int(forward_tokens)
        step.pre_pass_seconds, self._pre_pass_seconds = self._pre_pass_seconds, 0.0
        if self._thresholds:
            step.threshold = float(all_rows(torch.stack(self._thresholds).min().unsqueeze(0)).min())
        if not self.selector.is_full:
            step.ranked_sum, step.ranked_num = step.selected_sum, step.selected_num
        elif self.monitor is not None:
            step.ranked_sum, step.ranked_num = self._monitored_sums(self.monitor)
        self._sums, self._thresholds, self._monitored = [], [], []
        self._tokens = self._forward_tokens = 0
        return step

    def _monitored_sums(self, monitor: Selector) -> tuple[float, int]:
        scores, losses, eligible = (torch.cat(parts) for parts in zip(*self._monitored, strict=True))
        kept = monitor.select(scores, eligible)
        sums = sum_over_ranks(torch.stack([(losses * kept).sum(), kept.sum().double()]))
        return float(sums[0]), int(sums[1])


def _num_tokens(batch: Batch) -> int:
    """Return how many tokens a batch reads; padded batches say so themselves, which the model need not see."""
    num_tokens = batch.pop("num_tokens", None)
    return batch["input_ids"].numel() if num_tokens is None else int(num_tokens.sum())
