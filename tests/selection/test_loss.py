"""The loss against a plain float64 version: ``|fast - truth| <= |plain float32 - truth| + tol``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rho1bench.modeling.chunked_logits import chunk_rows
from rho1bench.recipe import ModelConfig, Selection
from rho1bench.selection.loss import summed_loss, token_losses, token_losses_and_entropies
from rho1bench.selection.selective_lm import SelectiveLM
from rho1bench.selection.selector import Selector

# A few rounding errors of float32 on sums of this size.
TOL = 3e-6
EPSILON = float(torch.finfo(torch.float32).eps)


def naive(hidden: Tensor, weight: Tensor, targets: Tensor, selected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whole logits, automatic gradients; in the precision of its inputs."""
    hidden, weight = hidden.detach().requires_grad_(), weight.detach().requires_grad_()
    losses = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="none")
    total = losses[selected].sum()
    total.backward()
    assert hidden.grad is not None
    assert weight.grad is not None
    return total.detach(), hidden.grad, weight.grad


def fast(hidden: Tensor, weight: Tensor, targets: Tensor, selected: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    hidden, weight = hidden.detach().requires_grad_(), weight.detach().requires_grad_()
    index = selected.nonzero().squeeze(1)
    total, losses = summed_loss(hidden.index_select(0, index), weight, targets[index], rows)
    assert not losses.requires_grad
    total.backward()
    assert hidden.grad is not None
    assert weight.grad is not None
    return total.detach(), hidden.grad, weight.grad


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    num, dim, vocab = draw(st.integers(1, 37)), draw(st.integers(1, 17)), draw(st.integers(2, 61))
    scale = draw(st.sampled_from([0.01, 1.0, 8.0]))
    ratio = draw(st.sampled_from([0.0, 0.3, 0.6, 1.0]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    hidden = torch.randn(num, dim, generator=generator) * scale
    weight = torch.randn(vocab, dim, generator=generator)
    targets = torch.randint(vocab, (num,), generator=generator)
    selected = torch.rand(num, generator=generator) < ratio
    return hidden, weight, targets, selected, draw(st.sampled_from([1, 3, 16, 64]))


@settings(max_examples=200, deadline=None)
@given(cases())
def test_loss_and_gradients_are_as_good_as_plain_float32(case: tuple[Tensor, Tensor, Tensor, Tensor, int]) -> None:
    hidden, weight, targets, selected, rows = case
    truth = naive(hidden.double(), weight.double(), targets, selected)
    plain = naive(hidden, weight, targets, selected)
    ours = fast(hidden, weight, targets, selected, rows)
    # What float32 loses of a logit is the error of the probability it makes; the gradients multiply that by the inputs.
    largest = [float(tensor.abs().max()) for tensor in (hidden @ weight.T, hidden, weight)]
    rounding = EPSILON * max(1.0, largest[0]) * max(1.0, *largest[1:])
    for exact, naive32, value in zip(truth, plain, ours, strict=True):
        allowed = float((naive32 - exact).abs().max()) + rounding + TOL * max(1.0, float(exact.abs().max()))
        assert float((value - exact).abs().max()) <= allowed
    hidden_grad = ours[1]
    assert torch.equal(hidden_grad[~selected], torch.zeros_like(hidden_grad[~selected]))


@settings(max_examples=100, deadline=None)
@given(cases())
def test_losses_and_entropies_of_all_tokens(case: tuple[Tensor, Tensor, Tensor, Tensor, int]) -> None:
    hidden, weight, targets, _, rows = case
    log_probs = torch.log_softmax(hidden.double() @ weight.double().T, dim=1)
    losses = -log_probs.gather(1, targets.unsqueeze(1)).squeeze(1)
    entropies = -(log_probs.exp() * log_probs).sum(dim=1)
    scale = max(1.0, float((hidden @ weight.T).abs().max()))
    torch.testing.assert_close(token_losses(hidden, weight, targets, rows).double(), losses, atol=TOL * scale, rtol=0)
    both = token_losses_and_entropies(hidden, weight, targets, rows)
    torch.testing.assert_close(both[0].double(), losses, atol=TOL * scale, rtol=0)
    torch.testing.assert_close(both[1].double(), entropies, atol=TOL * scale, rtol=0)


def test_scaled_loss_scales_gradients() -> None:
    hidden, weight, targets = torch.randn(9, 4), torch.randn(7, 4), torch.randint(7, (9,))
    selected = torch.ones(9, dtype=torch.bool)
    _, grad_hidden, grad_weight = fast(hidden, weight, targets, selected, 4)
    hidden.requires_grad_()
    weight.requires_grad_()
    total, _ = summed_loss(hidden, weight, targets, 4)
    (total / 3).backward()
    assert hidden.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(hidden.grad, grad_hidden / 3)
    torch.testing.assert_close(weight.grad, grad_weight / 3)


def test_bfloat16_hidden_states_keep_float32_losses() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(50, 16, generator=generator).bfloat16().requires_grad_()
    weight = torch.randn(30, 16, generator=generator).requires_grad_()
    targets = torch.randint(30, (50,), generator=generator)
    total, losses = summed_loss(hidden, weight, targets, 16)
    total.backward()
    truth = torch.nn.functional.cross_entropy(hidden.double() @ weight.double().T, targets, reduction="none")
    assert losses.dtype == total.dtype == torch.float32
    torch.testing.assert_close(losses.double(), truth.detach(), atol=0.08, rtol=0.02)
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.bfloat16
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32


def test_logits_are_never_whole() -> None:
    vocab = 50_000
    assert chunk_rows(vocab, torch.device("cpu")) * vocab * 4 <= 2**26
    assert chunk_rows(1_000, torch.device("cpu")) >= 1_000


def tiny_lm(tie: bool) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = ModelConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=32
    )
    torch.manual_seed(0)
    fields = {**shape.model_dump(exclude={"rope_theta"}), "num_key_value_heads": 2, "tie_word_embeddings": tie}
    return LlamaForCausalLM(LlamaConfig(**fields, vocab_size=50))


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("score", ["excess_loss", "reference_loss", "training_loss", "random", "full"])
def test_module_equals_the_plain_model(score: Any, tie: bool) -> None:
    lm = tiny_lm(tie)
    selector = Selector(Selection(score=score, ratio=0.4, token_scores="scores"), 0)
    model = SelectiveLM(lm, selector)
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(50, (3, 12), generator=generator)
    reference = torch.rand(3, 11, generator=generator) * 4
    eligible = torch.rand(3, 11, generator=generator) < 0.8
    positions = torch.arange(33).view(3, 11)
    outputs = model(ids, {"eligible": eligible, "token_positions": positions, "reference.losses": reference})
    selected = outputs["selected"]
    outputs["loss_sum"].backward()
    grads = {name: parameter.grad.clone() for name, parameter in lm.named_parameters()}
    lm.zero_grad()
    logits = lm(input_ids=ids).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    losses[selected].sum().backward()
    torch.testing.assert_close(outputs["loss_sum"], losses[selected].sum(), atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(outputs["losses"][eligible], losses[eligible].detach(), atol=1e-5, rtol=1e-6)
    for name, parameter in lm.named_parameters():
        torch.testing.assert_close(grads[name], parameter.grad, atol=1e-5, rtol=1e-4)
    if score == "excess_loss":
        from rho1bench.selection.top_k import top_k

        expected = top_k(losses.detach() - reference, eligible, 0.4, "micro_batch")
        assert torch.equal(selected, expected)
    assert not (selected & ~eligible).any()


def test_a_token_that_cannot_come_adds_nothing_to_the_entropy() -> None:
    from rho1bench.modeling.chunked_logits import OutputHead
    from rho1bench.selection.loss import token_losses_and_entropies

    torch.manual_seed(0)
    hidden_ND, weight_VD, targets_N = torch.randn(5, 4), torch.randn(9, 4), torch.arange(5)
    bias_V = torch.zeros(9).index_fill(0, torch.tensor([7]), float("-inf"))
    with_it = token_losses_and_entropies(hidden_ND, OutputHead(weight_VD, bias_V), targets_N)
    without = token_losses_and_entropies(hidden_ND, weight_VD[[0, 1, 2, 3, 4, 5, 6, 8]], targets_N)
    for one, other in zip(with_it, without, strict=True):
        torch.testing.assert_close(one, other)
