"""Random weights of a new model, the same by seed wherever they are made (paper section 3.1: where a stage starts).

Small models are drawn as transformers draws them, by torch's generator of the CPU, at some 14 s a billion numbers; an
accelerator's generator has other numbers. So of larger models every number is a function of seed, name of the weight
and place in it (a hash, then quantiles of the normal distribution by a table), by whole numbers, products and sums
alone, which every device rounds alike, and they are made where the model is to be.
Shapes: N numbers of a weight, C of a chunk.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rho1bench.corpus import tokenizer as tokenizers
from rho1bench.corpus.tokenizer import special_tokens
from rho1bench.pipeline.stage import derive_seed
from rho1bench.recipe import ModelConfig

if TYPE_CHECKING:
    from transformers import LlamaConfig, MistralConfig, PreTrainedModel

LARGE = 2**27
"""Parameters from which on weights are made by place. Whatever is smaller keeps the numbers that it always had."""
_CHUNK = 2**23
"""Numbers that are made at once; of no account for what they are."""
_ROWS = 2**16
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Constants of the SplitMix64 generator (Steele, Lea, Flood 2014)."""


def fresh_model(
    shape: ModelConfig, tokenizer_folder: Path, seed: int, device: torch.device | None = None, large: int = LARGE
) -> PreTrainedModel:
    """Return a Llama or Mistral with random weights that depend on ``seed`` and ``shape`` only.

    One of ``large`` parameters and more is made on ``device``, a smaller one on the CPU.
    """
    from transformers import GenerationConfig, LlamaForCausalLM, MistralForCausalLM

    tokens = special_tokens(tokenizer_folder)
    special = {"bos_token_id": tokens.bos, "eos_token_id": tokens.eos, "pad_token_id": tokens.pad}
    vocab_size = tokenizers.vocabulary_size(tokenizer_folder)
    config = _config(shape, vocab_size, special)
    architecture: type[PreTrainedModel] = MistralForCausalLM if shape.architecture == "mistral" else LlamaForCausalLM
    seed = derive_seed(seed, "model")
    if shape.shape(vocab_size).num_parameters < large:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = architecture(config)
    else:
        model = _made_by_place(architecture, config, seed, device or torch.device("cpu"))
    model.generation_config = GenerationConfig(**special)
    return model


def _config(shape: ModelConfig, vocab_size: int, special: dict[str, int | None]) -> LlamaConfig | MistralConfig:
    from transformers import LlamaConfig, MistralConfig

    settings = shape.model_dump(exclude={"rope_theta", "architecture"}) | special
    settings |= {
        "num_key_value_heads": shape.num_key_value_heads or shape.num_attention_heads,
        "vocab_size": vocab_size,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "attention_dropout": 0.0,
        "dtype": "float32",
    }
    if shape.architecture == "mistral":
        # No window, as Mistral-7B since v0.2, and no block is longer than the first one's.
        return MistralConfig(**settings, sliding_window=None)
    return LlamaConfig(**settings)


def _made_by_place(
    architecture: type[PreTrainedModel], config: LlamaConfig | MistralConfig, seed: int, device: torch.device
) -> PreTrainedModel:
    with torch.device("meta"):
        model = architecture(config)
    model.to_empty(device=device)
    model.tie_weights()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        model.initialize_weights()  # norms, and tables of positions; its matrices are overwritten
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                fill_normal(weight, seed, name, config.initializer_range)
        for module in model.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0.0
    return model


def fill_normal(weight: Tensor, seed: int, name: str, deviation: float, chunk: int = _CHUNK) -> None:
    """Fill a weight with normal numbers of mean 0 that depend on ``seed``, ``name`` and their places only."""
    key = int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "little")
    flat_N = weight.view(-1)
    for start in range(0, len(flat_N), chunk):
        flat_C = flat_N[start : start + chunk]
        places_C = torch.arange(start, start + len(flat_C), dtype=torch.int64, device=weight.device)
        torch.mul(_normal(_hashed(places_C, key)), deviation, out=flat_C)


def _hashed(places_C: Tensor, key: int) -> Tensor:
    """Return SplitMix64's numbers at some places of its stream; int64 wraps as uint64 does."""
    bits_C = places_C.mul_(_signed(_STEP)).add_(_signed(key))
    bits_C = _xor_shifted(bits_C, 30).mul_(_signed(_FIRST))
    bits_C = _xor_shifted(bits_C, 27).mul_(_signed(_SECOND))
    return _xor_shifted(bits_C, 31)


def _xor_shifted(bits_C: Tensor, by: int) -> Tensor:
    return torch.bitwise_xor(bits_C, (bits_C >> by) & ((1 << 64 - by) - 1))


def _signed(number: int) -> int:
    number %= 2**64
    return number - 2**64 if number >= 2**63 else number


def _normal(bits_C: Tensor) -> Tensor:
    """Return the normal quantile of each number: 16 of its bits choose a row of the table, 24 the place in it."""
    edges, widths = (table.to(bits_C.device) for table in _quantiles())
    rows_C = bits_C & (_ROWS - 1)
    shares_C = ((bits_C >> 16) & (2**24 - 1)).float() * 2.0**-24
    return edges[rows_C] + widths[rows_C] * shares_C


@cache
def _quantiles() -> tuple[Tensor, Tensor]:
    """Return where each of 65,536 equally probable rows of the normal distribution begins, and its width.

    The outermost rows end at 4.5 standard deviations.
    """
    edges = torch.special.ndtri(torch.arange(_ROWS + 1, dtype=torch.float64) / _ROWS).clamp(-4.5, 4.5).float()
    return edges[:-1], edges.diff()
