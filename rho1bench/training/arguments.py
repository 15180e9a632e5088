"""Translates a training stage of a recipe into Hugging Face training arguments, and keeps the libraries quiet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rho1bench.errors import TrainingError
from rho1bench.recipe import Optimizer, TrainStage
from rho1bench.selection.causal_lm import quiet_transformers
from rho1bench.training.seeding import derive_seed

_SCHEDULES = {
    "constant": "constant_with_warmup",
    "cosine": "cosine",
    "linear": "linear",
    "wsd": "warmup_stable_decay",
}


def quiet_libraries() -> None:
    """Turn off the progress bars and warnings of transformers and datasets; ours show the life of a run."""
    import datasets

    quiet_transformers()
    datasets.disable_progress_bars()


def training_arguments(stage: TrainStage, output: Path, seed: int, num_processes: int = 1) -> dict[str, Any]:
    """Return keyword arguments for ``TrainingArguments`` or ``SFTConfig``; raises TrainingError for a batch that does
    not divide into micro-batches.
    """
    import torch

    micro_batch_size = stage.micro_batch_size or max(stage.batch_size // num_processes, 1)
    accumulation, rest = divmod(stage.batch_size, micro_batch_size * num_processes)
    if rest or accumulation == 0:
        raise TrainingError(
            f"stage {stage.name!r}: batch_size {stage.batch_size} is no multiple of {num_processes} process(es) x "
            f"micro_batch_size {micro_batch_size}. Change one of them."
        )
    return {
        "output_dir": str(output),
        "max_steps": stage.max_steps,
        "per_device_train_batch_size": micro_batch_size,
        "gradient_accumulation_steps": accumulation,
        "seed": derive_seed(seed, "trainer"),
        "train_sampling_strategy": "sequential",
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "use_cpu": not torch.cuda.is_available(),
        "remove_unused_columns": False,
        "report_to": "none",
        "disable_tqdm": True,
        "log_level": "error",
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,
        "eval_strategy": "no",
        "save_strategy": "steps",
        "save_steps": stage.save_steps,
        **optimizer_arguments(stage.optimizer, stage.max_steps),
    }


def optimizer_arguments(optimizer: Optimizer, max_steps: int) -> dict[str, Any]:
    """Return the arguments of AdamW and of the schedule."""
    arguments: dict[str, Any] = {
        "optim": "adamw_torch",
        "learning_rate": optimizer.learning_rate,
        "weight_decay": optimizer.weight_decay,
        "adam_beta1": optimizer.beta1,
        "adam_beta2": optimizer.beta2,
        "max_grad_norm": optimizer.max_grad_norm,
        "lr_scheduler_type": _SCHEDULES[optimizer.schedule],
        "warmup_steps": optimizer.warmup_steps,
    }
    if optimizer.schedule == "wsd":
        arguments["lr_scheduler_kwargs"] = {"num_decay_steps": max(round(max_steps * optimizer.decay_fraction), 1)}
    return arguments
