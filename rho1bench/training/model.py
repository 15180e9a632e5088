"""Models of the training stages: fresh Llama-shaped ones, ones from an earlier stage, and saving them whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from rho1bench.corpus.tokenizer import BOS, EOS, PAD, load_raw_tokenizer, tokenizer_sha256
from rho1bench.errors import CheckpointError
from rho1bench.recipe import ModelConfig
from rho1bench.selection.causal_lm import load_model
from rho1bench.stage import StageContext
from rho1bench.training.seeding import derive_seed


def initial_model(context: StageContext, init: str | ModelConfig, tokenizer_folder: Path, length: int) -> Any:
    """Return the model that a stage starts from, in float32.

    ``length`` is the longest sequence it must read. Raises CheckpointError if an earlier stage's model has another
    tokenizer or too short a context.
    """
    if isinstance(init, ModelConfig):
        model = fresh_model(init, tokenizer_folder, context.seed)
        origin = "the model of the recipe"
    else:
        checkpoint = context.input(init) / "checkpoint"
        _check_tokenizer(checkpoint, tokenizer_folder)
        model = load_model(checkpoint)
        origin = str(checkpoint)
    if model.config.max_position_embeddings < length:
        raise CheckpointError(
            f"{origin}: reads at most {model.config.max_position_embeddings} tokens (max_position_embeddings), but "
            f"training sequences have {length}."
        )
    return model


def fresh_model(shape: ModelConfig, tokenizer_folder: Path, seed: int) -> Any:
    """Return a Llama with random weights that depend on ``seed`` and ``shape`` only."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = load_raw_tokenizer(tokenizer_folder)
    special = {
        "bos_token_id": tokenizer.token_to_id(BOS),
        "eos_token_id": tokenizer.token_to_id(EOS),
        "pad_token_id": tokenizer.token_to_id(PAD),
    }
    settings = shape.model_dump(exclude={"rope_theta"})
    settings["num_key_value_heads"] = shape.num_key_value_heads or shape.num_attention_heads
    config = LlamaConfig(
        **settings,
        **special,
        vocab_size=tokenizer.get_vocab_size(),
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        attention_dropout=0.0,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "model"))
        model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(**special)
    return model


def _check_tokenizer(checkpoint: Path, tokenizer_folder: Path) -> None:
    if not (checkpoint / "tokenizer.json").is_file():
        raise CheckpointError(f"{checkpoint}: holds no finished checkpoint with its tokenizer.")
    if tokenizer_sha256(checkpoint) != tokenizer_sha256(tokenizer_folder):
        raise CheckpointError(
            f"{checkpoint}: was trained with another tokenizer than {tokenizer_folder}; use one tokenizer for both."
        )


def save_model(model: Any, tokenizer_folder: Path, target: Path) -> None:
    """Write a checkpoint with its tokenizer to ``target``, which appears whole or not at all."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    model.config.use_cache = True
    model.save_pretrained(partial)
    for path in sorted(tokenizer_folder.iterdir()):
        shutil.copyfile(path, partial / path.name)
    place_folder(partial, target)


def place_folder(partial: Path, target: Path) -> None:
    """Move a finished folder to its place, replacing what is there, after its files have reached the disk."""
    for path in partial.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
    if target.exists():
        shutil.rmtree(target)
    os.replace(partial, target)
