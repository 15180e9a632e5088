"""Shapes of models that recipes start from by hub id, so that a plan and the rules between stages need no network.

The numbers are those of each model's ``config.json`` on the hub; the tests hold their parameter counts against the
published ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ModelShape:
    """Shape of a Llama-like decoder: RMS norms, rotary positions, SwiGLU, grouped queries, no biases."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    max_position_embeddings: int
    tie_word_embeddings: bool = False
    architecture: str = "llama"

    @property
    def key_value_size(self) -> int:
        """Width of all keys of a token."""
        return self.hidden_size // self.num_attention_heads * self.num_key_value_heads

    @property
    def layer_parameters(self) -> int:
        """Number of weights of one layer: four projections of attention, three of the MLP, two norms."""
        attention = 2 * self.hidden_size * (self.hidden_size + self.key_value_size)
        return attention + 3 * self.hidden_size * self.intermediate_size + 2 * self.hidden_size

    @property
    def num_parameters(self) -> int:
        """Number of weights; tied embeddings count once."""
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return embeddings + self.body_parameters

    @property
    def body_parameters(self) -> int:
        """Number of weights without embedding and head: the layers and the last norm."""
        return self.num_hidden_layers * self.layer_parameters + self.hidden_size

    @property
    def matrix_parameters(self) -> int:
        """Number of weights of the layers' matrices, which every token is multiplied with."""
        return self.num_hidden_layers * (self.layer_parameters - 2 * self.hidden_size)

    @property
    def head_parameters(self) -> int:
        """Number of weights of the output head."""
        return self.vocab_size * self.hidden_size

    @property
    def attention_width(self) -> int:
        """Width of all heads of all layers."""
        return self.num_hidden_layers * self.hidden_size


_TINYLLAMA = ModelShape(32000, 2048, 5632, 22, 32, 4, 2048)
_LLAMA_2_7B = ModelShape(32000, 4096, 11008, 32, 32, 32, 4096)
_SMOLLM2_135M = ModelShape(49152, 576, 1536, 30, 9, 3, 8192, tie_word_embeddings=True)
_MISTRAL_7B = ModelShape(32000, 4096, 14336, 32, 32, 8, 32768, architecture="mistral")

KNOWN_MODELS: Mapping[str, ModelShape] = {
    "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T": _TINYLLAMA,
    "microsoft/rho-math-1b-v0.1": _TINYLLAMA,
    "meta-llama/Llama-2-7b-hf": _LLAMA_2_7B,
    "mistralai/Mistral-7B-v0.1": _MISTRAL_7B,
    "microsoft/rho-math-7b-v0.1": _MISTRAL_7B,
    "HuggingFaceTB/SmolLM2-135M-Instruct": _SMOLLM2_135M,
}
"""By hub id: the paper's (section 3.1 and table 5), and others that recipes start from."""


def find_shape(model: str, revision: str | None = None) -> ModelShape | None:
    """Return the shape of a known hub id, of a folder's ``config.json``, or of one in the hub's local cache."""
    if model in KNOWN_MODELS:
        return KNOWN_MODELS[model]
    path = Path(model) / "config.json"
    if not path.is_file():
        from huggingface_hub import try_to_load_from_cache

        try:
            cached = try_to_load_from_cache(model, "config.json", revision=revision)
        except ValueError:  # no hub id
            return None
        if not isinstance(cached, str):
            return None
        path = Path(cached)
    try:
        return shape_of_config(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError):
        return None


def shape_of_config(config: Mapping[str, Any]) -> ModelShape | None:
    """Return the shape in a ``config.json``; None if it is not of this family."""
    if config.get("model_type") not in ("llama", "mistral"):
        return None
    heads = int(config["num_attention_heads"])
    return ModelShape(
        vocab_size=int(config["vocab_size"]),
        hidden_size=int(config["hidden_size"]),
        intermediate_size=int(config["intermediate_size"]),
        num_hidden_layers=int(config["num_hidden_layers"]),
        num_attention_heads=heads,
        num_key_value_heads=int(config.get("num_key_value_heads") or heads),
        max_position_embeddings=int(config["max_position_embeddings"]),
        tie_word_embeddings=bool(config.get("tie_word_embeddings", False)),
        architecture=str(config["model_type"]),
    )


VOCABULARIES: Mapping[str, str] = {
    "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T": "Llama 2",
    "microsoft/rho-math-1b-v0.1": "Llama 2",
    "meta-llama/Llama-2-7b-hf": "Llama 2",
    "mistralai/Mistral-7B-v0.1": "Mistral 0.1",
    "microsoft/rho-math-7b-v0.1": "Mistral 0.1",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "SmolLM2",
}
"""Whose vocabulary a hub id has: the first two have 32,000 entries each, and are not the same."""
