"""Weights of large new models: numbers by seed, name and place, wherever and in whatever pieces they are made."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rho1bench import mini_world
from rho1bench.corpus.tokenizer import train_tokenizer, write_tokenizer
from rho1bench.modeling.fresh_weights import fill_normal, fresh_model
from rho1bench.recipe import ModelConfig

SHAPE = ModelConfig(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    initializer_range=0.05,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    texts = [document.text for document in mini_world.clean_documents(50, 0)]
    write_tokenizer(train_tokenizer(iter(texts), 300), folder)
    return folder


def by_numpy(count: int, seed: int, name: str, deviation: float) -> np.ndarray:
    """The same numbers from the definition, in another library's whole numbers without a sign."""
    key = np.frombuffer(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], dtype="<u8")[0]
    with np.errstate(over="ignore"):
        z = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + key
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    edges = torch.special.ndtri(torch.arange(65537, dtype=torch.float64) / 65536).clamp(-4.5, 4.5).float().numpy()
    row, share = (z % np.uint64(65536)).astype(int), ((z >> np.uint64(16)) % np.uint64(2**24)).astype(np.float32)
    return (edges[row] + (edges[1:] - edges[:-1])[row] * (share / np.float32(2**24))) * np.float32(deviation)


@pytest.mark.parametrize("chunk", [7, 1000, 4096])
def test_numbers_are_those_of_the_definition_to_the_last_bit(chunk: int):
    weight = torch.empty(40, 75)
    fill_normal(weight, 11, "layers.0.weight", 0.02, chunk)
    assert weight.flatten().numpy().tobytes() == by_numpy(3000, 11, "layers.0.weight", 0.02).tobytes()


def test_they_are_normal_and_differ_by_seed_and_name():
    drawn = []
    for seed, name in ((0, "a"), (1, "a"), (0, "b")):
        weight = torch.empty(1_000_000)
        fill_normal(weight, seed, name, 1.0)
        drawn.append(weight.double())
    for values in drawn:
        assert float(values.mean()) == pytest.approx(0.0, abs=4e-3)
        assert float(values.std()) == pytest.approx(1.0, abs=3e-3)
        assert float((values**4).mean()) == pytest.approx(3.0, abs=0.03)
        for level in (-2.0, -1.0, 0.0, 0.5, 3.0):
            share = 0.5 * (1 + float(torch.erf(torch.tensor(level / 2**0.5))))
            assert float((values < level).double().mean()) == pytest.approx(share, abs=2e-3)
        assert abs(correlation(values[1:], values[:-1])) < 5e-3
        assert abs(correlation(values[1024:], values[:-1024])) < 5e-3
    assert abs(correlation(drawn[0], drawn[1])) < 5e-3
    assert abs(correlation(drawn[0], drawn[2])) < 5e-3


def correlation(left: Tensor, right: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([left, right]))[0, 1])


@pytest.mark.parametrize("change", [{"architecture": "mistral"}, {"tie_word_embeddings": False}])
def test_a_model_made_without_memory_first_is_one_that_transformers_makes(tokenizer: Path, change: dict[str, object]):
    """Made on meta, then filled: it computes what a model made in place computes with the same matrices."""
    shape = SHAPE.model_copy(update=change)
    state = torch.get_rng_state()
    model = fresh_model(shape, tokenizer, 3, large=0)
    assert torch.equal(torch.get_rng_state(), state)
    plain = fresh_model(shape, tokenizer, 3)  # a small one, which transformers draws
    assert type(model) is type(plain)
    assert model.config.to_dict() == plain.config.to_dict()
    pairs = zip(model.named_parameters(), plain.named_parameters(), strict=True)
    for (name, weight), (same_name, other) in pairs:
        assert name == same_name
        assert torch.equal(weight, other) == (weight.dim() == 1), name
    embedding, pad = model.get_input_embeddings().weight.detach(), plain.config.pad_token_id
    assert ((embedding == 0).all(dim=1).nonzero() == pad).all()
    assert float(embedding.std()) == pytest.approx(SHAPE.initializer_range, rel=0.05)
    tokens_BT = torch.tensor([[3, 4, 5, 6]])
    plain.load_state_dict(model.state_dict())
    assert torch.equal(model(input_ids=tokens_BT).logits, plain(input_ids=tokens_BT).logits)


def test_it_depends_on_seed_and_shape_alone(tokenizer: Path):
    first, again, other = (fresh_model(SHAPE, tokenizer, seed, large=0) for seed in (3, 3, 4))
    for weight, same, another in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(weight, same)
        assert torch.equal(weight, another) == (weight.dim() == 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_makes_the_numbers_of_a_cpu(tokenizer: Path):
    here, there = (fresh_model(SHAPE, tokenizer, 3, torch.device(kind), large=0) for kind in ("cpu", "cuda"))
    for (name, weight), (_, other) in zip(here.named_parameters(), there.named_parameters(), strict=True):
        assert torch.equal(weight, other.cpu()), name
