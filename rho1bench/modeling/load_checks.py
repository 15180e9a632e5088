"""Whether what was loaded is the model that its folder describes: all of its weights, no others, and finite ones.

Used by :mod:`rho1bench.modeling.causal_lm`, the one door for weights from disk. What a library cannot place it leaves
random or leaves out, and says so in a report that nobody reads.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import torch

from rho1bench.errors import CheckpointError
from rho1bench.modeling.weight_files import check_stored, read_weights, weight_files
from rho1bench.system.files import read_object

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def check_files(folder: Path, name: str) -> None:
    """Raise CheckpointError unless there are a configuration and whole files of weights."""
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{name}: holds no model checkpoint (config.json is missing).")
    files = weight_files(folder)
    if "quantization_config" not in read_object(folder / "config.json", CheckpointError):
        for path in files:
            check_stored(path)


class LoadReport(TypedDict):
    """What transformers tells of loading weights."""

    missing_keys: set[str]
    """Weights of the model that the files do not hold."""
    unexpected_keys: set[str]
    """Weights in the files that the model has no place for."""
    mismatched_keys: set[tuple[str, tuple[int, ...], tuple[int, ...]]]
    """Name, shape in the files, shape in the model."""


def check_report(name: str, architecture: str, report: LoadReport) -> None:
    """Raise CheckpointError, with names, unless the files hold the model's weights, all of them and no others."""
    missing, unexpected = report["missing_keys"], report["unexpected_keys"]
    shapes = [f"{key} {list(found)} for {list(own)}" for key, found, own in report["mismatched_keys"]]
    faults = []
    if missing:
        faults.append(f"{len(missing)} of its weights are missing ({_some(missing)})")
    if unexpected:
        faults.append(f"{len(unexpected)} weights have no place in it ({_some(unexpected)})")
    if shapes:
        faults.append(f"{len(shapes)} weights have another shape ({_some(shapes)})")
    if not faults:
        return
    advice = "See that config.json is the one of these weights, or save the model again with model.save_pretrained."
    if prefix := _prefix(missing, unexpected):
        advice = f"The names begin with {prefix!r}: the weights were saved from inside a wrapper (torch.compile, DDP, "
        advice += "FSDP, PEFT). Save the model itself again (model.save_pretrained), or take that prefix off."
    raise CheckpointError(f"{name}: these weights are not those of a {architecture}: {'; '.join(faults)}. {advice}")


def check_tied(name: str, folder: Path, model: PreTrainedModel) -> None:
    """Raise CheckpointError where config.json says that the head is the embedding, and the files hold another head.

    Libraries differ in which of the two they take. Models without memory (meta) are judged by what the files hold.
    """
    head = getattr(model.get_output_embeddings(), "weight", None)
    embedding = getattr(model.get_input_embeddings(), "weight", None)
    if head is None or head is embedding or not getattr(model.config.get_text_config(), "tie_word_embeddings", False):
        return
    names = [key for key, weight in model.named_parameters() if weight is head or weight is embedding]
    stored = [weight for path in weight_files(folder) for weight in read_weights(path, names)]
    if head.is_meta and (len(stored) < 2 or torch.equal(*stored)):
        return
    raise CheckpointError(
        f"{name}: config.json says tie_word_embeddings: true, but the files hold an output head that is not the "
        "embedding. Set it to false if the head was trained by itself, or leave the head out of the files."
    )


def _prefix(missing: Collection[str], unexpected: Collection[str]) -> str:
    """Return what stands before missing names in all that have no place; empty if that is not it."""
    first = min(unexpected, default="")
    prefixes = sorted(first.removesuffix(name) for name in missing if first.endswith(f".{name}"))
    return next((prefix for prefix in prefixes if all(key.startswith(prefix) for key in unexpected)), "")


def _some(names: Collection[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


def check_values(name: str, model: PreTrainedModel) -> None:
    """Raise CheckpointError if a weight of the model holds NaN or infinity."""
    for key, weight in model.named_parameters():
        if not bool(weight.isfinite().all()):
            raise CheckpointError(
                f"{name}: the weight {key} holds NaN or infinity: the training that made it went wrong, or its numbers "
                f"are too large for {weight.dtype}. Take an earlier checkpoint, or another precision."
            )


def reason_of(error: Exception) -> str:
    """Return what a library says of weights that it cannot load, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    reason = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    plain = isinstance(error, OSError | ValueError | RuntimeError | ImportError)
    return reason if plain else f"{type(error).__name__}: {reason}"
