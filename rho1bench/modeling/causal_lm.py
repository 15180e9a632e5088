"""What selection needs to know of a Hugging Face causal language model: its backbone and its output head.

Loading, naming by hash and the checks that the selective loss relies on; used by scoring and training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rho1bench.errors import CheckpointError
from rho1bench.modeling.chunked_logits import ChunkedLogits, OutputHead
from rho1bench.system.files import sha256_file, sha256_json


def backbone(model: Any) -> nn.Module:
    """Return the part of the model that gives hidden states."""
    part: nn.Module = model.base_model
    return part


def output_head(model: Any) -> OutputHead:
    """Return what makes logits of hidden states; raises CheckpointError for a model without an output embedding.

    A forward pass of the model must be under way where its parameters are sharded (FSDP), so that they are whole.
    """
    embedding = model.get_output_embeddings()
    if not isinstance(getattr(embedding, "weight", None), Tensor):
        raise CheckpointError(f"{type(model).__name__}: has no output embedding; expected a causal language model.")
    config = model.config.get_text_config()
    softcap = getattr(config, "final_logit_softcapping", None)
    return OutputHead(embedding.weight, getattr(embedding, "bias", None), _scale(model, config), softcap)


def _scale(model: Any, config: Any) -> float:
    """Return what the model multiplies its logits by."""
    for name in ("logit_scale", "lm_head_multiplier"):  # Cohere; Falcon-H1
        if isinstance(value := getattr(config, name, None), int | float):
            return float(value)
    scaling = getattr(config, "logits_scaling", None)
    if isinstance(scaling, int | float):  # Granite divides by it, HyperCLOVA X multiplies.
        return float(scaling) if "hyperclovax" in model.config.model_type else 1.0 / float(scaling)
    return 1.0


def check_head(model: Any) -> None:
    """Compare the model's own logits of two tokens with those of :func:`output_head`.

    Raises CheckpointError where they differ: the model does something to its logits that the selective loss does not.
    """
    head = output_head(model)
    if head.weight_VD.is_meta:
        return
    was_training = model.training
    tokens_BT = torch.arange(2, device=head.weight_VD.device).unsqueeze(0) % len(head.weight_VD)
    try:
        with torch.no_grad():
            model.eval()
            theirs_CV = model(input_ids=tokens_BT, use_cache=False).logits[0].float()
            hidden_CD = backbone(model)(input_ids=tokens_BT, use_cache=False).last_hidden_state[0]
            ours_CV = ChunkedLogits(hidden_CD, head, rows=2).make(slice(0, 2))
    finally:
        model.train(was_training)
    tolerance = (1e-3 if hidden_CD.dtype == torch.float32 else 3e-2) * max(1e-4, float(theirs_CV.abs().max()))
    if theirs_CV.shape != ours_CV.shape or not torch.allclose(ours_CV, theirs_CV, rtol=0.0, atol=tolerance):
        raise CheckpointError(
            f"{type(model).__name__}: its logits are not those of its output embedding with bias, scale and soft cap, "
            "so the selective loss would be wrong. Train another architecture, or teach "
            "rho1bench.modeling.causal_lm.output_head this one."
        )


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
