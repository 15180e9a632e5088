"""Weights on their way to disk: finished checkpoints, which appear whole or not at all.

A checkpoint has the names that its architecture publishes (``save_pretrained``), which for some (GPT-NeoX, mixtures of
experts) are not those in memory.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from rho1bench.modeling.distributed import is_main, wait_for_everyone
from rho1bench.system.files import read_json, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def save_model(
    model: PreTrainedModel, tokenizer_folder: Path, target: Path, dtype: Literal["float32", "bfloat16"] = "float32"
) -> None:
    """Write a checkpoint with its tokenizer to ``target``, which appears whole or not at all.

    Weights that are on a CPU in ``dtype`` are written from where they are, others from the one copy of them that is
    made there. Every rank calls this, as sharded weights are gathered; rank 0 writes.
    """
    weights = _gathered_weights(model)
    if is_main():
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        model.config.use_cache = True
        if dtype == "bfloat16":
            weights = _rounded(weights or model.state_dict(), torch.bfloat16)
        model.save_pretrained(partial, state_dict=weights)
        if dtype == "bfloat16":  # transformers writes the model's own
            config = partial / "config.json"
            write_json(config, read_json(config) | {"dtype": dtype})
        for path in sorted(tokenizer_folder.iterdir()):
            shutil.copyfile(path, partial / path.name)
        place_folder(partial, target)
    wait_for_everyone()


def _rounded(weights: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return the weights on the CPU in ``dtype``, one after the other; tied ones stay one tensor."""
    made: dict[tuple[int, torch.Size], torch.Tensor] = {}
    found = {}
    for name, weight in weights.items():
        place = (weight.data_ptr(), weight.shape)
        if place not in made:
            made[place] = weight.to(dtype if weight.is_floating_point() else weight.dtype).cpu()
        found[name] = made[place]
    return found


def _gathered_weights(model: PreTrainedModel) -> dict[str, torch.Tensor] | None:
    """Return the weights of a model that FSDP2 has sharded, on rank 0; None for one that is whole."""
    from torch.distributed.tensor import DTensor

    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return None
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    gathered = get_model_state_dict(model, options=options)
    weights = {name: value for name, value in gathered.items() if isinstance(value, torch.Tensor)}
    # Gathering copies, so that tied weights are no longer one tensor, and would be written twice.
    for names in _tied_names(model):
        for name in names[1:]:
            if name in weights:
                weights[name] = weights[names[0]]
    return weights


def _tied_names(model: PreTrainedModel) -> list[list[str]]:
    """Return the names of each parameter that has several."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [several for several in names.values() if len(several) > 1]


def place_folder(partial: Path, target: Path) -> None:
    """Move a finished folder to its place, replacing what is there, after its files have reached the disk."""
    for path in partial.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        shutil.rmtree(target)
    os.replace(partial, target)
