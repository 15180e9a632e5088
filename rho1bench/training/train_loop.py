"""What every training stage does around its trainer: preparation, arguments, resuming, leaving the finished stage."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from rho1bench.errors import Stopped
from rho1bench.modeling.build import check_packages, prepare_loggers
from rho1bench.modeling.distributed import is_main, num_processes
from rho1bench.modeling.weights import save_model
from rho1bench.pipeline import stopping
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import TrainStage
from rho1bench.system.files import write_json
from rho1bench.training.callbacks import StageCallback, cut_rows
from rho1bench.training.save_on_stop import SaveOnStop
from rho1bench.training.trainer_args import quiet_libraries, training_arguments
from rho1bench.training.trainers.resume_points import check_resume_point, latest_resume_point, read_stage_state
from rho1bench.training.tuned_rate import learning_rate

if TYPE_CHECKING:
    from transformers import TrainingArguments

_DEFAULT_THREADS = torch.get_num_threads()
A = TypeVar("A", bound="TrainingArguments")


def prepare_torch(context: StageContext) -> None:
    """Check the packages, set the threads and quiet the libraries; raises MissingPackageError."""
    stage = context.config(TrainStage)
    check_packages(stage)
    prepare_loggers(stage, context.folder)
    quiet_libraries()
    torch.set_num_threads(context.options.num_threads or stage.num_threads or _DEFAULT_THREADS)


def is_finished(folder: Path) -> bool:
    """Tell whether an attempt that was killed after its last step has left everything in place."""
    finished = (folder / "training.json").is_file() and (folder / "checkpoint" / "config.json").is_file()
    if finished and is_main():
        shutil.rmtree(folder / "trainer", ignore_errors=True)
    return finished


def make_arguments(kind: type[A], context: StageContext, **more: Any) -> A:
    """Return a trainer's arguments of class ``kind`` for the stage, ``more`` fields of ``kind`` included.

    Starts the group of ranks in a distributed stage. Raises TrainingError for a batch that does not divide into
    micro-batches.
    """
    stage = context.config(TrainStage)
    fields = training_arguments(stage, context.folder / "trainer", context.seed, num_processes())
    return kind(**fields | {"learning_rate": learning_rate(context)}, **more)


def train_and_save(context: StageContext, callback: StageCallback, tokenizer_folder: Path) -> None:
    """Train from the newest resume point, or from the start, and leave the finished stage.

    Raises Stopped, with a resume point left behind, where the run was asked to stop.
    """
    folder, trainer = context.folder, callback.trainer
    point = latest_resume_point(folder / "trainer")
    step = None
    if point is not None:
        if is_main():
            check_resume_point(point)
        state = read_stage_state(point)
        step = int(state["step"])
        callback.restore(state)
    for name in ("metrics.jsonl", "selected_tokens.jsonl"):
        if is_main():
            cut_rows(folder / name, step)
    trainer.stage_state = lambda: {"step": trainer.state.global_step, **callback.state()}
    trainer.add_callback(callback)
    stop = SaveOnStop()
    trainer.add_callback(stop)
    with stopping.saving_first():
        try:
            trainer.train(resume_from_checkpoint=None if point is None else str(point))
        finally:
            trainer.finish_saving()
    if stop.has_stopped:
        raise Stopped
    stage = context.config(TrainStage)
    save_model(trainer.lm, tokenizer_folder, folder / "checkpoint", stage.checkpoint_dtype)
    if is_main():
        _finish(folder, stage, callback)


def _finish(folder: Path, stage: TrainStage, callback: StageCallback) -> None:
    selection = stage.selection
    write_json(
        folder / "training.json",
        {
            "num_parameters": callback.num_parameters,
            "tokens": callback.loss_sums.tokens,
            "selected_tokens": callback.loss_sums.selected_num,
            "max_steps": stage.max_steps,
            "learning_rate": callback.trainer.args.learning_rate,
            "init": stage.init if isinstance(stage.init, str) else stage.init.model_dump(),
            "select_ratio": selection.fixed_ratio if selection is not None else 1.0,
            "cost": callback.cost().model_dump(),
            "seconds": callback.seconds_of_parts(),
            "skipped_steps": callback.loss_sums.skipped_steps,
            **callback.facts,
        },
    )
    shutil.rmtree(folder / "trainer", ignore_errors=True)
