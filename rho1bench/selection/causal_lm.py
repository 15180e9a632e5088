"""What selection needs to know of a Hugging Face causal language model: its backbone and its output embedding.

Loading, naming by hash and the checks that the selective loss relies on; used by scoring and training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rho1bench.errors import CheckpointError
from rho1bench.files import sha256_file, sha256_json


def backbone(model: Any) -> nn.Module:
    """Return the part of the model that gives hidden states."""
    part: nn.Module = model.base_model
    return part


def output_weight(model: Any) -> Tensor:
    """Return the output embedding, shape (V, D); raises CheckpointError for a head that is more than one matrix."""
    head = model.get_output_embeddings()
    softcap = getattr(model.config, "final_logit_softcapping", None)
    if getattr(head, "bias", None) is not None or softcap is not None:
        raise CheckpointError(
            f"{type(model).__name__}: its head has a bias or soft-capped logits; the selective loss does not cover it."
        )
    weight: Tensor = head.weight
    return weight


def quiet_transformers() -> None:
    """Turn off the library's progress bars and warnings; ours show the life of a run."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def load_model(folder: Path, dtype: str = "float32") -> Any:
    """Load a checkpoint with weights of ``dtype``; raises CheckpointError if it is none."""
    from transformers import AutoModelForCausalLM

    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder}: holds no model checkpoint (config.json is missing).")
    quiet_transformers()
    try:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{folder}: the checkpoint cannot be loaded: {error}") from error


def weights_sha256(folder: Path) -> str:
    """Return the hash that names a checkpoint's weights: of model.safetensors, or of its shards' hashes."""
    single = folder / "model.safetensors"
    if single.is_file():
        return sha256_file(single)
    shards = sorted(folder.glob("model-*.safetensors"))
    if not shards:
        raise CheckpointError(f"{folder}: holds no model weights (model.safetensors is missing).")
    return sha256_json([sha256_file(path) for path in shards])
