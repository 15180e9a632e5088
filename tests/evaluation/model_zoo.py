"""Tiny random models of many architectures, and tokenizers of the families that published models use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rho1bench import mini_world

SIZE = 400
"""Entries of each vocabulary."""
CONTEXT = 128
"""Tokens that each model reads at most."""

CODE = "def add(a, b):\n    total = a + b\n    return total\n\n\nclass Pair:\n    def __init__(self):\n        pass\n"


def texts() -> list[str]:
    """What the tokenizers are trained on: prose, code, and letters beyond ASCII."""
    return [document.text for document in mini_world.clean_documents(60, 0)] + [CODE, "naïve café, 数学", "\ttab  two"]


def _trained(tokenizer: Any, trainer: Any) -> Any:
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def _byte_level(special: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return _trained(tokenizer, trainers.BpeTrainer(
        vocab_size=SIZE, special_tokens=special, initial_alphabet=alphabet, show_progress=False,
    ))  # fmt: skip


def _start(tokenizer: Any, bos: str) -> Any:
    from tokenizers import processors

    special = [(bos, tokenizer.token_to_id(bos))]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=special)
    return tokenizer


_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def _sentencepiece_bpe(normalized: bool) -> Any:
    """Like Llama-2's (``normalized``: the mark of a word's start is set by the normalizer) or Mistral's later ones."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if normalized:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", *_BYTES]
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE, special_tokens=special, limit_alphabet=60, max_token_length=8, show_progress=False
    )
    return _start(_plain_bytes(_trained(tokenizer, trainer)), "<s>")


def _plain_bytes(tokenizer: Any) -> Any:
    """Make the byte tokens ordinary ones, as in published tokenizers; the trainer knows no other way to add them."""
    from tokenizers import Tokenizer

    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in _BYTES]
    return Tokenizer.from_str(json.dumps(content))


def _unigram() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=SIZE, special_tokens=["<unk>", "</s>", "<pad>"], unk_token="<unk>", show_progress=False
    )
    return _trained(tokenizer, trainer)


def _wordpiece() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return _trained(tokenizer, trainers.WordPieceTrainer(
        vocab_size=SIZE, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False,
    ))  # fmt: skip


Family = tuple[Callable[[], Any], dict[str, str]]

TOKENIZERS: dict[str, Family] = {
    "byte-level with bos": (
        lambda: _start(_byte_level(["<s>", "</s>", "<pad>"]), "<s>"),
        {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"},
    ),
    "gpt2": (
        lambda: _byte_level(["<|endoftext|>"]),
        {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
    ),
    "llama2": (lambda: _sentencepiece_bpe(True), {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
    "mistral": (lambda: _sentencepiece_bpe(False), {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
    "unigram": (_unigram, {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}),
    "wordpiece": (_wordpiece, {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}),
    "no special tokens": (lambda: _byte_level([]), {}),
}


def write_family(family: str, folder: Path) -> None:
    """Write a tokenizer as published ones are: ``tokenizer.json`` and its settings."""
    build, special = TOKENIZERS[family]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(build().to_str())
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


_LLAMA_LIKE = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": CONTEXT, "initializer_range": 0.4,
}  # fmt: skip
_WITHOUT_GROUPS = {name: value for name, value in _LLAMA_LIKE.items() if name != "num_key_value_heads"}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": _LLAMA_LIKE,
    "mistral": _LLAMA_LIKE | {"sliding_window": 16},
    "qwen2": _LLAMA_LIKE,
    "qwen3": _LLAMA_LIKE | {"head_dim": 32},
    "gemma": _LLAMA_LIKE | {"head_dim": 32},
    "olmo2": _LLAMA_LIKE,
    "phi": _LLAMA_LIKE | {"partial_rotary_factor": 0.5},
    "gpt_neox": _WITHOUT_GROUPS,
    "stablelm": _LLAMA_LIKE,
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": CONTEXT, "initializer_range": 0.4},
    "opt": _WITHOUT_GROUPS | {"ffn_dim": 96, "word_embed_proj_dim": 64, "init_std": 0.4},
    "bloom": {"hidden_size": 64, "n_layer": 2, "n_head": 2, "initializer_range": 0.4},
    "falcon": _WITHOUT_GROUPS | {"alibi": False},
    "mpt": {"d_model": 64, "n_layers": 2, "n_heads": 2, "max_seq_len": CONTEXT, "initializer_range": 0.4},
}


def write_model(architecture: str, folder: Path, seed: int = 0, **settings: Any) -> None:
    """Write a random model whose weights are spread so far that hardly two logits tie; the tokenizer must be there."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": None}
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        architecture, vocab_size=SIZE + 16, **{**ARCHITECTURES[architecture], **ends, **settings}
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
