"""Trainers whose stage goes on exactly where a killed attempt's last resume point is, whole or sharded.

A resume point holds weights, optimizer, schedule, random states and the stage's own sums, so that a killed stage goes
on to the same weights and metrics to the last bit; on another number of ranks, to those within the order of sums.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel, Trainer

from rho1bench.modeling.distributed import is_main, wait_for_everyone
from rho1bench.modeling.sharding import is_sharded, shard
from rho1bench.recipe import TrainStage
from rho1bench.training.loss_sums import LossSums
from rho1bench.training.trainers.resume_points import ResumePointWriter, StageState, read_tensors, training_state

_SCHEDULE = "scheduler.pt"


class ResumableTrainer(Trainer):
    """Base of the trainers of ``stage``: its sharding, its resume points, and the gradient norm on record.

    ``model`` is what is trained, and holds ``lm``, the model that is kept.
    """

    stage_state: Callable[[], StageState] | None = None
    """Gives what the stage wants to find again in :func:`~.resume_points.read_stage_state`."""
    average: PreTrainedModel | None = None
    """A moving average of the weights that a resume point holds too."""
    last_grad_norm = math.nan

    def __init__(self, *, stage: TrainStage, model: nn.Module, lm: PreTrainedModel, **kwargs: Any) -> None:
        self.lm = lm
        self._sharded = is_sharded(stage)
        if self._sharded:
            shard(model, lm, stage, kwargs["args"].device)
        super().__init__(model=model, **kwargs)
        # So that accelerate neither wraps nor shards it again; autocast it adds as to any other.
        self.is_distributed_loading_by_transformers = self._sharded
        self._resume_points = ResumePointWriter(Path(str(self.args.output_dir)), stage.resume_points)

    def step_loss_sums(self) -> LossSums:
        """Return the sums of the optimizer step whose gradients are ready."""
        raise NotImplementedError

    def finish_saving(self) -> None:
        """Return when the last resume point is on disk; raises what has gone wrong with it."""
        self._resume_points.wait()

    def _move_model_to_device(self, model: nn.Module, device: torch.device) -> None:
        if not self._sharded:  # shards are there already
            super()._move_model_to_device(model, device)

    def _get_output_dir(self, trial: Any) -> str:
        """Checkpoints are written into a folder of their own first."""
        return str(Path(super()._get_output_dir(trial)) / "partial")

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        partial = Path(self._get_output_dir(trial))
        self.finish_saving()
        if is_main():
            shutil.rmtree(partial, ignore_errors=True)
        wait_for_everyone()
        super()._save_checkpoint(model, trial)
        wait_for_everyone()
        point = partial / f"checkpoint-{self.state.global_step}"
        state = {} if self.is_deepspeed_enabled else self._training_state()
        self._resume_points.start(point, state, self.stage_state() if self.stage_state is not None else {})

    def _training_state(self) -> dict[str, Any]:
        return training_state(self.model_wrapped, self._torch_optimizer, self.average)

    @property
    def _torch_optimizer(self) -> Optimizer:
        assert self.optimizer is not None, "there is one while training"
        found: Optimizer = getattr(self.optimizer, "optimizer", self.optimizer)  # inside accelerate's
        return found

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Save no model here: the weights are among the tensors of the resume point."""
        assert output_dir is not None, "only resume points are saved here"
        os.makedirs(output_dir, exist_ok=True)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.is_deepspeed_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
        elif is_main():
            assert self.lr_scheduler is not None, "there is one while training"
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / _SCHEDULE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Load nothing yet: the weights come with the optimizer, once both are where they are to be."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or self.is_deepspeed_enabled:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        read_tensors(Path(checkpoint), self.model_wrapped, self._torch_optimizer, self.average)
        assert self.lr_scheduler is not None, "made before"
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / _SCHEDULE, weights_only=True))

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        grad_norm = super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        self._note_grad_norm(getattr(grad_norm, "full_tensor", lambda: grad_norm)())
        return grad_norm

    def _note_grad_norm(self, grad_norm: Tensor | float) -> None:
        self.last_grad_norm = float(grad_norm)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no model card: resume points are not for publishing."""
