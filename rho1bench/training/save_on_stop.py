"""Training that is asked to stop: it leaves a resume point at the end of its step, on all ranks at once."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rho1bench.modeling.distributed import any_rank
from rho1bench.pipeline import stopping


class SaveOnStop(TrainerCallback):
    """Saves and ends training after the step in which any rank has learnt that the run is to stop."""

    has_stopped = False
    """True where training ended early; the next attempt goes on from the resume point."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask the other ranks, which then all save the same step; the last step is followed by the model itself."""
        if any_rank(stopping.is_asked(), args.device) and state.global_step < state.max_steps:
            self.has_stopped = control.should_save = control.should_training_stop = True
