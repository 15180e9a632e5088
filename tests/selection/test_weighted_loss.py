"""Losses that count more or less: against float64 autograd, and the same bits where every weight is 0 or 1."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rho1bench.errors import TrainingError
from rho1bench.modeling.chunked_logits import OutputHead
from rho1bench.recipe import Selection
from rho1bench.selection import score_functions
from rho1bench.selection.loss import summed_loss, token_losses_and_entropies, token_measures
from rho1bench.selection.score_functions import ScoreFunction
from rho1bench.selection.selective_lm import SelectiveLM
from rho1bench.selection.selector import Selector

EPSILON = float(torch.finfo(torch.float32).eps)
Case = tuple[Tensor, OutputHead, Tensor, Tensor]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Hidden states, head, targets and weights, some of them 0."""
    num, dim, vocab = draw(st.integers(1, 23)), draw(st.integers(1, 9)), draw(st.integers(2, 41))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    bias = torch.randn(vocab, generator=generator) if draw(st.booleans()) else None
    head = OutputHead(torch.randn(vocab, dim, generator=generator), bias, softcap=draw(st.sampled_from([None, 3.0])))
    weights = torch.rand(num, generator=generator) * draw(st.sampled_from([1.0, 40.0]))
    weights = weights.masked_fill(torch.rand(num, generator=generator) < 0.3, 0.0)
    return torch.randn(num, dim, generator=generator), head, torch.randint(vocab, (num,), generator=generator), weights


def gradients(case: Case, dtype: torch.dtype, chunk: int | None) -> list[Tensor]:
    """The weighted sum and the gradients of hidden states, weight and bias; ``chunk`` None: naive."""
    hidden, head, targets, weights = case
    given = [tensor for tensor in (hidden, head.weight_VD, head.bias_V) if tensor is not None]
    leaves = [tensor.to(dtype, copy=True).requires_grad_() for tensor in given]
    if chunk is None:
        logits = leaves[0] @ leaves[1].T + (leaves[2] if len(leaves) > 2 else 0.0)
        logits = logits if head.softcap is None else torch.tanh(logits / head.softcap) * head.softcap
        total = (torch.nn.functional.cross_entropy(logits, targets, reduction="none") * weights.to(dtype)).sum()
    else:
        live = OutputHead(leaves[1], leaves[2] if len(leaves) > 2 else None, softcap=head.softcap)
        total, _ = summed_loss(leaves[0], live, targets, chunk, row_weights_K=weights)
    total.backward()
    return [total.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@settings(max_examples=80, deadline=None)
@given(cases(), st.sampled_from([1, 5, 64]))
def test_weighted_sums_are_as_good_as_plain_float32(case: Case, chunk: int) -> None:
    truth, plain = gradients(case, torch.float64, None), gradients(case, torch.float32, None)
    ours = gradients(case, torch.float32, chunk)
    size = max(1.0, *(float(row.abs().max()) for tensor in (case[0], case[1].weight_VD) for row in tensor))
    rounding = 8 * EPSILON * size**2 * len(case[2]) * max(1.0, float(case[3].max()))
    for exact, naive, value in zip(truth, plain, ours, strict=True):
        allowed = float((naive - exact).abs().max()) + rounding + 3e-6 * float(exact.abs().max())
        assert float((value - exact).abs().max()) <= allowed
    assert not ours[1][case[3] == 0].any()


@settings(max_examples=30, deadline=None)
@given(cases())
def test_weights_of_one_change_no_bit(case: Case) -> None:
    hidden, head, targets, weights = case
    found = []
    for row_weights in (None, torch.ones_like(weights)):
        leaf, weight = hidden.clone().requires_grad_(), head.weight_VD.clone().requires_grad_()
        total, losses = summed_loss(leaf, weight, targets, 7, row_weights_K=row_weights)
        (total / 3).backward()
        assert leaf.grad is not None
        assert weight.grad is not None
        found.append([total.detach(), losses, leaf.grad, weight.grad])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@settings(max_examples=30, deadline=None)
@given(cases())
def test_entropies_come_with_the_losses_and_do_not_change_them(case: Case) -> None:
    hidden, head, targets, _ = case
    alone = token_measures(hidden, head, targets, 5)
    both = token_measures(hidden, head, targets, 5, with_entropies=True)
    assert alone.entropies_N is None
    assert both.entropies_N is not None
    assert torch.equal(alone.losses_N, both.losses_N)
    assert torch.equal(alone.lse_N, both.lse_N)
    torch.testing.assert_close(both.entropies_N, token_losses_and_entropies(hidden, head, targets)[1])


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replaces the numbers of probability_weight by those of a list that the test fills."""
    values: list[float] = []
    known = dict(score_functions._SCORE_FUNCTIONS)
    known["probability_weight"] = ScoreFunction(
        "probability_weight", lambda given: torch.tensor(values).view(given["losses"].shape), ("losses",), "weights"
    )
    monkeypatch.setattr(score_functions, "_SCORE_FUNCTIONS", known)
    return values


def module() -> SelectiveLM:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    lm = LlamaForCausalLM(LlamaConfig(**shape, vocab_size=50, max_position_embeddings=16))
    return SelectiveLM(lm, Selector(Selection(score="probability_weight"), 0))


def test_a_module_with_weights_is_the_plain_model_with_weighted_losses(made_up: list[float]) -> None:
    weighted = module()
    made_up[:] = [0.0, 2.0, 0.5, 0.0, 1.0, 3.0, 0.25, 9.0]
    ids = torch.randint(50, (2, 5), generator=torch.Generator().manual_seed(1))
    eligible = torch.tensor([[True] * 4, [True, True, True, False]])
    outputs = weighted(ids, {"eligible": eligible})
    outputs["loss_sum"].backward()
    found = {name: parameter.grad.clone() for name, parameter in weighted.lm.named_parameters()}
    assert outputs["selected"].tolist() == [[False, True, True, False], [True, True, True, False]]
    assert outputs["weights"].tolist() == [[0.0, 2.0, 0.5, 0.0], [1.0, 3.0, 0.25, 0.0]]
    weighted.lm.zero_grad()
    logits = weighted.lm(input_ids=ids).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    (losses * outputs["weights"]).sum().backward()
    torch.testing.assert_close(outputs["losses"][eligible], losses.detach()[eligible], atol=1e-5, rtol=1e-6)
    for name, parameter in weighted.lm.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("bad", [-0.5, float("nan"), float("inf")])
def test_weights_that_are_none_are_refused_with_the_rule(made_up: list[float], bad: float) -> None:
    made_up[:] = [1.0, bad, 1.0, 1.0]
    inputs = {"eligible": torch.ones(1, 4, dtype=torch.bool), "losses": torch.zeros(1, 4)}
    selector = Selector(Selection(score="probability_weight"), 0, total_steps=9)
    selector.step = 6
    with pytest.raises(TrainingError, match="step 7: the rule 'probability_weight' gives weights that are negative"):
        selector.scores(inputs)
    inputs["eligible"][0, 1] = False  # what has no target may be anything
    assert selector.scores(inputs).tolist() == [[1.0, 0.0, 1.0, 1.0]]
