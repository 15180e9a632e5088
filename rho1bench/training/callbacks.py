"""What happens around the steps of a training stage: metrics, live progress, checkpoints along the way, a stop on NaN.

Everything here runs in ``on_step_end``, before the trainer writes its resume point of that step: whatever a resume
point knows of is already on disk, and rows after it are cut when a killed stage goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rho1bench.errors import TrainingError
from rho1bench.modeling.distributed import is_main, num_processes, wait_for_everyone
from rho1bench.modeling.weights import save_model
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import TrainStage
from rho1bench.recipe.models.training import checkpoint_steps
from rho1bench.sizing.cost import Cost, total_cost
from rho1bench.sizing.flops import ModelSize, flops_of, flops_per_token, peak_of_run
from rho1bench.system.files import append_jsonl, read_jsonl, write_jsonl
from rho1bench.system.provenance import device
from rho1bench.training.loss_sums import LossSums
from rho1bench.training.trainers.resumable import ResumableTrainer
from rho1bench.training.trainers.resume_points import StageState

PRE_PASS_STEPS = 5
"""Steps after which the cost of the score-only pass is told."""
MAX_SKIPPED_IN_A_ROW = 10
"""Steps that ``on_nonfinite: skip`` leaves out one after the other; weights that give nothing finite will not mend."""
Hook = Callable[[int], None]
"""Something to do at a step; called with the number of finished steps."""


def cut_rows(path: Path, step: int | None) -> None:
    """Drop the rows after ``step``, all of them for None: a killed attempt wrote them, and they come again."""
    if path.exists():
        write_jsonl(path, [row for row in read_jsonl(path) if step is not None and row["step"] <= step])


class StageCallback(TrainerCallback):
    """The life of one training stage, whose model of ``size`` reads sequences of ``length`` tokens on average.

    ``stage_began`` is the ``time.monotonic()`` at which the stage was called.
    """

    def __init__(
        self, context: StageContext, trainer: ResumableTrainer, size: ModelSize, length: float, stage_began: float
    ) -> None:
        self.stage_began = stage_began
        self.stage = context.config(TrainStage)
        self.metrics_path = context.folder / "metrics.jsonl"
        self.progress = context.progress
        self.trainer = trainer
        self.num_parameters = size.num_parameters
        self.loss_sums = LossSums()
        self.interval = LossSums()
        self.seconds_before = 0.0
        self.hooks: list[Hook] = []
        self.facts: dict[str, str] = {}
        """What else the stage's ``training.json`` says."""
        self._size, self._length = size, length
        self.scoring: Cost | None = None
        """Of a reference that scored the stage's samples before training."""
        self._step_sums = LossSums()
        self._pre_pass_seconds = 0.0
        self._steps_seen = 0
        self._skipped_in_a_row = 0
        self._learning_rate = 0.0
        self._began = self._interval_began = time.monotonic()
        self._first_step_ended = self._ended = self._began
        self._tokens_at_begin = 0

    def restore(self, state: StageState) -> None:
        """Take over the sums of a resume point."""
        self.loss_sums = LossSums(**state["loss_sums"])
        self.interval = LossSums(**state["interval"])
        self.seconds_before = state["seconds"]

    def state(self) -> StageState:
        """Return what :meth:`restore` needs."""
        return {"loss_sums": self.loss_sums.as_dict(), "interval": self.interval.as_dict(), "seconds": self.seconds()}

    def seconds(self) -> float:
        """Return the seconds of training in this attempt and in the part of earlier ones that was kept."""
        return self.seconds_before + time.monotonic() - self._began

    def flops(self) -> float:
        """Return the operations of training so far, without those of measurements."""
        return flops_of(self._size, self._length, self.loss_sums.work)

    def cost(self) -> Cost:
        """Return what the stage took, the scoring of its samples included."""
        training = Cost(flops=self.flops(), seconds=round(self.seconds(), 3), hardware=device())
        return total_cost([training] if self.scoring is None else [training, self.scoring])

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the bar; at step 0 the hooks see the untrained model."""
        self.progress.start(self.stage.max_steps, "steps")
        self._began = self._interval_began = time.monotonic()
        self._tokens_at_begin = self.loss_sums.tokens
        if state.global_step == 0:
            self._run_hooks(0)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stop before the optimizer spoils the weights with a non-finite loss or gradient, or leave the step out."""
        self._step_sums = self.trainer.step_loss_sums()
        self._learning_rate = float(kwargs["lr_scheduler"].get_last_lr()[0])
        loss, grad_norm = self._step_sums.row()["loss"], self.trainer.last_grad_norm
        if loss is not None and math.isfinite(loss) and math.isfinite(grad_norm):
            self._skipped_in_a_row = 0
            return
        self._skipped_in_a_row += 1
        problem = (
            f"stage {self.stage.name!r}, step {state.global_step + 1}: the loss is {loss} and the gradient norm "
            f"{grad_norm}"
        )
        if self.stage.on_nonfinite == "stop" or self._skipped_in_a_row > MAX_SKIPPED_IN_A_ROW:
            skipped = self._skipped_in_a_row - 1
            before = f" like those of the {skipped} steps before, which were skipped" if skipped else ""
            raise TrainingError(
                f"{problem}{before}. Training stopped before the optimizer; the last good state is kept. Lower "
                "learning_rate or max_grad_norm, or check the corpus."
            )
        self.progress.message(f"{problem}; the step is skipped")
        self._step_sums = self._step_sums.without_losses()
        kwargs["optimizer"].zero_grad(set_to_none=True)  # without gradients the optimizer changes nothing

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Count, log, run the hooks, and ask for a resume point; the last step needs none."""
        step = state.global_step
        if not self._steps_seen:
            self._first_step_ended = time.monotonic()
        self.loss_sums.add(self._step_sums)
        self.interval.add(self._step_sums)
        self._show(step)
        self._tell_pre_pass(step)
        if step % self.stage.logging_steps == 0 or step == self.stage.max_steps:
            self._log(step)
        self._run_hooks(step)
        control.should_save = step % self.stage.save_steps == 0 and step < self.stage.max_steps

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the bar down."""
        self._ended = time.monotonic()
        self.progress.close()

    def seconds_of_parts(self) -> dict[str, float]:
        """Return the wall seconds of this attempt, now that it ends: before, in and after its steps.

        ``first_step`` is a part of ``steps``: there kernels are compiled and memory is found.
        """
        parts = {
            "start": self._began - self.stage_began,
            "first_step": self._first_step_ended - self._began,
            "steps": self._ended - self._began,
            "end": time.monotonic() - self._ended,
        }
        return {name: round(seconds, 3) for name, seconds in parts.items()}

    def _run_hooks(self, step: int) -> None:
        for hook in self.hooks:
            hook(step)

    def _show(self, step: int) -> None:
        losses = self._step_sums.row()
        fields = {"loss": losses["loss"], "unselected": losses["loss_unselected"]}
        if losses["loss_unselected"] is not None:
            fields = {"selected": losses["loss_selected"], "unselected": losses["loss_unselected"]}
        elapsed = max(time.monotonic() - self._began, 1e-9)
        speed = (self.loss_sums.tokens - self._tokens_at_begin) / elapsed
        shown = {name: value for name, value in fields.items() if value is not None}
        self.progress.update(step, **{"tokens/s": round(speed)}, **shown)

    def _tell_pre_pass(self, step: int) -> None:
        """Say once, early in this attempt, what ranking over the whole optimizer step costs."""
        self._pre_pass_seconds += self._step_sums.pre_pass_seconds
        self._steps_seen += 1
        last = step == self.stage.max_steps
        if not self._pre_pass_seconds or not (
            self._steps_seen == PRE_PASS_STEPS or (last and self._steps_seen < PRE_PASS_STEPS)
        ):
            return
        share = self._pre_pass_seconds / max(time.monotonic() - self._began, 1e-9)
        self.progress.message(f"the score-only pass over each optimizer step as a whole takes {share:.0%} of the time")

    def _log(self, step: int) -> None:
        now = time.monotonic()
        speed = self.interval.tokens / max(now - self._interval_began, 1e-9)
        peak = peak_of_run(self.stage.precision, num_processes())
        row = {
            "step": step,
            "max_steps": self.stage.max_steps,
            "tokens": self.loss_sums.tokens,
            "selected_tokens": self.loss_sums.selected_num,
            "learning_rate": self._learning_rate,
            **self.interval.row(),
            "grad_norm": grad_norm if math.isfinite(grad_norm := self.trainer.last_grad_norm) else None,
            **({"skipped_steps": skipped} if (skipped := self.interval.skipped_steps) else {}),
            **({"pre_pass_seconds": round(spent, 3)} if (spent := self.interval.pre_pass_seconds) else {}),
            "flops": self.flops(),
            "tokens_per_second": round(speed, 1),
            "mfu": None if peak is None else round(speed * flops_per_token(self._size, self._length) / peak, 4),
        }
        if is_main():
            append_jsonl(self.metrics_path, row)
        if self.stage.loggers:
            self.trainer.log({key: value for key, value in row.items() if value is not None})
        self.interval = LossSums()
        self._interval_began = now


def checkpoint_hook(context: StageContext, lm: PreTrainedModel, tokenizer_folder: Path) -> Hook:
    """Return a hook that keeps the stage's ``num_checkpoints`` models along the way as ``step-000100`` and so on."""
    stage = context.config(TrainStage)
    wanted = set(checkpoint_steps(stage.max_steps, stage.num_checkpoints))

    def hook(step: int) -> None:
        target = context.folder / "checkpoints" / f"step-{step:06d}"
        # One that a killed attempt left is whole, and the same to the last bit.
        missing = step in wanted and not target.exists()
        if step in wanted:
            wait_for_everyone()  # before rank 0 writes, so that every rank has seen the same
        if missing:
            save_model(lm, tokenizer_folder, target, stage.checkpoint_dtype)

    return hook
