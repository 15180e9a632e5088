"""The selective loss for a trainer of one's own: a base class to stand before ``transformers.Trainer`` or TRL's.

    class SelectiveTrainer(SelectiveLoss, Trainer): ...

    SelectiveTrainer(model, args, train_dataset=rows, selection={"score": "excess_loss", "ratio": 0.6}, reference=model)

Selection, loss and gradients are those of a recipe's training stages (section 2.2, steps 2 and 3), so the trajectory
is, too, where batches and arguments are. Evaluation is left to the trainer, and is of every token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rho1bench.errors import PluginError, RecipeError, TrainingError
from rho1bench.modeling.causal_lm import check_document_masking, vocabulary_size
from rho1bench.pipeline.stage import derive_seed
from rho1bench.recipe import Selection
from rho1bench.recipe.loading.load import read_selection
from rho1bench.recipe.models.rule_specs import ENTROPIES, LOSSES, stored_part
from rho1bench.selection.block_reader import Batch
from rho1bench.selection.dataset_scores import loaded_reference
from rho1bench.selection.local_reference import score_blocks
from rho1bench.selection.selective_lm import SelectiveLM
from rho1bench.selection.selector import Selector
from rho1bench.training.loss_sums import LossSums
from rho1bench.training.token_inputs import ScoreCollator, token_inputs
from rho1bench.training.trainers.selective import SelectiveSteps


class SelectiveLoss(SelectiveSteps):
    """Trains on the tokens that ``selection`` keeps, or by the weights that it gives; stands first among the bases.

    Beside ``loss``, the trainer's log holds ``loss_all`` (every token that could be learnt) and ``select_ratio``.

    Args:
        selection: what a recipe says under ``selection:``, but for ``token_scores``; None trains on every token.
        reference: a causal language model of the same vocabulary, or its folder: its losses and entropies, one forward
            pass for each batch, rounded to float16 as a score store keeps them. Leave it out
            where the data set holds them (``score_dataset``, ``packed_rows``).

    Raises:
        TrainingError: the selection is none, reads what nothing gives it, or does not go with the trainer's arguments.
        CheckpointError: the reference cannot be loaded, or the model's logits are not those of its output embedding.
    """

    def __init__(
        self,
        *args: Any,
        selection: Selection | Mapping[str, Any] | None,
        reference: PreTrainedModel | str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        lm = self._checked_model()
        chosen = _checked(selection)
        _check_schedule(chosen, self.args.max_steps)
        selector = Selector(chosen, derive_seed(self.args.seed, "selection"), max(self.args.max_steps, 1))
        wanted = sorted(name for name in selector.needs if stored_part(name) is not None)
        self._reference = None if reference is None else self._ready(loaded_reference(reference), lm)
        made = {f"reference.{kind}" for kind in (LOSSES, ENTROPIES)} if reference is not None else set()
        self._columns = [name for name in wanted if name not in made]
        self._made = sorted(made & set(wanted))
        self._check_columns()
        self.data_collator = ScoreCollator(self.data_collator, self._columns)
        self._totals = LossSums()
        self._next_row = 0
        self._masking_is_checked = False
        self._select_with(selector)
        self._base = lm
        _attach(lm, selector)

    def _checked_model(self) -> PreTrainedModel:
        lm: object = self.model
        if self.args.n_gpu > 1:
            raise TrainingError("several GPUs need a process each: start it with torchrun or accelerate launch.")
        if self.args.label_smoothing_factor or self.compute_loss_func is not None:
            raise TrainingError(
                "label_smoothing_factor and compute_loss_func have losses of their own; leave them out."
            )
        if not isinstance(lm, PreTrainedModel):
            raise TrainingError(
                f"expected a causal language model of transformers, got a {type(lm).__name__}. Adapters (peft) "
                "cannot be trained with a selection."
            )
        return lm

    def _ready(self, reference: PreTrainedModel, lm: PreTrainedModel) -> PreTrainedModel:
        if vocabulary_size(reference) < vocabulary_size(lm):
            raise TrainingError(
                f"the reference knows {vocabulary_size(reference)} tokens and the model {vocabulary_size(lm)}. "
                "Take a reference that has the model's tokenizer."
            )
        return nn.Module.to(reference, self.args.device)

    def _check_columns(self) -> None:
        """Raise TrainingError for a column that the data set is known not to hold."""
        held = getattr(self.train_dataset, "column_names", None)
        missing = [name for name in self._columns if held is not None and name not in held]
        if missing:
            raise TrainingError(
                f"the selection reads {', '.join(missing)}, which nothing gives: not the data set (its columns: "
                f"{', '.join(held or ())}), and not reference=. Give reference=MODEL for reference.losses and "
                "reference.entropies, or score the data set first (rho1bench.selection.score_dataset)."
            )

    def _set_signature_columns_if_needed(self) -> None:
        """Keep the columns of scores when the trainer removes those that the model does not take."""
        is_first = self._signature_columns is None
        super()._set_signature_columns_if_needed()
        if is_first:
            kept = [*(self._signature_columns or ()), *self._columns]
            self._signature_columns = kept  # type: ignore[assignment]  # transformers gives it the type None

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], Tensor | int | None]:
        """See :class:`SelectiveSteps`; the batches of one optimizer step are those of any data collator."""
        self._keep_sums()
        rows = self.args.per_device_train_batch_size
        self._next_row = rows * (
            self.state.global_step * self.args.gradient_accumulation_steps * self.args.world_size
            + self.args.process_index
        )
        return super().get_batch_samples(epoch_iterator, num_batches, device)

    def _complete(self, batch: Batch) -> None:
        """Turn a trainer's batch into one of the selective loss, in place, with the reference's scores where asked."""
        found = token_inputs(batch, self._columns, self._next_row)
        self._next_row += self.args.per_device_train_batch_size * self.args.world_size
        batch.clear()
        batch.update(found)
        if "position_ids" in batch and not self._masking_is_checked:
            for model in filter(None, (self._base, self._reference)):
                check_document_masking(model, "position_ids that begin anew")
            self._masking_is_checked = True
        if self._reference is not None and self._made and not self.selector.is_full:
            on = self.args.device
            positions = batch["position_ids"].to(on) if "position_ids" in batch else None
            scores_BS2 = score_blocks(self._reference, batch["input_ids"].to(on), positions)
            scores_BS2 = scores_BS2.half().float().to(batch["input_ids"].device)  # as a store keeps them
            for name in self._made:
                batch["inputs"][name] = scores_BS2[..., 1 if name.endswith(ENTROPIES) else 0]
        super()._complete(batch)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the selective loss of a training batch, and the trainer's own of one that it evaluates."""
        if "inputs" in inputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        plain = {name: value for name, value in inputs.items() if name not in self._columns}
        return super(SelectiveSteps, self).compute_loss(model, plain, return_outputs, num_items_in_batch)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add what the selection did since the last log."""
        if "loss" in logs:
            self._keep_sums()
            row = self._totals.row()
            logs |= {name: value for name in ("loss_all", "select_ratio") if (value := row[name]) is not None}
            self._totals = LossSums()
        super().log(logs, *args, **kwargs)

    def _keep_sums(self) -> None:
        if self._sums:
            self._totals.add(self.step_loss_sums())


def _checked(selection: Selection | Mapping[str, Any] | None) -> Selection | None:
    """Return the selection as a recipe's; raises TrainingError for one that is none."""
    try:
        found = read_selection(selection) if isinstance(selection, Mapping) else selection
    except (RecipeError, PluginError) as error:
        raise TrainingError(str(error)) from error
    if found is None:
        return None
    if not isinstance(found, Selection):
        raise TrainingError(
            f'selection: expected what a recipe says there, {{"score": "excess_loss", "ratio": 0.6}}, got {found!r}.'
        )
    if found.token_scores is not None:
        raise TrainingError(
            "selection: token_scores names a stage of a recipe. Leave it out, and give reference=MODEL or a data set "
            "that holds its scores (rho1bench.selection.score_dataset, rho1bench.training.packed_rows)."
        )
    if found.moving_average is not None:
        raise TrainingError(
            "selection: a trainer's checkpoints do not hold a moving_average of the weights. Train with a recipe, or "
            "name a snapshot's scores earlier (score_dataset(..., name='earlier'))."
        )
    return found


def _check_schedule(selection: Selection | None, max_steps: int) -> None:
    parts = selection.parts if selection is not None else []
    if max_steps < 1 and any(not isinstance(part.ratio, float) for part in parts):
        raise TrainingError("a ratio that follows a schedule needs max_steps in the trainer's arguments.")


def _attach(lm: PreTrainedModel, selector: Selector) -> None:
    """Let the model's forward pass be that of :class:`SelectiveLM` where it is given what selection reads.

    So whatever wraps the model (DDP, autocast, gradient checkpointing) sees one model, which is saved as it is.
    """
    plain, selective = lm.forward, SelectiveLM(lm, selector)

    @wraps(plain)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return selective(**kwargs) if "inputs" in kwargs else plain(*args, **kwargs)

    lm.forward = forward
