"""PEFT adapters: merged weights against a computation by hand, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from eval_cli import CommandLine
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from rho1bench import mini_world
from rho1bench.corpus.tokenizer import train_tokenizer, write_tokenizer
from rho1bench.errors import CheckpointError, MissingPackageError, RunError, UserError
from rho1bench.evaluation.adapters import with_bases
from rho1bench.evaluation.checkpoints import Checkpoint, find_checkpoints
from rho1bench.leaderboard.records.add import add
from rho1bench.leaderboard.records.checks import read_records

needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="the package peft is not installed")
RANK, ALPHA = 4, 8
TARGETS = ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Llama with random weights, two layers."""
    folder = tmp_path_factory.mktemp("models") / "base"
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    LlamaForCausalLM(LlamaConfig(**shape, **ends, vocab_size=320, max_position_embeddings=256)).save_pretrained(folder)
    write_tokenizer(train_tokenizer((one.text for one in mini_world.clean_documents(60, 0)), 320), folder)
    return folder


def write_adapter(folder: Path, base: Path | None, weights: dict[str, Tensor] | None = None, **changed: Any) -> Path:
    """A LoRA adapter as PEFT writes one: of rank 4 for q_proj and down_proj."""
    folder.mkdir()
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": ALPHA, "lora_dropout": 0.1}
    config |= {"base_model_name_or_path": None if base is None else str(base), "target_modules": list(TARGETS)}
    (folder / "adapter_config.json").write_text(json.dumps(config | changed))
    save_file(factors() if weights is None else weights, folder / "adapter_model.safetensors")
    return folder


def factors() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(1)
    sizes = {TARGETS[0]: (32, 32), TARGETS[1]: (32, 48)}
    return {
        f"base_model.model.{name}.lora_{part}.weight": torch.randn(shape, generator=random)
        for name, (rows, columns) in sizes.items()
        for part, shape in (("A", (RANK, columns)), ("B", (rows, RANK)))
    }


def merged(adapter: Path, output: Path, given: str | None = None) -> Checkpoint:
    return with_bases(find_checkpoints([str(adapter)]), given, output, lambda _: None)[0]


@needs_peft
@pytest.mark.parametrize(
    ("changed", "scale"),
    [({}, ALPHA / RANK), ({"use_rslora": True}, ALPHA / math.sqrt(RANK))],
)
def test_merged_weights_are_those_computed_by_hand(
    base: Path, tmp_path: Path, changed: dict[str, Any], scale: float
) -> None:
    found = merged(write_adapter(tmp_path / "lora", base, **changed), tmp_path / "evals")
    found.check()
    before, after, given = (
        load_file(path)
        for path in (
            base / "model.safetensors",
            found.folder / "model.safetensors",
            tmp_path / "lora/adapter_model.safetensors",
        )
    )
    assert before.keys() == after.keys()
    for name, weight in before.items():
        expected, factor = weight, f"base_model.model.{name.removesuffix('.weight')}"
        if f"{factor}.lora_A.weight" in given:
            expected = weight + scale * given[f"{factor}.lora_B.weight"] @ given[f"{factor}.lora_A.weight"]
            assert (expected - weight).abs().max() > 0.1
        torch.testing.assert_close(after[name], expected, rtol=0, atol=1e-5)
    assert found.source == str(tmp_path / "lora")
    assert (found.folder / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()


@needs_peft
def test_a_merged_folder_is_kept_and_made_anew_where_adapter_or_base_change(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, output = write_adapter(tmp_path / "lora", None), tmp_path / "evals"
    first = merged(adapter, output, str(base))
    half = tmp_path / "half"
    LlamaForCausalLM.from_pretrained(base).to(torch.bfloat16).save_pretrained(half)
    write_tokenizer(train_tokenizer((one.text for one in mini_world.clean_documents(60, 0)), 320), half)
    rounded = merged(adapter, output, str(half))
    assert {tensor.dtype for tensor in load_file(rounded.folder / "model.safetensors").values()} == {torch.bfloat16}
    doubled = {name: 2 * factor for name, factor in factors().items()}
    other = merged(write_adapter(tmp_path / "other", None, doubled), output, str(base))
    assert len({one.identity for one in (first, rounded, other)}) == 3
    monkeypatch.setattr("rho1bench.evaluation.adapters.importlib.util.find_spec", lambda _: None)
    assert merged(adapter, output, str(base)) == first
    assert not [path for path in output.iterdir() if path.name.startswith(".")]


@needs_peft
@pytest.mark.parametrize(
    ("weights", "changed", "words"),
    [
        ({"base_model.model.model.layers.9.mlp.up_proj.lora_A.weight": torch.ones(4, 32)}, {}, "has no counterpart"),
        ({name: factor for name, factor in factors().items() if "lora_A" in name}, {}, "has no counterpart"),
        ({name: factor[:, :3].contiguous() for name, factor in factors().items()}, {}, "cannot be merged into"),
        (None, {"target_modules": ["query_key_value"]}, "cannot be merged into"),
        (None, {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}, "is a prompt, not to be merged"),
        (None, {"peft_type": "NEW_KIND"}, "cannot be merged into"),
        (None, {"base_model_name_or_path": "no/model/here"}, "its base model is not here"),
        (None, {"base_model_name_or_path": None}, "names no base model. Give it: --base"),
    ],
)
def test_what_does_not_belong_together_is_refused_and_nothing_is_left(
    base: Path, tmp_path: Path, weights: dict[str, Tensor] | None, changed: dict[str, Any], words: str
) -> None:
    adapter = write_adapter(tmp_path / "lora", base, weights, **changed)
    with pytest.raises(CheckpointError, match=words):
        merged(adapter, tmp_path / "evals")
    assert not list((tmp_path / "evals").glob("*"))
    assert not list((tmp_path / "evals").glob(".*"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (CheckpointError, "a pickle file, which can run code"),
        (CheckpointError, "quantised"),
        (RunError, "and none is here"),
        (MissingPackageError, "pip install 'rho1bench\\[peft\\]'"),
    ],
)
def test_what_is_refused_before_anything_is_loaded(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[UserError], words: str
) -> None:
    monkeypatch.setattr("rho1bench.evaluation.adapters.importlib.util.find_spec", lambda _: None)
    adapter, given = write_adapter(tmp_path / "lora", base), None
    if "pickle" in words:
        (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    if "quantised" in words:
        given = str(tmp_path / "small")
        LlamaForCausalLM.from_pretrained(base).save_pretrained(given)
        write_tokenizer(train_tokenizer((one.text for one in mini_world.clean_documents(60, 0)), 320), Path(given))
        config = json.loads((tmp_path / "small/config.json").read_text())
        (tmp_path / "small/config.json").write_text(json.dumps(config | {"quantization_config": {"bits": 4}}))
    if "none is here" in words:
        adapter, given = base, str(base)
    with pytest.raises(error, match=words):
        merged(adapter, tmp_path / "evals", given)


@needs_peft
@pytest.mark.sweep
def test_an_adapter_is_evaluated_and_recorded_with_its_base(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rho1bench = CommandLine(monkeypatch, capsys)
    adapter, output = write_adapter(tmp_path / "lora", None), tmp_path / "evals"
    options = ["--suite", "mini_math9", "--limit", 1, "--engine", "hf", "--output", output, "--max-model-len", 128]
    ended = rho1bench("eval", adapter, "--base", base, *options)
    assert ended.code == 0, ended.err
    assert "lora: merged into" in ended.err
    add(output / "lora", tmp_path / "results")
    assert read_records(tmp_path / "results")[1] == []
    record = json.loads((tmp_path / "results/records/mini_math9/lora.limit1.json").read_text())
    assert record["model"]["source"] == "lora"
    assert "--base base" in record["command"]
    (whole,) = output.glob("lora.merged-*")
    assert record["model"]["weights_sha256"] == Checkpoint("", whole, "").files_sha256
