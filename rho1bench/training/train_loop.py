"""What every training stage does around its trainer: preparation, resuming, and leaving the finished stage."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from rho1bench.modeling.build import check_packages, prepare_loggers, save_model
from rho1bench.modeling.distributed import is_main
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import TrainStage
from rho1bench.system.files import write_json
from rho1bench.training.callbacks import StageCallback, cut_rows
from rho1bench.training.trainer_args import quiet_libraries
from rho1bench.training.trainers.resumable import latest_resume_point, read_stage_state

_DEFAULT_THREADS = torch.get_num_threads()


def prepare_torch(context: StageContext) -> None:
    """Check the packages, set the threads and quiet the libraries; raises MissingPackageError."""
    check_packages(context.config(TrainStage))
    prepare_loggers(context.config(TrainStage), context.folder)
    quiet_libraries()
    threads = context.options.num_threads or getattr(context.stage, "num_threads", None) or _DEFAULT_THREADS
    torch.set_num_threads(threads)


def is_finished(folder: Path) -> bool:
    """Tell whether an attempt that was killed after its last step has left everything in place."""
    finished = (folder / "training.json").is_file() and (folder / "checkpoint" / "config.json").is_file()
    if finished and is_main():
        shutil.rmtree(folder / "trainer", ignore_errors=True)
    return finished


def train_and_save(
    folder: Path, stage: TrainStage, trainer: Any, callback: StageCallback, lm: Any, tokenizer_folder: Path
) -> None:
    """Train from the newest resume point, or from the start, and leave the finished stage."""
    point = latest_resume_point(folder / "trainer")
    step = None
    if point is not None:
        state = read_stage_state(point)
        step = int(state["step"])
        callback.restore(state)
    for name in ("metrics.jsonl", "selected_tokens.jsonl"):
        if is_main():
            cut_rows(folder / name, step)
    trainer.stage_state = lambda: {"step": trainer.state.global_step, **callback.state()}
    trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=None if point is None else str(point))
    save_model(lm, tokenizer_folder, folder / "checkpoint")
    if is_main():
        _finish(folder, stage, callback, lm)


def _finish(folder: Path, stage: TrainStage, callback: StageCallback, lm: Any) -> None:
    selection = getattr(stage, "selection", None)
    write_json(
        folder / "training.json",
        {
            "num_parameters": sum(parameter.numel() for parameter in lm.parameters()),
            "tokens": callback.totals.tokens,
            "selected_tokens": callback.totals.selected_num,
            "max_steps": stage.max_steps,
            "init": stage.init if isinstance(stage.init, str) else stage.init.model_dump(),
            "select_ratio": selection.ratio if selection is not None else 1.0,
            "seconds": round(callback.seconds(), 3),
        },
    )
    shutil.rmtree(folder / "trainer", ignore_errors=True)
