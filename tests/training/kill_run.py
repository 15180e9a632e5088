"""A stage that dies by SIGKILL where it is told to."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import world


def run(out: str, stage: str, step: int, when: str) -> None:
    """Run a stage of the tiny run; it dies before a step (``when`` is ``step``), or while it writes a resume point."""
    from rho1bench.training.callbacks import StageCallback
    from rho1bench.training.trainers import resume_points

    def before_step(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == step:
            self.trainer.finish_saving()
            os.kill(os.getpid(), signal.SIGKILL)

    def while_saving(partial: Path, target: Path) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if when == "step":
        StageCallback.on_step_begin = before_step  # type: ignore[method-assign]
    else:
        resume_points.place_folder = while_saving
    world.run_stages(world.compared(), Path(out), only=[stage])
