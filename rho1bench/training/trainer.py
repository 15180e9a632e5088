"""Pretraining with the selective loss on ``transformers.Trainer`` (paper section 2.2, step 3).

The sum over selected tokens is divided by the number of selected tokens of the whole optimizer step, over all
micro-batches and processes. Shapes: B blocks, S predicted positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer

from rho1bench.selection.selective_lm import SelectiveLM
from rho1bench.selection.selector import Selector, TokenBatch
from rho1bench.training.resume import ResumableTrainer
from rho1bench.training.totals import LossTotals


class SelectiveTrainer(ResumableTrainer, Trainer):  # type: ignore[misc]
    """Trains a :class:`SelectiveLM` on batches of :class:`~rho1bench.training.data.BlockDataset`."""

    def __init__(self, model: SelectiveLM, monitor: Selector | None, **kwargs: Any) -> None:
        super().__init__(model=model, **kwargs)
        self.remove_callback(PrinterCallback)
        # compute_loss divides by the tokens of the whole optimizer step, so the Trainer must not divide again.
        self.loss_is_scaled_for_ga = True
        self.selector = model.selector
        self.monitor = monitor
        self._num_selected = 0
        self._sums: list[Tensor] = []
        self._thresholds: list[Tensor] = []
        self._monitored: list[tuple[Tensor, Tensor, Tensor]] = []
        self._tokens = 0

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """Collect the micro-batches of one optimizer step; where ``global`` spans several, rank them all first."""
        batches, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._tokens += sum(_num_tokens(batch) for batch in batches)
        if batches:
            self._num_selected = self.selector.num_selected([batch["eligible"] for batch in batches])
        if len(batches) > 1 and self.selector.scope == "global" and not self.selector.is_full:
            self._choose_globally(batches)
        return batches, num_items

    def _choose_globally(self, batches: list[dict[str, Tensor]]) -> None:
        """Score-only pass over all micro-batches, then one choice among all their tokens."""
        model = self.model_wrapped
        scores = []
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in batches:
                if self.selector.needs_losses:
                    scores.append(model(**self._prepare_inputs(batch), score_only=True)["scores"])
                else:
                    ready = TokenBatch(batch["eligible"], batch["token_ids"], batch.get("reference"))
                    scores.append(self.selector.scores(ready, None))
        scores_BS = torch.cat(scores)
        eligible_BS = torch.cat([batch["eligible"] for batch in batches])
        selected_BS = self.selector.choose(scores_BS, eligible_BS)
        self._thresholds.append(_lowest(scores_BS, selected_BS))
        sizes = [len(batch["eligible"]) for batch in batches]
        for batch, selected in zip(batches, selected_BS.split(sizes), strict=True):
            batch["selected"] = selected

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return this micro-batch's part of the step's mean loss, and keep its sums for the metrics."""
        outputs = model(**inputs)
        self._record(inputs, outputs)
        # DDP averages gradients over processes, and the divisor already counts all of them.
        loss = outputs["loss_sum"] * (self.accelerator.num_processes / self._num_selected)
        return (loss, outputs) if return_outputs else loss

    def _record(self, inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> None:
        losses_BS, selected_BS, eligible_BS = outputs["losses"].detach(), outputs["selected"], inputs["eligible"]
        losses64_BS = losses_BS.double()
        self._sums.append(
            torch.stack(
                [
                    (losses64_BS * selected_BS).sum(),
                    selected_BS.sum().double(),
                    (losses64_BS * eligible_BS).sum(),
                    eligible_BS.sum().double(),
                ]
            )
        )
        if not self.selector.is_full and "scores" in outputs:
            self._thresholds.append(_lowest(outputs["scores"], selected_BS))
        if self.monitor is not None:
            batch = TokenBatch(eligible_BS, inputs["token_ids"], inputs.get("reference"))
            self._monitored.append((self.monitor.scores(batch, losses_BS), losses64_BS, eligible_BS))

    def step_totals(self) -> LossTotals:
        """Return the sums of the finished optimizer step over all processes, and start anew."""
        sums = torch.stack(self._sums).sum(dim=0)
        sums = torch.cat([sums, sums.new_tensor([self._tokens])])
        if self.accelerator.num_processes > 1:
            sums = self.accelerator.reduce(sums, reduction="sum")
        selected_sum, selected_num, all_sum, all_num, tokens = sums.tolist()
        totals = LossTotals(selected_sum, int(selected_num), all_sum, int(all_num))
        totals.tokens = int(tokens)
        if self._thresholds:
            threshold = torch.stack(self._thresholds).min()
            if self.accelerator.num_processes > 1:
                threshold = self.accelerator.gather(threshold).min()
            totals.threshold = float(threshold)
        if not self.selector.is_full:
            totals.ranked_sum, totals.ranked_num = totals.selected_sum, totals.selected_num
        elif self.monitor is not None:
            totals.ranked_sum, totals.ranked_num = self._monitored_sums(self.monitor)
        self._sums, self._thresholds, self._monitored, self._tokens = [], [], [], 0
        return totals

    def _monitored_sums(self, monitor: Selector) -> tuple[float, int]:
        scores, losses, eligible = (torch.cat(parts) for parts in zip(*self._monitored, strict=True))
        kept = monitor.choose(scores, eligible)
        sums = torch.stack([(losses * kept).sum(), kept.sum().double()])
        if self.accelerator.num_processes > 1:
            sums = self.accelerator.reduce(sums, reduction="sum")
        return float(sums[0]), int(sums[1])

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Save the wrapped model alone, in its own format."""
        self.model.lm.save_pretrained(output_dir or self.args.output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        from safetensors.torch import load_model

        load_model(self.model.lm, Path(resume_from_checkpoint) / "model.safetensors")


def _num_tokens(batch: dict[str, Tensor]) -> int:
    """Return how many tokens a batch reads; padded batches say so themselves, which the model need not see."""
    num_tokens = batch.pop("num_tokens", None)
    return batch["input_ids"].numel() if num_tokens is None else int(num_tokens.sum())


def _lowest(scores_BS: Tensor, selected_BS: Tensor) -> Tensor:
    return scores_BS.detach().masked_fill(~selected_BS, float("inf")).min()
