"""Tiny models of the architectures that people train, of random weights, saved as pretrained folders are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

VOCABULARY, POSITIONS = 400, 160
_LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": POSITIONS,
}
_DROPOUT = {"attention_dropout": 0.1, "hidden_dropout": 0.1}
FIELDS: dict[str, dict[str, Any]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": {**_LLAMA, "query_pre_attn_scalar": 16},
    "olmo2": _LLAMA,
    "granite": _LLAMA,
    "stablelm": {**_LLAMA, **_DROPOUT},
    "starcoder2": {**_LLAMA, "residual_dropout": 0.1, "embedding_dropout": 0.1, "attention_dropout": 0.1},
    "phi": {**_LLAMA, "num_key_value_heads": 2, "resid_pdrop": 0.1, "embd_pdrop": 0.1},
    "mixtral": {**_LLAMA, "num_local_experts": 3, "num_experts_per_tok": 2},
    "qwen2_moe": {
        **_LLAMA,
        "num_experts": 3,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
        "shared_expert_intermediate_size": 24,
    },
    "gpt_neox": {
        **{name: _LLAMA[name] for name in _LLAMA if name not in ("num_key_value_heads", "head_dim")},
        **_DROPOUT,
    },
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": POSITIONS, "resid_pdrop": 0.1},
    "opt": {
        "hidden_size": 32,
        "ffn_dim": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "word_embed_proj_dim": 32,
        "max_position_embeddings": POSITIONS,
    },
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2, **_DROPOUT},
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "alibi": False, **_DROPOUT},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 2, "max_seq_len": POSITIONS},
}
"""What makes each small; dropout where the architecture has it."""
WITH_DROPOUT = ("stablelm", "starcoder2", "phi", "gpt_neox", "gpt2", "opt", "bloom", "falcon")
ONE_DOCUMENT_ONLY = ("opt", "bloom", "falcon", "mpt")
"""Those whose attention does not separate documents by their positions."""


def make_model(name: str, **fields: Any) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    config = AutoConfig.for_model(name, vocab_size=VOCABULARY, **{**special, **FIELDS[name], **fields})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def save_pretrained(name: str, tokenizer: Path, folder: Path, **fields: Any) -> Path:
    """Write the model with its tokenizer, as one from elsewhere comes."""
    make_model(name, **fields).save_pretrained(folder)
    for path in tokenizer.iterdir():
        shutil.copyfile(path, folder / path.name)
    return folder
