"""Runs stages for the kill test: ``kill_run.py OUT STAGE KILL_AT`` dies by SIGKILL before step KILL_AT (0: never)."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import world


def kill_at(step: int, when: str) -> None:
    from rho1bench.training.callbacks import StageCallback
    from rho1bench.training.trainers import resumable

    def before_step(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def while_saving(partial: Path, target: Path) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if when == "step":
        StageCallback.on_step_begin = before_step  # type: ignore[method-assign]
    else:
        resumable.place_folder = while_saving


def main(out: Path, stage: str, step: int, when: str) -> None:
    if step:
        kill_at(step, when)
    world.run_stages(world.compared(), out, only=[stage])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
