"""Exact resume points for Hugging Face trainers: written whole or not at all, the newest one kept.

A resume point holds weights, optimizer, schedule, random states and the stage's own sums, so that a killed stage goes
on to the same weights and metrics to the last bit.
"""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rho1bench.modeling.build import place_folder
from rho1bench.modeling.distributed import is_main, wait_for_everyone
from rho1bench.system.files import read_json, write_json
from rho1bench.training.loss_sums import LossTotals

if TYPE_CHECKING:
    from collections.abc import Callable

_STATE_FILE = "stage_state.json"


def latest_resume_point(folder: Path) -> Path | None:
    """Return the newest resume point in a stage's ``trainer/`` folder; removes half-written ones."""
    if is_main():
        shutil.rmtree(folder / "partial", ignore_errors=True)
    wait_for_everyone()
    points = [path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return max(points, key=_step, default=None)


def read_stage_state(point: Path) -> dict[str, Any]:
    """Return what the stage stored beside the trainer's state."""
    state: dict[str, Any] = read_json(point / _STATE_FILE)
    return state


def _step(point: Path) -> int:
    return int(point.name.removeprefix("checkpoint-"))


class ResumableTrainer:
    """Mixin for ``transformers.Trainer`` and its subclasses: atomic resume points, and the gradient norm on record."""

    stage_state: Callable[[], dict[str, Any]] | None = None
    """Gives what the stage wants to find again in :func:`read_stage_state`."""
    last_grad_norm = math.nan

    if TYPE_CHECKING:
        args: Any
        log: Callable[[dict[str, Any]], None]

    def step_totals(self) -> LossTotals:
        """Return the sums of the optimizer step whose gradients are ready."""
        raise NotImplementedError

    def _get_output_dir(self, trial: Any) -> str:
        """Checkpoints are written into a folder of their own first."""
        return str(Path(super()._get_output_dir(trial)) / "partial")  # type: ignore[misc]

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        partial = Path(self._get_output_dir(trial))
        if is_main():
            shutil.rmtree(partial, ignore_errors=True)
        wait_for_everyone()
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        wait_for_everyone()
        if is_main():
            self._place(partial)
        wait_for_everyone()

    def _place(self, partial: Path) -> None:
        """Give the finished resume point its name, and remove the one before."""
        (point,) = partial.glob("checkpoint-*")
        write_json(point / _STATE_FILE, self.stage_state() if self.stage_state is not None else {})
        target = partial.parent / point.name
        place_folder(point, target)
        for other in partial.parent.glob("checkpoint-*"):
            if other != target:
                shutil.rmtree(other)
        shutil.rmtree(partial)

    def _clip_grad_norm(self, model: Any) -> Any:
        grad_norm = super()._clip_grad_norm(model)  # type: ignore[misc]
        self.last_grad_norm = float(getattr(grad_norm, "full_tensor", lambda: grad_norm)())
        return grad_norm

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no model card: resume points are not for publishing."""
