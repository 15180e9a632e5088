"""What a checkpoint's small files say to an engine: context length, end tokens, and what another checkpoint may share.

Read from the files, not from a loaded model, so that every engine follows the same settings.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rho1bench.errors import CheckpointError
from rho1bench.system import files
from rho1bench.system.files import sha256_file, sha256_json

_CONTEXT_KEYS = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "max_sequence_length",
    "max_seq_length", "seq_len",
)  # fmt: skip
"""Names of the context length in configurations of different model families."""

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt", "added_tokens.json")
_SETTINGS = ("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
_WITHOUT_EFFECT = ("_name_or_path", "name_or_path", "transformers_version", "_from_model_config", "chat_template")
"""Keys of settings on which no answer depends: they say where files came from; prompts here use no chat template."""


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``; raises CheckpointError if it holds none."""
    return files.read_object(path, CheckpointError)


def model_context(folder: Path) -> int | None:
    """Return the context length of the model in tokens; None if its configuration has none."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
    found = [getattr(config, key, None) for key in _CONTEXT_KEYS]
    return min((length for length in found if isinstance(length, int) and length > 0), default=None)


def head_sizes(folders: Iterable[Path]) -> tuple[int, ...]:
    """Return the sizes of the attention heads of the models in ``folders``, of those whose settings tell them."""
    return tuple(dict.fromkeys(size for folder in folders if (size := _head_size(folder)) is not None))


def _head_size(folder: Path) -> int | None:
    try:
        config = read_object(folder / "config.json")
    except CheckpointError:  # a model that only a server knows
        return None
    size, hidden, heads = (config.get(key) for key in ("head_dim", "hidden_size", "num_attention_heads"))
    if isinstance(size, int):
        return size
    if not isinstance(hidden, int) or not isinstance(heads, int) or heads < 1 or "kv_lora_rank" in config:
        return None
    return hidden // heads


def end_token_ids(folder: Path, tokenizer_end: int | None) -> frozenset[int]:
    """Return the tokens that end a completion: the tokenizer's, and one or several of the generation settings.

    Without ``generation_config.json`` the model's ``config.json`` counts, as in transformers and vLLM.
    """
    generation, config = folder / "generation_config.json", read_object(folder / "config.json")
    listed = (read_object(generation) if generation.is_file() else config).get("eos_token_id")
    ends = [tokenizer_end, *(listed if isinstance(listed, list) else [listed])]
    size = config.get("vocab_size")
    return frozenset(end for end in ends if type(end) is int and end >= 0 and (type(size) is not int or end < size))


def swap_key(folder: Path, shards: Iterable[Path]) -> str:
    """Return a hash that two checkpoints share if an engine can serve both by exchanging the weights.

    It covers everything besides the weights that changes an answer: the settings of model, generation and tokenizer,
    the tokenizer itself, and the names, types and shapes of the tensors.
    """
    settings = {
        name: {key: value for key, value in read_object(folder / name).items() if key not in _WITHOUT_EFFECT}
        for name in _SETTINGS
        if (folder / name).is_file()
    }
    files = {name: sha256_file(folder / name) for name in _TOKENIZER_FILES if (folder / name).is_file()}
    return sha256_json([settings, files, _tensors(shards)])


def _tensors(shards: Iterable[Path]) -> dict[str, list[object]]:
    from safetensors import safe_open

    found: dict[str, list[object]] = {}
    for path in shards:
        with safe_open(path, framework="numpy") as weights:
            for name in weights.keys():  # noqa: SIM118 (not a mapping)
                tensor = weights.get_slice(name)
                found[name] = [tensor.get_dtype(), *tensor.get_shape()]
    return found
