"""Models of the training stages: fresh ones, ones from an earlier stage or from elsewhere, and saving them whole.

And the settings of a stage that need an optional package or change how the model runs, not what it learns.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from rho1bench.corpus.tokenizer import load_raw_tokenizer, special_tokens, tokenizer_sha256, vocabulary_size
from rho1bench.errors import CheckpointError, MissingPackageError
from rho1bench.modeling.causal_lm import load_model, quiet_transformers
from rho1bench.modeling.distributed import is_main, wait_for_everyone
from rho1bench.pipeline.stage import StageContext, derive_seed
from rho1bench.recipe import ModelConfig, PretrainedModel, TrainStage
from rho1bench.system.hub import find_model


def initial_model(context: StageContext, stage: TrainStage, tokenizer_folder: Path, length: int) -> Any:
    """Return the model that a stage starts from, in float32, with the stage's attention.

    ``length`` is the longest sequence it must read. Raises CheckpointError if the weights cannot be loaded, or have
    another tokenizer or too short a context.
    """
    if isinstance(stage.init, ModelConfig):
        model = fresh_model(stage.init, tokenizer_folder, context.seed)
        origin = "the model of the recipe"
    elif isinstance(stage.init, PretrainedModel):
        model = pretrained_model(stage.init, tokenizer_folder, stage.trust_remote_code)
        origin = stage.init.pretrained
    else:
        model, origin = stage_model(context, stage.init, tokenizer_folder), stage.init
    longest = getattr(model.config, "max_position_embeddings", length)
    if longest < length:
        raise CheckpointError(
            f"{origin}: reads at most {longest} tokens (max_position_embeddings), but training sequences have {length}."
        )
    _set_attention(model, stage, origin)
    apply_settings(model, stage)
    return model


def stage_model(context: StageContext, name: str, tokenizer_folder: Path) -> Any:
    """Load the model of an earlier stage; raises CheckpointError if it has another tokenizer."""
    checkpoint = context.input(name) / "checkpoint"
    _check_tokenizer(checkpoint, tokenizer_folder)
    return load_model(checkpoint)


def pretrained_model(init: PretrainedModel, tokenizer_folder: Path, trust_remote_code: bool = False) -> Any:
    """Load a hub id or a folder in float32, from safetensors only; raises CheckpointError."""
    from transformers import AutoModelForCausalLM

    quiet_transformers()
    folder, _ = find_model(init.pretrained, init.revision)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype="float32", use_safetensors=True, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"{init.pretrained}: these weights cannot be loaded: {reason}\nExpected config.json and *.safetensors. "
            "Code that a checkpoint brings along runs only from a folder, and only with `trust_remote_code: true`."
        ) from error
    _check_vocabulary(model, init.pretrained, folder, tokenizer_folder)
    return model


def _set_attention(model: Any, stage: TrainStage, origin: str) -> None:
    if model.config._attn_implementation == stage.attention:
        return
    try:
        model.set_attn_implementation(stage.attention)
    except ImportError as error:
        raise MissingPackageError(
            "flash_attn", f"`attention: {stage.attention}`", "pip install flash-attn --no-build-isolation"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{origin}: cannot use `attention: {stage.attention}`: {error}") from error


def _check_vocabulary(model: Any, name: str, folder: Path, tokenizer_folder: Path) -> None:
    wanted = load_raw_tokenizer(tokenizer_folder)
    if model.config.vocab_size < vocabulary_size(tokenizer_folder):
        raise CheckpointError(
            f"{name}: has a vocabulary of {model.config.vocab_size}, but the tokenizer in {tokenizer_folder} needs "
            f"{vocabulary_size(tokenizer_folder)}. Use the model's own tokenizer (a tokenizer stage with `pretrained:`)."
        )
    if (folder / "tokenizer.json").is_file() and load_raw_tokenizer(folder).get_vocab() != wanted.get_vocab():
        raise CheckpointError(f"{name}: has another tokenizer than {tokenizer_folder}; use one tokenizer for both.")


def fresh_model(shape: ModelConfig, tokenizer_folder: Path, seed: int) -> Any:
    """Return a Llama or Mistral with random weights that depend on ``seed`` and ``shape`` only."""
    import transformers

    tokens = special_tokens(tokenizer_folder)
    special = {"bos_token_id": tokens.bos, "eos_token_id": tokens.eos, "pad_token_id": tokens.pad}
    settings = shape.model_dump(exclude={"rope_theta", "architecture"})
    settings["num_key_value_heads"] = shape.num_key_value_heads or shape.num_attention_heads
    name = {"llama": "Llama", "mistral": "Mistral"}[shape.architecture]
    if shape.architecture == "mistral":
        settings["sliding_window"] = None  # as Mistral-7B since v0.2, and no block is longer than the first one's
    config = getattr(transformers, f"{name}Config")(
        **settings,
        **special,
        vocab_size=vocabulary_size(tokenizer_folder),
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        attention_dropout=0.0,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "model"))
        model = getattr(transformers, f"{name}ForCausalLM")(config)
    model.generation_config = transformers.GenerationConfig(**special)
    return model


def _check_tokenizer(checkpoint: Path, tokenizer_folder: Path) -> None:
    if not (checkpoint / "tokenizer.json").is_file():
        raise CheckpointError(f"{checkpoint}: holds no finished checkpoint with its tokenizer.")
    if tokenizer_sha256(checkpoint) != tokenizer_sha256(tokenizer_folder):
        raise CheckpointError(
            f"{checkpoint}: was trained with another tokenizer than {tokenizer_folder}; use one tokenizer for both."
        )


def save_model(model: Any, tokenizer_folder: Path, target: Path) -> None:
    """Write a checkpoint with its tokenizer to ``target``, which appears whole or not at all.

    Every rank calls this, as sharded weights are gathered; rank 0 writes.
    """
    weights = _whole_weights(model)
    if is_main():
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        model.config.use_cache = True
        model.save_pretrained(partial, state_dict=weights)
        for path in sorted(tokenizer_folder.iterdir()):
            shutil.copyfile(path, partial / path.name)
        place_folder(partial, target)
    wait_for_everyone()


def _whole_weights(model: Any) -> dict[str, torch.Tensor] | None:
    """Return the weights of a model that FSDP2 has sharded, on rank 0; None for one that is whole."""
    from torch.distributed.tensor import DTensor

    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return None
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    found = get_model_state_dict(model, options=options)
    weights = {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}
    if model.config.tie_word_embeddings and "lm_head.weight" in weights:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    return weights


def place_folder(partial: Path, target: Path) -> None:
    """Move a finished folder to its place, replacing what is there, after its files have reached the disk."""
    for path in partial.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
    if target.exists():
        shutil.rmtree(target)
    os.replace(partial, target)


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
