"""The selective loss on heads that are more than one matrix, and under autocast, torch.compile and checkpointing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rho1bench.errors import CheckpointError
from rho1bench.modeling.chunked_logits import OutputHead
from rho1bench.recipe import Selection
from rho1bench.selection.loss import summed_loss, token_losses, token_losses_and_entropies, token_measures
from rho1bench.selection.selective_lm import SelectiveLM
from rho1bench.selection.selector import Selector

EPSILON = float(torch.finfo(torch.float32).eps)


def logits(head: OutputHead, hidden: Tensor) -> Tensor:
    found = hidden @ head.weight_VD.T
    if head.bias_V is not None:
        found = found + head.bias_V
    found = found * head.scale
    return found if head.softcap is None else torch.tanh(found / head.softcap) * head.softcap


def gradients(case: tuple[Tensor, OutputHead, Tensor], dtype: torch.dtype, chunk: int | None) -> list[Tensor]:
    """Losses of the rows, summed loss, gradients of hidden states, weight and bias; ``chunk`` None: naive."""
    hidden, head, targets = case
    given = [tensor for tensor in (hidden, head.weight_VD, head.bias_V) if tensor is not None]
    leaves = [tensor.to(dtype, copy=True).requires_grad_() for tensor in given]
    live = OutputHead(leaves[1], leaves[2] if len(leaves) > 2 else None, head.scale, head.softcap)
    if chunk is None:
        losses = torch.nn.functional.cross_entropy(logits(live, leaves[0]), targets, reduction="none")
        total = losses.sum()
    else:
        lse = token_measures(leaves[0].detach(), live, targets, chunk).lse_N
        total, losses = summed_loss(leaves[0], live, targets, chunk, lse_K=lse)
    total.backward()
    return [losses.detach(), total.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, OutputHead, Tensor]:
    num, dim, vocab = draw(st.integers(0, 23)), draw(st.integers(1, 9)), draw(st.integers(1, 41))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    bias = torch.randn(vocab, generator=generator) if draw(st.booleans()) else None
    scale, cap = draw(st.sampled_from([1.0, 0.0625, 3.0])), draw(st.sampled_from([None, 2.0, 30.0]))
    head = OutputHead(torch.randn(vocab, dim, generator=generator), bias, scale, cap)
    return torch.randn(num, dim, generator=generator), head, torch.randint(vocab, (num,), generator=generator)


@settings(max_examples=100, deadline=None)
@given(cases(), st.sampled_from([1, 5, 64]))
def test_every_head_is_as_good_as_plain_float32(case: tuple[Tensor, OutputHead, Tensor], chunk: int) -> None:
    truth, plain = gradients(case, torch.float64, None), gradients(case, torch.float32, None)
    ours = gradients(case, torch.float32, chunk)
    size = max(1.0, *(float(row.abs().max()) for tensor in (case[0], case[1].weight_VD) for row in tensor))
    rounding = 8 * EPSILON * size**2 * max(1.0, case[1].scale) ** 2 * max(1, len(case[2]))
    for exact, naive, value in zip(truth, plain, ours, strict=True):
        if exact.numel():
            allowed = float((naive - exact).abs().max()) + rounding + 3e-6 * float(exact.abs().max())
            assert float((value - exact).abs().max()) <= allowed
    hidden, head, targets = case
    log_probs = torch.log_softmax(logits(head, hidden).double(), dim=1)
    entropies = token_losses_and_entropies(hidden, head, targets, chunk)[1]
    torch.testing.assert_close(entropies.double(), -(log_probs.exp() * log_probs).sum(dim=1), atol=1e-4, rtol=1e-5)


def model(kind: str, **fields: Any) -> Any:
    import transformers

    shape = {
        "vocab_size": 60, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 32, "pad_token_id": 0,
    }  # fmt: skip
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**shape, **fields})
    lm = getattr(transformers, f"{kind}ForCausalLM")(config)
    with torch.no_grad():
        lm.get_output_embeddings().weight.mul_(20.0)  # large enough that a soft cap and a scale show
        if (bias := getattr(lm.get_output_embeddings(), "bias", None)) is not None:
            bias.normal_()
    return lm


def step(module: Any, lm: Any) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Return ids, outputs and gradients of one step at 40% by training loss."""
    ids = torch.randint(60, (3, 12), generator=torch.Generator().manual_seed(3))
    lm.zero_grad()
    outputs = module(ids, {"eligible": torch.ones(3, 11, dtype=torch.bool)})
    outputs["loss_sum"].backward()
    return (
        ids,
        outputs,
        {name: weight.grad.clone() for name, weight in lm.named_parameters() if weight.grad is not None},
    )


def selective(lm: Any) -> SelectiveLM:
    return SelectiveLM(lm, Selector(Selection(score="training_loss", ratio=0.4), 0))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("Gemma2", {"final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8, "sliding_window": 8}),
        ("Granite", {"logits_scaling": 4.0}),
        ("Cohere", {"logit_scale": 0.25}),
        ("Phi", {}),  # its head has a bias
        ("Qwen2", {"tie_word_embeddings": False}),
    ],
)
def test_models_with_other_heads_equal_themselves(kind: str, fields: dict[str, Any]) -> None:
    lm = model(kind, **fields).eval()
    ids, outputs, grads = step(selective(lm).eval(), lm)
    lm.zero_grad()
    plain = lm(input_ids=ids).logits[:, :-1].float()
    losses = torch.nn.functional.cross_entropy(plain.transpose(1, 2), ids[:, 1:], reduction="none")
    losses[outputs["selected"]].sum().backward()
    torch.testing.assert_close(outputs["losses"], losses.detach(), atol=1e-4, rtol=1e-4)
    for name, parameter in lm.named_parameters():
        torch.testing.assert_close(grads[name], parameter.grad, atol=2e-4, rtol=1e-3)


def test_a_model_that_changes_its_logits_in_another_way_is_refused() -> None:
    lm = model("Qwen2")
    plain = lm.forward
    lm.forward = lambda **inputs: shifted(plain(**inputs))
    with pytest.raises(CheckpointError, match="its logits are not those of its output embedding"):
        step(selective(lm), lm)


def shifted(outputs: Any) -> Any:
    outputs.logits = outputs.logits * 1.5
    return outputs


def checkpointed(lm: Any) -> Any:
    lm.gradient_checkpointing_enable({"use_reentrant": False})
    return selective(lm)


def compiled(lm: Any) -> Any:
    return torch.compile(selective(lm), backend="aot_eager")


@pytest.mark.parametrize("changed", [checkpointed, pytest.param(compiled, marks=pytest.mark.sweep)])
def test_checkpointing_and_compiling_change_nothing(changed: Callable[[Any], Any]) -> None:
    lm = model("Llama").train()
    _, expected, grads = step(selective(lm), lm)
    _, found, found_grads = step(changed(lm), lm)
    assert torch.equal(found["selected"], expected["selected"])
    torch.testing.assert_close(found["loss_sum"], expected["loss_sum"])
    for name in grads:
        torch.testing.assert_close(found_grads[name], grads[name], atol=1e-5, rtol=1e-4)


def test_autocast_multiplies_in_bfloat16_and_sums_in_float32() -> None:
    lm = model("Llama").eval()
    _, exact, grads = step(selective(lm), lm)
    with torch.autocast("cpu", torch.bfloat16):
        _, outputs, found = step(selective(lm), lm)
    assert outputs["losses"].dtype == outputs["loss_sum"].dtype == torch.float32
    assert {gradient.dtype for gradient in found.values()} == {torch.float32}
    torch.testing.assert_close(outputs["losses"], exact["losses"], atol=0.2, rtol=0.05)
    error = (found["lm_head.weight"] - grads["lm_head.weight"]).norm() / grads["lm_head.weight"].norm()
    assert float(error) < 0.2


def test_gradients_go_backward_once() -> None:
    hidden = torch.randn(4, 3).requires_grad_()
    total, _ = summed_loss(hidden, torch.randn(5, 3), torch.arange(4))
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="backward only once"):
        total.backward()
    assert token_losses(hidden.detach()[:0], torch.randn(5, 3), torch.arange(0)).shape == (0,)
