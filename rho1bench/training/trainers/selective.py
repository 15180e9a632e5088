"""Pretraining with the selective loss on ``transformers.Trainer`` (paper section 2.2, step 3).

The sum over selected tokens is divided by the number of selected tokens of the whole optimizer step, over all
micro-batches and processes; of a rule that weighs tokens, the weighted sum by the sum of the weights.
Shapes: B blocks, S predicted positions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer

from rho1bench.modeling.causal_lm import measuring
from rho1bench.modeling.distributed import all_rows, sum_over_ranks
from rho1bench.recipe import TrainStage
from rho1bench.recipe.models.rule_specs import LOSSES
from rho1bench.selection.block_reader import Batch
from rho1bench.selection.selective_lm import SelectiveLM
from rho1bench.selection.selector import Selector
from rho1bench.training.loss_sums import LossSums
from rho1bench.training.moving_average import MovingAverage
from rho1bench.training.trainers.resumable import ResumableTrainer


class SelectiveSteps(Trainer):
    """The selective loss in the optimizer steps of any ``transformers.Trainer``: a base beside another trainer.

    Batches are those of :class:`~rho1bench.training.datasets.BlockDataset`, and the model's forward pass is that of
    :class:`SelectiveLM`. A subclass calls :meth:`_select_with` once the trainer stands.
    """

    selector: Selector

    def _select_with(
        self, selector: Selector, monitor: Selector | None = None, average: MovingAverage | None = None
    ) -> None:
        """Select with ``selector`` from now on; ``average`` follows the weights, and adds its losses to each batch."""
        # compute_loss divides by the tokens of the whole optimizer step, so the Trainer must not divide again.
        self.loss_is_scaled_for_ga = True
        self.selector = selector
        self.monitor = monitor
        self._average = average
        if average is not None:
            self.add_callback(average)
        self._divisor: Tensor | None = None
        self._sums: list[Tensor] = []
        self._thresholds: list[Tensor] = []
        self._monitored: list[tuple[Tensor, Tensor, Batch]] = []
        self._tokens = 0
        self._forward_tokens = 0
        self._pre_pass_seconds = 0.0

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], Tensor | int | None]:
        """Collect the micro-batches of one optimizer step; select first where ranking or divisor span all of them."""
        batches: list[Batch]
        batches, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        num_tokens = sum(_num_tokens(batch) for batch in batches)
        self._tokens += num_tokens
        selector = self.selector
        for ranking in (selector, self.monitor):
            if ranking is not None:
                ranking.step = self.state.global_step
        for batch in batches:
            self._complete(batch)
        self._forward_tokens += 0 if self._average is None else num_tokens
        self._divisor = None
        if batches and selector.is_count_known:
            self._divisor = _divisor(selector.num_selected([batch["inputs"] for batch in batches]))
        if len(batches) > 1 and not selector.is_full and not self._chooses_by_pass(batches[0]):
            began = time.monotonic()
            self._select_ahead(batches)
            if selector.needs_losses:
                self._pre_pass_seconds += time.monotonic() - began
                self._forward_tokens += num_tokens
        return batches, num_items

    def _chooses_by_pass(self, batch: Batch) -> bool:
        """Tell whether each forward pass of the step can choose for itself."""
        num_blocks = len(batch["input_ids"]) * self.accelerator.num_processes
        return self.selector.is_count_known and self.selector.fits_a_pass(num_blocks)

    def scores_of(self, batch: Batch) -> Tensor:
        """Return the scores or weights of a batch's tokens by the model as it is: a measurement, without dropout."""
        self._complete(batch)
        with measuring(self.model_wrapped), self.compute_loss_context_manager():
            return self._scores(batch)

    def _complete(self, batch: Batch) -> None:
        if self._average is not None:
            with self.accelerator.autocast():
                self._average.complete(batch)

    def _scores(self, batch: Batch) -> Tensor:
        if not self.selector.needs_losses:
            return self.selector.scores(batch["inputs"])
        scores: Tensor = self.model_wrapped(**self._prepare_inputs(batch), score_only=True)["scores"]
        return scores

    def _select_ahead(self, batches: list[Batch]) -> None:
        """Score-only pass over all micro-batches, then the choice: among all their tokens where it spans passes.

        The pass is a measurement: the scores are those of the model without dropout, as the reference's are, and
        training's random stream does not know of it.
        """
        with measuring(self.model_wrapped), self.compute_loss_context_manager():
            scores = [self._scores(batch) for batch in batches]
        if self.selector.spans_passes:
            selected_BS = self._select(torch.cat(scores), _together([batch["inputs"] for batch in batches]))
            selected = list(selected_BS.split([len(batch["input_ids"]) for batch in batches]))
        else:
            inputs = [batch["inputs"] for batch in batches]
            selected = [self._select(*pair) for pair in zip(scores, inputs, strict=True)]
        counts = torch.stack([mask.sum() for mask in selected]).tolist()
        for batch, found, mask, count in zip(batches, scores, selected, counts, strict=True):
            batch |= {"selected": mask, "num_selected": count}
            if self.selector.gives_weights:
                batch["weights"] = found
        counted = scores if self.selector.gives_weights else selected
        if self._divisor is None:
            self._divisor = self._divisor_of(torch.stack([found.double().sum() for found in counted]).sum())

    def _select(self, scores: Tensor, inputs: Batch) -> Tensor:
        selected_BS = self.selector.select(scores, inputs)
        self._note_threshold(scores, selected_BS)
        return selected_BS

    def _note_threshold(self, scores: Tensor, selected_BS: Tensor) -> None:
        threshold = self.selector.threshold(scores, selected_BS)
        if threshold is not None:
            self._thresholds.append(threshold)

    def _divisor_of(self, own: Tensor) -> Tensor:
        """Return what the step's loss is divided by, given this process's share of it."""
        return _divisor(sum_over_ranks(own.to(self.args.device)))

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return this micro-batch's part of the step's mean loss, and keep its sums for the metrics."""
        outputs: dict[str, Tensor] = model(**inputs)
        if self._divisor is None:  # the step is one micro-batch, and its choice was made just now
            self._divisor = self._divisor_of(outputs.get("weights", outputs["selected"]).double().sum())
        self._record(inputs, outputs)
        # DDP averages gradients over processes, and the divisor already counts all of them.
        loss_sum = outputs["loss_sum"]
        factor = self._divisor.new_full((), self.accelerator.num_processes) / self._divisor
        loss = loss_sum * factor.to(loss_sum)
        return (loss, outputs) if return_outputs else loss

    def _record(self, batch: Batch, outputs: dict[str, Tensor]) -> None:
        inputs, losses_BS, selected_BS = batch["inputs"], outputs["losses"].detach(), outputs["selected"]
        losses64_BS, eligible_BS = losses_BS.double(), inputs["eligible"]
        weights_BS = outputs.get("weights", selected_BS).double()
        selected_num, all_num = selected_BS.sum().double(), eligible_BS.sum().double()
        self._sums.append(
            torch.stack(
                [
                    (losses64_BS * weights_BS).sum(),
                    weights_BS.sum(),
                    weights_BS.square().sum(),
                    (losses64_BS * selected_BS).sum(),
                    selected_num,
                    (losses64_BS * eligible_BS).sum(),
                    all_num,
                    outputs["forward_rows"].double(),
                ]
            )
        )
        if "scores" in outputs:
            self._note_threshold(outputs["scores"], selected_BS)
        if self.monitor is not None and not self.monitor.is_full:
            scores = self.monitor.scores({**inputs, LOSSES: losses_BS})
            self._monitored.append((scores, losses64_BS, inputs))

    def step_loss_sums(self) -> LossSums:
        """Return the sums of the finished optimizer step over all processes, and start anew.

        Here training waits for the device: once, whatever there is to read.
        """
        sums = torch.stack(self._sums).sum(dim=0)
        own = [sums.new_full((1,), number) for number in (self._tokens, self._forward_tokens)]
        numbers = [sum_over_ranks(torch.cat([sums, *own]))]
        if self._thresholds:
            numbers.append(all_rows(torch.stack(self._thresholds).min().view(1)).min().double().view(1))
        weighted_sum, weight_sum, square_sum, *counts = self._read(torch.cat(numbers))
        selected_sum, selected_num, all_sum, all_num, forward_rows, tokens, forward_tokens, *threshold = counts
        step = LossSums(weighted_sum, int(selected_num), all_sum, int(all_num), tokens=int(tokens))
        step.trained_rows = step.selected_num
        step.forward_rows, step.forward_tokens = int(forward_rows), int(forward_tokens)
        if self.selector.gives_weights:
            step.weight_sum, step.weight_square_sum = weight_sum, square_sum
        step.pre_pass_seconds, self._pre_pass_seconds = self._pre_pass_seconds, 0.0
        step.threshold = threshold[0] if threshold else None
        if not self.selector.is_full:
            step.ranked_sum, step.ranked_num = selected_sum, step.selected_num
        elif self.monitor is not None and self._monitored:
            step.ranked_sum, step.ranked_num = self._monitored_sums(self.monitor)
        self._sums, self._thresholds, self._monitored = [], [], []
        self._tokens = self._forward_tokens = 0
        return step

    def _read(self, numbers: Tensor) -> list[float]:
        """Return numbers of the finished step, float64, from the device."""
        found: list[float] = numbers.tolist()
        return found

    def _monitored_sums(self, monitor: Selector) -> tuple[float, int]:
        scores, losses, inputs = zip(*self._monitored, strict=True)
        kept_BS, losses_BS = monitor.select(torch.cat(scores), _together(inputs)), torch.cat(losses)
        sums = sum_over_ranks(torch.stack([(losses_BS * kept_BS).sum(), kept_BS.sum().double()]))
        return float(sums[0]), int(sums[1])


class SelectiveTrainer(SelectiveSteps, ResumableTrainer):
    """Trains a :class:`SelectiveLM` on batches of :class:`~rho1bench.training.datasets.BlockDataset`.

    ``average`` follows the weights, and adds its losses to the inputs of each batch.
    """

    _grad_norm: Tensor | float = math.nan

    def __init__(
        self,
        *,
        stage: TrainStage,
        model: SelectiveLM,
        monitor: Selector | None = None,
        average: MovingAverage | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(stage=stage, model=model, lm=model.lm, **kwargs)
        self.remove_callback(PrinterCallback)
        self._select_with(model.selector, monitor, average)
        if average is not None:
            self.average = average.model

    def _note_grad_norm(self, grad_norm: Tensor | float) -> None:
        """Keep it until the step's other numbers are read."""
        self._grad_norm = grad_norm

    def _read(self, numbers: Tensor) -> list[float]:
        grad_norm = torch.as_tensor(self._grad_norm, dtype=numbers.dtype, device=numbers.device).view(1)
        *found, self.last_grad_norm = super()._read(torch.cat([numbers, grad_norm]))
        return found


def _divisor(total: Tensor) -> Tensor:
    """Return what a loss is divided by, float64: the sum of counts or weights, or 1 if that is nothing."""
    return total.double().masked_fill(total == 0, 1.0)


def _together(inputs: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return what a choice reads of several micro-batches as one."""
    names = [name for name in ("eligible", "token_positions", "document_ids") if name in inputs[0]]
    return {name: torch.cat([one[name] for one in inputs]) for name in names}


def _num_tokens(batch: Batch) -> int:
    """Return how many tokens a batch reads; padded batches say so themselves, which the model need not see."""
    num_tokens = batch.pop("num_tokens", None)
    return batch["input_ids"].numel() if num_tokens is None else int(num_tokens.sum())
