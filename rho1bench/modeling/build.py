"""Models of the training stages: fresh ones, ones from an earlier stage or from elsewhere (paper section 3.1).

And the settings of a stage that need an optional package or change how the model runs, not what it learns.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from rho1bench.corpus import tokenizer as tokenizers
from rho1bench.corpus.tokenizer import load_raw_tokenizer, tokenizer_sha256
from rho1bench.errors import CheckpointError, MissingPackageError
from rho1bench.modeling.causal_lm import context_length, load_model, vocabulary_size
from rho1bench.modeling.compile_cache import keep_compiled
from rho1bench.modeling.distributed import local_rank, num_processes
from rho1bench.modeling.float8 import use_float8
from rho1bench.modeling.fresh_weights import fresh_model
from rho1bench.modeling.library_internals import attention_implementation, layer_classes
from rho1bench.modeling.sliding_window import drop_covering_window
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import ModelConfig, PretrainedModel, TrainStage
from rho1bench.system.hub import find_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def initial_model(context: StageContext, stage: TrainStage, tokenizer_folder: Path, length: int) -> PreTrainedModel:
    """Return the model that a stage starts from, in float32, with the stage's attention.

    ``length`` is the longest sequence it must read. Raises CheckpointError if the weights cannot be loaded whole, or
    have another tokenizer or too short a context.
    """
    if isinstance(stage.init, ModelConfig):
        model = fresh_model(stage.init, tokenizer_folder, context.seed, _first_device(stage))
        origin = "the model of the recipe"
    elif isinstance(stage.init, PretrainedModel):
        model = pretrained_model(stage.init, tokenizer_folder, stage.trust_remote_code)
        origin = stage.init.pretrained
    else:
        model, origin = stage_model(context, stage.init, tokenizer_folder), stage.init
    longest = context_length(model)
    if longest is not None and longest < length:
        raise CheckpointError(f"{origin}: reads at most {longest} tokens, but training sequences have {length}.")
    _set_attention(model, stage, origin)
    drop_covering_window(model, length)
    apply_settings(model, stage)
    return model


def _first_device(stage: TrainStage) -> torch.device:
    """Return where a large fresh model is made: where it will train, or on the CPU if a strategy divides it first."""
    is_divided = stage.distributed is not None and stage.distributed.strategy != "ddp" and num_processes() > 1
    on_gpu = torch.cuda.is_available() and not is_divided
    return torch.device("cuda", local_rank()) if on_gpu else torch.device("cpu")


def stage_model(context: StageContext, name: str, tokenizer_folder: Path) -> PreTrainedModel:
    """Load the model of an earlier stage; raises CheckpointError if it has another tokenizer."""
    checkpoint = context.input(name) / "checkpoint"
    if not (checkpoint / "tokenizer.json").is_file():
        raise CheckpointError(f"{checkpoint}: holds no finished checkpoint with its tokenizer.")
    if tokenizer_sha256(checkpoint) != tokenizer_sha256(tokenizer_folder):
        raise CheckpointError(
            f"{checkpoint}: was trained with another tokenizer than {tokenizer_folder}; use one tokenizer for both."
        )
    return load_model(checkpoint)


def pretrained_model(init: PretrainedModel, tokenizer_folder: Path, trust_remote_code: bool = False) -> PreTrainedModel:
    """Load a hub id or a folder in float32, from safetensors only.

    Raises CheckpointError if the weights cannot be loaded whole, or nothing beside them says that their tokens are
    those of ``tokenizer_folder``.
    """
    folder, _ = find_model(init.pretrained, init.revision)
    model = load_model(folder, name=init.pretrained, trust_remote_code=trust_remote_code)
    check_tokenizer(
        folder,
        tokenizer_sha256(tokenizer_folder),
        tokenizer_folder,
        f"the stage, in {tokenizer_folder}",
        "Use the model's own tokenizer (a tokenizer stage with `pretrained:`).",
        init.pretrained,
    )
    wanted = tokenizers.vocabulary_size(tokenizer_folder)
    if vocabulary_size(model) < wanted:
        raise CheckpointError(
            f"{init.pretrained}: has a vocabulary of {vocabulary_size(model)}, but the tokenizer in "
            f"{tokenizer_folder} has {wanted} tokens. Use the model's own tokenizer (a tokenizer stage with "
            "`pretrained:`)."
        )
    return model


def check_tokenizer(
    folder: Path, wanted_sha256: str, wanted: Path | None, purpose: str, advice: str, name: str | None = None
) -> None:
    """Raise CheckpointError unless the weights in ``folder`` come with the tokenizer whose hash is ``wanted_sha256``.

    Args:
        folder: the weights, and their tokenizer beside them.
        wanted_sha256: hash of the wanted ``tokenizer.json``.
        wanted: folder of the wanted tokenizer, if known: then a file that differs in form alone passes.
        purpose: what has the wanted tokenizer, in a message.
        advice: what to do about another one.
        name: what a message calls the weights; default: their folder.
    """
    name = name or str(folder)
    if not (folder / "tokenizer.json").is_file():
        raise CheckpointError(
            f"{name}: has no tokenizer.json, so nothing tells whether its tokens are those of {purpose}. Put the "
            "model's tokenizer files beside its weights."
        )
    found_sha256 = tokenizer_sha256(folder)
    if found_sha256 == wanted_sha256:
        return
    if wanted is not None and tokenizer_sha256(wanted) == wanted_sha256:
        found, expected = (load_raw_tokenizer(place).get_vocab() for place in (folder, wanted))
        if found == expected:
            return
    raise CheckpointError(
        f"{name}: has another tokenizer (tokenizer_sha256 {found_sha256}) than {purpose} ({wanted_sha256}). {advice}"
    )


def _set_attention(model: PreTrainedModel, stage: TrainStage, origin: str) -> None:
    if attention_implementation(model) == stage.attention:
        return
    try:
        model.set_attn_implementation(stage.attention)
    except ImportError as error:
        raise MissingPackageError(
            "flash_attn", f"`attention: {stage.attention}`", "pip install flash-attn --no-build-isolation"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{origin}: cannot use `attention: {stage.attention}`: {error}") from error


_USERS_ENVIRONMENT = frozenset(os.environ)
_LOGGER_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "trackio": ("trackio",), "wandb": ("wandb",)}


def check_packages(stage: TrainStage) -> None:
    """Raise MissingPackageError, with the install line, for what the stage asks for and is not here."""
    for logger in stage.loggers:
        if not any(importlib.util.find_spec(package) for package in _LOGGER_PACKAGES[logger]):
            install = "pip install 'rho1bench[tensorboard]'" if logger == "tensorboard" else f"pip install {logger}"
            raise MissingPackageError(logger, f"stage {stage.name!r}, `loggers: [{logger}]`,", install)
    if stage.distributed is not None and stage.distributed.strategy == "deepspeed" and num_processes() > 1:
        _need(stage, "deepspeed", "`distributed.strategy: deepspeed`", "pip install deepspeed")
    if stage.attention == "flash_attention_2":
        install = "pip install flash-attn --no-build-isolation"
        _need(stage, "flash_attn", "`attention: flash_attention_2`", install)
    if stage.float8 is not None:
        _need(stage, "torchao", f"`float8: {stage.float8}`", "pip install 'rho1bench[float8]'")


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


def apply_settings(lm: PreTrainedModel, stage: TrainStage) -> None:
    """Turn on float8, gradient checkpointing and compilation in place, so that the weights keep their names.

    Raises CheckpointError for a model that has nothing to multiply in float8.
    """
    if stage.float8 is not None:
        use_float8(layers(lm), stage.float8, stage.name)
    if stage.gradient_checkpointing:
        lm.gradient_checkpointing_enable({"use_reentrant": False})
    if stage.compile:
        keep_compiled()
        for layer in layers(lm):
            layer.compile()


def layers(lm: PreTrainedModel) -> list[nn.Module]:
    """Return the transformer layers of a model: the parts that are compiled and sharded one by one."""
    names = layer_classes(lm)
    return [module for module in lm.modules() if type(module).__name__ in names] or [lm.base_model]
