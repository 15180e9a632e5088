"""Translates a training stage of a recipe into Hugging Face training arguments, and keeps the libraries quiet."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from rho1bench.errors import TrainingError
from rho1bench.modeling.causal_lm import quiet_transformers
from rho1bench.pipeline.stage import derive_seed
from rho1bench.recipe import Optimizer, TrainStage

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
    # Of every resume point of a single process.
    warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")


def training_arguments(stage: TrainStage, output: Path, seed: int, num_processes: int = 1) -> dict[str, Any]:
    """Return keyword arguments for ``TrainingArguments`` or ``SFTConfig``.

    Raises TrainingError for a batch that does not divide into micro-batches.
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
        "dataloader_num_workers": _loader_workers(stage),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "accelerator_config": {"non_blocking": torch.cuda.is_available()},  # batches go to the device without a wait
        "use_cpu": not torch.cuda.is_available(),
        "remove_unused_columns": False,
        "report_to": stage.loggers or "none",
        "run_name": stage.name,
        "project": "rho1bench",
        "bf16": stage.precision == "bf16",
        "disable_tqdm": True,
        "log_level": "error",
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,
        "eval_strategy": "no",
        "save_strategy": "no",  # callbacks.StageCallback says when
        **optimizer_arguments(stage.optimizer, stage.max_steps),
        **({"optim": "adamw_torch_fused"} if stage.fused else {}),
        **(distributed_arguments(stage) if num_processes > 1 else {}),
    }


def _loader_workers(stage: TrainStage) -> int:
    import torch

    if stage.loader_workers is not None:
        return stage.loader_workers
    return 2 if torch.cuda.is_available() else 0


def distributed_arguments(stage: TrainStage) -> dict[str, Any]:
    """Return the arguments of ``distributed:``; none without it. FSDP2 is ours (``modeling.sharding``)."""
    import torch

    if stage.distributed is None:
        return {}
    arguments: dict[str, Any] = {"ddp_backend": "nccl" if torch.cuda.is_available() else "gloo"}
    if stage.distributed.strategy == "ddp":
        arguments["ddp_find_unused_parameters"] = False
    elif stage.distributed.strategy == "deepspeed":
        arguments["deepspeed"] = deepspeed_settings(stage)
    return arguments


def deepspeed_settings(stage: TrainStage) -> dict[str, Any]:
    """Return DeepSpeed's configuration: ZeRO stage 2, whose weights stay whole for the selective loss's head."""
    return {
        "zero_optimization": {"stage": 2, "overlap_comm": True, "contiguous_gradients": True},
        "bf16": {"enabled": stage.precision == "bf16"},
        "gradient_clipping": stage.optimizer.max_grad_norm,
        "train_batch_size": stage.batch_size,
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
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
