"""``rho1bench convert``: a GGUF file made here says the same as the model it was made from."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from eval_cli import CommandLine

from rho1bench.evaluation.checkpoints import Checkpoint


@pytest.fixture
def rho1bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def write_gguf(path: Path, vocabulary: int = 64) -> Any:
    """Write a small random Llama with a byte-pair vocabulary as GGUF, and return the model."""
    import gguf
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    heads, width, layers = 2, 32, 1
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=64, num_hidden_layers=layers,
        num_attention_heads=heads, max_position_embeddings=128, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(64)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_rope_dimension_count(width // heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(vocabulary)
    tokens = ["<|end|>", *(chr(33 + place) for place in range(vocabulary - 3)), "Ġ", "12"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (vocabulary - 1))
    writer.add_token_merges(["1 2"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, tensor in _tensors(model, heads).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _tensors(model: Any, heads: int) -> dict[str, Any]:
    def turned(weight: Any) -> Any:
        """The order of rows that llama.cpp's rotary embedding wants."""
        return weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)

    weights = {name: value.detach() for name, value in model.state_dict().items()}
    block = "model.layers.0."
    tensors = {
        "token_embd": weights["model.embed_tokens.weight"],
        "output_norm": weights["model.norm.weight"],
        "blk.0.attn_q": turned(weights[f"{block}self_attn.q_proj.weight"]),
        "blk.0.attn_k": turned(weights[f"{block}self_attn.k_proj.weight"]),
        "blk.0.attn_v": weights[f"{block}self_attn.v_proj.weight"],
        "blk.0.attn_output": weights[f"{block}self_attn.o_proj.weight"],
        "blk.0.ffn_gate": weights[f"{block}mlp.gate_proj.weight"],
        "blk.0.ffn_up": weights[f"{block}mlp.up_proj.weight"],
        "blk.0.ffn_down": weights[f"{block}mlp.down_proj.weight"],
        "blk.0.attn_norm": weights[f"{block}input_layernorm.weight"],
        "blk.0.ffn_norm": weights[f"{block}post_attention_layernorm.weight"],
    }
    return {f"{name}.weight": tensor.contiguous().numpy() for name, tensor in tensors.items()}


def test_a_converted_model_says_the_same(rho1bench: CommandLine, tmp_path: Path):
    pytest.importorskip("gguf", reason="the package gguf is not installed")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = write_gguf(tmp_path / "tiny.gguf")
    ended = rho1bench("convert", tmp_path / "tiny.gguf", "--output", tmp_path / "tiny")
    assert ended.code == 0, ended.err
    Checkpoint("tiny", tmp_path / "tiny", "tiny").check()
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "tiny")
    ids_BT = torch.arange(40).view(2, 20)
    with torch.inference_mode():
        assert torch.allclose(read(ids_BT).logits, model(ids_BT).logits, atol=1e-5)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tiny")
    assert tokenizer.decode(tokenizer("12 3", add_special_tokens=False).input_ids) == "12 3"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_cannot_be_converted_is_told(rho1bench: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "text.gguf").write_text("hello")
    (tmp_path / "there").mkdir()
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF\x03\x00")
    for source, output, word in [
        ("missing.gguf", "new", "no such file"),
        ("text.gguf", "new", "not a GGUF file"),
        ("broken.gguf", "there", "is there already"),
    ]:
        ended = rho1bench("convert", tmp_path / source, "--output", tmp_path / output)
        assert (ended.code, word in ended.err) == (2, True), ended.err
    if importlib.util.find_spec("gguf"):
        assert "cannot read this GGUF file" in rho1bench("convert", broken, "--output", tmp_path / "new").err
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "gguf" else find(name, *rest))
    assert "pip install 'rho1bench[gguf]'" in rho1bench("convert", broken, "--output", tmp_path / "new").err
    assert not (tmp_path / "new").exists()
