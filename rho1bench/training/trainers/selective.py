"""Pretraining with the selective loss on ``transformers.Trainer`` (paper section 2.2, step 3).

The sum over selected tokens is divided by the number of selected tokens of the whole optimizer step, over all
micro-batches and processes. Shapes: B blocks, S predicted positions.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer

from rho1bench.selection.selective_lm import SelectiveLM
from rho1bench.selection.selector import Selector, TokenBatch
from rho1bench.training.loss_sums import LossTotals
from rho1bench.training.trainers.resumable import ResumableTrainer


class SelectiveTrainer(ResumableTrainer, Trainer):  # type: ignore[misc]
    """Trains a :class:`SelectiveLM` on batches of :class:`~rho1bench.training.datasets.BlockDataset`."""

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
        self._pre_pass_seconds = 0.0

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """Collect the micro-batches of one optimizer step; choose first where ranking or divisor span all of them."""
        batches, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._tokens += sum(_num_tokens(batch) for batch in batches)
        selector = self.selector
        if batches and selector.is_count_known:
            self._num_selected = selector.num_selected([batch["eligible"] for batch in batches])
        spans_all = len(batches) > 1 and selector.scope == "global" and not selector.is_full
        if batches and (spans_all or not selector.is_count_known):
            began = time.monotonic()
            self._choose_ahead(batches)
            self._pre_pass_seconds += time.monotonic() - began if selector.needs_losses else 0.0
        if batches and not selector.is_count_known:
            num = torch.stack([batch["selected"].sum() for batch in batches]).sum().to(self.args.device)
            self._num_selected = max(int(self.accelerator.reduce(num, reduction="sum")), 1)
        return batches, num_items

    def _choose_ahead(self, batches: list[dict[str, Tensor]]) -> None:
        """Score-only pass over all micro-batches, then the choice: one among all their tokens where it is global."""
        model = self.model_wrapped
        scores = []
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in batches:
                if self.selector.needs_losses:
                    scores.append(model(**self._prepare_inputs(batch), score_only=True)["scores"])
                else:
                    ready = TokenBatch(batch["eligible"], batch["token_ids"], batch.get("reference"))
                    scores.append(self.selector.scores(ready, None))
        eligible = [batch["eligible"] for batch in batches]
        if self.selector.scope == "global":
            selected_BS = self._choose(torch.cat(scores), torch.cat(eligible))
            chosen = list(selected_BS.split([len(mask) for mask in eligible]))
        else:
            chosen = [self._choose(*pair) for pair in zip(scores, eligible, strict=True)]
        for batch, selected in zip(batches, chosen, strict=True):
            batch["selected"] = selected

    def _choose(self, scores: Tensor, eligible_BS: Tensor) -> Tensor:
        selected_BS = self.selector.choose(scores, eligible_BS)
        self._note_threshold(scores, selected_BS)
        return selected_BS

    def _note_threshold(self, scores: Tensor, selected_BS: Tensor) -> None:
        threshold = self.selector.threshold(scores, selected_BS)
        if threshold is not None:
            self._thresholds.append(threshold)

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
        if "scores" in outputs:
            self._note_threshold(outputs["scores"], selected_BS)
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
        totals.pre_pass_seconds, self._pre_pass_seconds = self._pre_pass_seconds, 0.0
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
