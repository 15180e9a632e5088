"""Exact resume points for Hugging Face trainers: written whole or not at all, the newest one kept.

A resume point holds weights, optimizer, schedule, random states and the stage's own sums, so that a killed stage goes
on to the same weights and metrics to the last bit. The weights pass through one door both ways
(``modeling.weights``), which checks every name and shape; FSDP2's sharded ones through torch's own.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel, Trainer

from rho1bench.errors import CheckpointError
from rho1bench.modeling.distributed import is_main, wait_for_everyone
from rho1bench.modeling.weights import RESUME_AVERAGE, load_resume_weights, place_folder, save_resume_weights
from rho1bench.system.files import changed_files, content_hashes, read_json, write_json
from rho1bench.training.loss_sums import LossSums

StageState = dict[str, Any]
"""What a stage keeps beside the trainer's state: JSON."""
_STATE_FILE, _HASHES_FILE = "stage_state.json", "hashes.json"


def latest_resume_point(folder: Path) -> Path | None:
    """Return the newest resume point in a stage's ``trainer/`` folder; removes half-written ones."""
    if is_main():
        shutil.rmtree(folder / "partial", ignore_errors=True)
    wait_for_everyone()
    points = [path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return max(points, key=_step, default=None)


def note_files(point: Path) -> None:
    """Note the hashes of the files of a resume point that is complete."""
    names = [path.relative_to(point).as_posix() for path in sorted(point.rglob("*")) if path.is_file()]
    write_json(point / _HASHES_FILE, content_hashes(point, names))


def check_resume_point(point: Path) -> None:
    """Raise CheckpointError if a file of a resume point is not as it was written."""
    try:
        changed = changed_files(point, read_json(point / _HASHES_FILE))
    except (OSError, ValueError):
        changed = [_HASHES_FILE]
    if changed:
        raise CheckpointError(
            f"{point / changed[0]}: is missing or was changed after this resume point was written ({_HASHES_FILE} has "
            f"another SHA-256). Remove the folder {point}; the stage then starts from its beginning."
        )


def read_stage_state(point: Path) -> StageState:
    """Return what the stage stored beside the trainer's state."""
    state: StageState = read_json(point / _STATE_FILE)
    return state


def _step(point: Path) -> int:
    return int(point.name.removeprefix("checkpoint-"))


class ResumableTrainer(Trainer):
    """Base of the stages' trainers: atomic resume points, and the gradient norm on record."""

    stage_state: Callable[[], StageState] | None = None
    """Gives what the stage wants to find again in :func:`read_stage_state`."""
    average: PreTrainedModel | None = None
    """A moving average of the weights that a resume point holds too."""
    last_grad_norm = math.nan

    @property
    def lm(self) -> PreTrainedModel:
        """The model that is trained, without what wraps it."""
        raise NotImplementedError

    def step_loss_sums(self) -> LossSums:
        """Return the sums of the optimizer step whose gradients are ready."""
        raise NotImplementedError

    def _get_output_dir(self, trial: Any) -> str:
        """Checkpoints are written into a folder of their own first."""
        return str(Path(super()._get_output_dir(trial)) / "partial")

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        partial = Path(self._get_output_dir(trial))
        if is_main():
            shutil.rmtree(partial, ignore_errors=True)
        wait_for_everyone()
        super()._save_checkpoint(model, trial)
        wait_for_everyone()
        if is_main():
            self._place(partial)
        wait_for_everyone()

    def _place(self, partial: Path) -> None:
        """Give the finished resume point its name, and remove the one before."""
        (point,) = partial.glob("checkpoint-*")
        write_json(point / _STATE_FILE, self.stage_state() if self.stage_state is not None else {})
        note_files(point)
        target = partial.parent / point.name
        place_folder(point, target)
        for other in partial.parent.glob("checkpoint-*"):
            if other != target:
                shutil.rmtree(other)
        shutil.rmtree(partial)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Save the weights alone: a resume point needs no config, no tokenizer and no pickled arguments."""
        assert output_dir is not None, "only resume points are saved here"
        save_resume_weights(self.lm, Path(output_dir))
        if self.average is not None:
            save_resume_weights(self.average, Path(output_dir), RESUME_AVERAGE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_resume_weights(self.lm, Path(resume_from_checkpoint))
        if self.average is not None:
            load_resume_weights(self.average, Path(resume_from_checkpoint), RESUME_AVERAGE)

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        grad_norm = super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        self.last_grad_norm = float(getattr(grad_norm, "full_tensor", lambda: grad_norm)())
        return grad_norm

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no model card: resume points are not for publishing."""
