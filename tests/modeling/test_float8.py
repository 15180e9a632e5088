"""Float8 in the layers: what is replaced, how far numbers move, which tokens one depends on, what is refused."""

from __future__ import annotations

import copy
import importlib.util
import math
from typing import Any, Literal

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from rho1bench.errors import CheckpointError
from rho1bench.modeling.build import layers
from rho1bench.modeling.float8 import multiplies_float8, use_float8

pytestmark = [
    pytest.mark.sweep,
    pytest.mark.skipif(
        importlib.util.find_spec("torchao") is None, reason="torchao is not installed (`make sweep` has it)"
    ),
]
Scaling = Literal["tensorwise", "rowwise"]
SCALINGS: tuple[Scaling, ...] = ("tensorwise", "rowwise")
BLOCK = torch.arange(32).unsqueeze(0) * 7 % 300


@pytest.fixture(scope="module")
def plain() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    return LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=4, vocab_size=320, max_position_embeddings=64))


def in_float8(plain: LlamaForCausalLM, scaling: Scaling) -> LlamaForCausalLM:
    model = copy.deepcopy(plain)
    use_float8(layers(model), scaling, "slm")
    return model


def loss_and_gradients(model: nn.Module) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(input_ids=BLOCK, labels=BLOCK).loss
    loss.backward()
    gradients = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
    assert len(gradients) == len(list(model.parameters()))
    return float(loss.detach()), torch.cat(gradients)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_layers_multiply_float8_and_the_rest_does_not(plain: LlamaForCausalLM, scaling: Scaling) -> None:
    model = in_float8(plain, scaling)
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    replaced = [name for name, kind in kinds.items() if kind == "Float8Linear"]
    assert len(replaced) == 2 * 7
    assert all(".layers." in name for name in replaced)
    assert kinds["lm_head"] == "Linear"
    weights = plain.state_dict()
    assert list(model.state_dict()) == list(weights)
    assert all(weight.dtype == torch.float32 and weight.equal(weights[n]) for n, weight in model.state_dict().items())


@pytest.mark.parametrize("scaling", SCALINGS)
def test_loss_and_gradients_are_near_those_of_bf16(plain: LlamaForCausalLM, scaling: Scaling) -> None:
    expected, found = loss_and_gradients(plain), loss_and_gradients(in_float8(plain, scaling))
    assert found[0] == pytest.approx(expected[0], abs=0.01)
    assert found[0] != expected[0]
    cosine = torch.nn.functional.cosine_similarity(found[1], expected[1], dim=0)
    assert 0.99 < float(cosine) < 1.0


@pytest.mark.parametrize(("scaling", "is_alone"), [("tensorwise", False), ("rowwise", True)])
def test_a_scale_a_row_leaves_tokens_independent_of_their_company(
    plain: LlamaForCausalLM, scaling: Scaling, is_alone: bool
) -> None:
    """One large input moves the scale of all inputs of a tensor, and of its own row alone."""
    model = in_float8(plain, scaling).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        inputs = model.get_input_embeddings()(BLOCK)
        companion = inputs * 50
        alone = model(inputs_embeds=inputs).logits
        beside = model(inputs_embeds=torch.cat([inputs, companion])).logits[:1]
    assert alone.equal(beside) == is_alone


def test_any_number_of_tokens_is_padded(plain: LlamaForCausalLM) -> None:
    """The kernels take multiples of 16, and batches of fine-tuning are as long as their longest sample."""
    model = in_float8(plain, "tensorwise")
    configs = [module.config for module in model.modules() if type(module).__name__ == "Float8Linear"]
    assert all(config.pad_inner_dim for config in configs)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(input_ids=BLOCK[:, :13], labels=BLOCK[:, :13]).loss
    loss.backward()
    assert math.isfinite(float(loss.detach()))


def test_layers_without_such_maps_are_refused() -> None:
    model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=64, n_positions=32))
    with pytest.raises(CheckpointError, match=r"stage 'slm': `float8` has nothing to do"):
        use_float8(layers(model), "rowwise", "slm")
    assert not any(type(module).__name__ == "Float8Linear" for module in model.modules())


@pytest.mark.parametrize(("capability", "expected"), [((8, 0), False), ((8, 9), True), ((9, 0), True), ((10, 0), True)])
def test_which_gpus_multiply_float8(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert multiplies_float8() == expected
