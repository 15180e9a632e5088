"""Weights pass through one door: a checkpoint whose names are not those of its model is refused, and so on resume."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rho1bench.errors import CheckpointError
from rho1bench.modeling.causal_lm import check_weights, load_model, weights_sha256

SHAPE = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
}
Weights = dict[str, torch.Tensor]


def make(kind: str, **fields: Any) -> Any:
    import transformers

    torch.manual_seed(0)
    return getattr(transformers, f"{kind}ForCausalLM")(getattr(transformers, f"{kind}Config")(**SHAPE, **fields))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make("Llama", num_key_value_heads=2, tie_word_embeddings=False).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change_weights(folder: Path, change: Callable[[Weights], Weights]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def change_config(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def without(*parts: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: value for name, value in weights.items() if not any(part in name for part in parts)}


def prefixed(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: {f"{prefix}{name}": value for name, value in weights.items()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("layers.1."), ["9 of its weights are missing", "model.layers.1."]),
        (without("lm_head"), ["1 of its weights are missing (lm_head.weight)"]),
        (without("embed_tokens"), ["model.embed_tokens.weight"]),
        (prefixed("_orig_mod."), ["21 weights have no place", "'_orig_mod.'", "torch.compile"]),
        (prefixed("module."), ["21 weights have no place", "'module.'", "take that prefix off"]),
        (prefixed("base_model.model."), ["'base_model.model.'", "PEFT"]),
        (prefixed("module._orig_mod."), ["'module._orig_mod.'"]),
        (lambda weights: {**weights, "model.layers.2.mlp.up_proj.weight": torch.zeros(2)}, ["1 weights have no place"]),
        (
            lambda weights: {**weights, "lm_head.weight": torch.zeros(3, 16)},
            ["1 weights have another shape (lm_head.weight [3, 16] for [60, 16])"],
        ),
        (lambda weights: {"other": torch.zeros(2)}, ["of a LlamaForCausalLM"]),
    ],
)
def test_weights_that_do_not_fill_the_model_are_refused(
    folder: Path, change: Callable[[Weights], Weights], words: list[str]
) -> None:
    change_weights(folder, change)
    with pytest.raises(CheckpointError) as caught:
        load_model(folder, name="mine")
    assert str(caught.value).startswith("mine: these weights")
    for word in words:
        assert word in str(caught.value)
    with pytest.raises(CheckpointError) as same:
        check_weights(folder, name="mine")
    assert str(same.value) == str(caught.value)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}, "q_proj.bias"),
        ({"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"]}, "GPTNeoXForCausalLM"),
        ({"num_hidden_layers": 1}, "model.layers.1."),
        ({"num_hidden_layers": 3}, "model.layers.2."),
        ({"hidden_size": 32}, r"another shape .*\[60, 16\] for \[60, 32\]"),
    ],
)
def test_a_config_of_another_model_is_refused(folder: Path, fields: dict[str, Any], word: str) -> None:
    change_config(folder, **fields)
    for check in (load_model, check_weights):
        with pytest.raises(CheckpointError, match=word):
            check(folder)


def stored_as(dtype: torch.dtype) -> Callable[[Weights], Weights]:
    return lambda weights: {**weights, "lm_head.weight": (100 * weights["lm_head.weight"]).to(dtype)}


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64])
def test_weights_that_are_no_floating_point_numbers_are_refused(folder: Path, dtype: torch.dtype) -> None:
    change_weights(folder, stored_as(torch.float64))
    load_model(folder)
    change_weights(folder, stored_as(dtype))
    for check in (load_model, check_weights):
        with pytest.raises(CheckpointError, match=r"tensor lm_head\.weight is stored as"):
            check(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(folder: Path, value: float) -> None:
    change_weights(folder, lambda weights: {**weights, "model.norm.weight": weights["model.norm.weight"] * value})
    with pytest.raises(CheckpointError, match=r"mine: the weight model\.norm\.weight holds NaN"):
        load_model(folder, name="mine")


def test_a_head_beside_tied_embeddings_must_be_the_same(folder: Path) -> None:
    change_config(folder, tie_word_embeddings=True)
    for check in (load_model, check_weights):
        with pytest.raises(CheckpointError, match="tie_word_embeddings: true, but the files hold an output head"):
            check(folder)
    change_weights(folder, lambda weights: {**weights, "lm_head.weight": weights["model.embed_tokens.weight"].clone()})
    for check in (load_model, check_weights):
        check(folder)


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut off": (lambda data: data[:-9], "not a whole one"),
    "longer": (lambda data: data + b"more", "not a whole one"),
    "empty": (lambda data: b"", "not a whole one"),
    "a pointer to a large file": (
        lambda data: b"version 1\noid sha256:0123456789abcdef\nsize 4096\n",
        "not a safetensors file",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_told_by_name(folder: Path, damage: str) -> None:
    change, words = DAMAGES[damage]
    path = folder / "model.safetensors"
    path.write_bytes(change(path.read_bytes()))
    for check in (load_model, check_weights):
        with pytest.raises(CheckpointError, match=words) as caught:
            check(folder)
        assert str(path) in str(caught.value)


def test_files_that_are_not_one_set_of_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    load_model(folder).save_pretrained(shards, max_shard_size="8KB")
    index = shards / "model.safetensors.index.json"
    whole = json.loads(index.read_text())
    shutil.copy(folder / "model.safetensors", shards)
    with pytest.raises(CheckpointError, match=r"and the \d shards that .* names"):
        load_model(shards)
    (shards / "model.safetensors").unlink()
    load_model(shards)
    outside = {**whole["weight_map"], "lm_head.weight": "../model/model.safetensors"}
    for found, words in (
        ({"weight_map": outside}, "which is no file of its folder"),
        ({"weight_map": {"lm_head.weight": "model-9.safetensors"}}, r"1 of its 1 shards are missing \(model-9"),
        ({}, "has no weight_map"),
        ([], "expected a JSON object"),
    ):
        index.write_text(json.dumps(found))
        with pytest.raises(CheckpointError, match=words):
            load_model(shards)
    index.unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors\.index\.json that names its shards"):
        load_model(shards)


@pytest.mark.parametrize(
    "fields", [{"hidden_size": "16"}, {"num_attention_heads": 0}, {"hidden_act": "no"}, {"rope_parameters": "x"}]
)
def test_a_config_that_no_library_has_foreseen_is_told(folder: Path, fields: dict[str, Any]) -> None:
    change_config(folder, **fields)
    for check in (load_model, check_weights):
        with pytest.raises(CheckpointError, match=r"these weights cannot be loaded: [A-Z][A-Za-z]+Error: "):
            check(folder)


def test_tokens_that_a_model_does_not_know_are_told(folder: Path) -> None:
    from rho1bench.analysis.inspection import _scores

    assert len(_scores(folder, [1, 59])) == 1
    with pytest.raises(CheckpointError, match="token id 60, but the model knows 60 tokens"):
        _scores(folder, [1, 60])


def test_whole_checkpoints_load(folder: Path, tmp_path: Path) -> None:
    model = load_model(folder)
    model.save_pretrained(tmp_path / "shards", max_shard_size="8KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    assert all(
        torch.equal(value, model.state_dict()[name])
        for name, value in load_model(tmp_path / "shards").state_dict().items()
    )
    # Buffers that older versions stored beside the weights are none.
    change_weights(folder, lambda weights: {**weights, "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)})
    for check in (load_model, check_weights):
        check(folder)
    make("Llama", num_key_value_heads=2, tie_word_embeddings=True).save_pretrained(tmp_path / "tied")
    assert "lm_head.weight" not in load_file(tmp_path / "tied/model.safetensors")
    for check in (load_model, check_weights):
        check(tmp_path / "tied")
        check(tmp_path / "shards")


def test_a_checkpoint_without_safetensors_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        weights_sha256(tmp_path)
