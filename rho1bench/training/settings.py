"""Settings of a training stage that need an optional package or change how the model runs, not what it learns."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from rho1bench.errors import MissingPackageError
from rho1bench.recipe import TrainStage

_USERS_ENVIRONMENT = frozenset(os.environ)
_LOGGER_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "trackio": ("trackio",), "wandb": ("wandb",)}


def check_packages(stage: TrainStage) -> None:
    """Raise MissingPackageError, with the install line, for what the stage asks for and is not here."""
    for logger in stage.loggers:
        if not any(importlib.util.find_spec(package) for package in _LOGGER_PACKAGES[logger]):
            install = "pip install 'rho1bench[tensorboard]'" if logger == "tensorboard" else f"pip install {logger}"
            raise MissingPackageError(logger, f"stage {stage.name!r}, `loggers: [{logger}]`,", install)
    if stage.distributed is not None and stage.distributed.strategy == "deepspeed":
        _need(stage, "deepspeed", "`distributed.strategy: deepspeed`", "pip install deepspeed")
    if stage.attention == "flash_attention_2":
        install = "pip install flash-attn --no-build-isolation"
        _need(stage, "flash_attn", "`attention: flash_attention_2`", install)


def _need(stage: TrainStage, package: str, setting: str, install: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise MissingPackageError(package, f"stage {stage.name!r}, {setting},", install)


def prepare_loggers(stage: TrainStage, folder: Path) -> None:
    """Tell the loggers where this stage's logs go; what the user's environment says stays."""
    places = {}
    if "tensorboard" in stage.loggers:
        places["TENSORBOARD_LOGGING_DIR"] = str(folder / "tensorboard")
    if "wandb" in stage.loggers:
        places |= {"WANDB_PROJECT": "rho1bench", "WANDB_DIR": str(folder)}
    os.environ.update({name: place for name, place in places.items() if name not in _USERS_ENVIRONMENT})


def apply_settings(lm: Any, stage: TrainStage) -> None:
    """Turn on gradient checkpointing and compilation in place, so that the weights keep their names."""
    if stage.gradient_checkpointing:
        lm.gradient_checkpointing_enable({"use_reentrant": False})
    if stage.compile:
        for layer in layers(lm):
            layer.compile()


def layers(lm: Any) -> list[Any]:
    """Return the transformer layers of a model: the parts that are compiled and sharded one by one."""
    names = layer_classes(lm)
    return [module for module in lm.modules() if type(module).__name__ in names] or [lm.base_model]


def layer_classes(lm: Any) -> list[str]:
    """Return the class names of the transformer layers."""
    return sorted(getattr(lm, "_no_split_modules", None) or [])
