"""The loss that keeps its logits against a plain float64 version, and the module against itself with kept logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rho1bench.modeling import logit_kernels
from rho1bench.modeling.chunked_logits import OutputHead
from rho1bench.modeling.logit_kernels import PLAIN, Kernels, fused_kernels
from rho1bench.recipe import Selection
from rho1bench.selection import kept_logits
from rho1bench.selection.kept_logits import KeptLogits, add_product, first_rows
from rho1bench.selection.loss import token_losses_and_entropies, token_measures
from rho1bench.selection.selective_lm import SelectiveLM
from rho1bench.selection.selector import Selector

EPSILON = float(torch.finfo(torch.float32).eps)
Case = tuple[Tensor, OutputHead, Tensor, Tensor]


def made(num: int, dim: int, vocab: int, seed: int, head: dict[str, Any], weighted: bool) -> Case:
    """Hidden states, head, targets and weights, some of them 0."""
    generator = torch.Generator().manual_seed(seed)
    fields = head | {"bias_V": torch.randn(vocab, generator=generator) if head.get("bias_V") else None}
    weights = torch.rand(num, generator=generator) * 40 if weighted else torch.ones(num)
    weights = weights.masked_fill(torch.rand(num, generator=generator) < 0.4, 0.0)
    made_head = OutputHead(torch.randn(vocab, dim, generator=generator), **fields)
    return torch.randn(num, dim, generator=generator), made_head, torch.randint(vocab, (num,)), weights


@st.composite
def cases(draw: st.DrawFn) -> Case:
    head = {
        "bias_V": draw(st.booleans()),
        "scale": draw(st.sampled_from([1.0, 0.25, 3.0])),
        "softcap": draw(st.sampled_from([None, 3.0])),
    }
    sizes = draw(st.integers(0, 23)), draw(st.integers(1, 9)), draw(st.integers(1, 41))
    return made(*sizes, draw(st.integers(0, 2**31)), head, draw(st.booleans()))


def leaves_of(case: Case, dtype: torch.dtype) -> list[Tensor]:
    given = [tensor for tensor in (case[0], case[1].weight_VD, case[1].bias_V) if tensor is not None]
    return [tensor.to(dtype, copy=True).requires_grad_() for tensor in given]


def naive(case: Case, dtype: torch.dtype) -> list[Tensor]:
    """Weighted sum, gradients, losses and entropies of whole logits."""
    _, head, targets, weights = case
    leaves = leaves_of(case, dtype)
    logits = (leaves[0] @ leaves[1].T + (leaves[2] if len(leaves) > 2 else 0.0)) * head.scale
    logits = logits if head.softcap is None else torch.tanh(logits / head.softcap) * head.softcap
    losses = nn.functional.cross_entropy(logits, targets, reduction="none")
    (total := (losses * weights.to(dtype)).sum()).backward()
    log_probs = torch.log_softmax(logits.detach(), dim=1)
    entropies = -(log_probs.exp() * log_probs).sum(dim=1)
    return [total.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None), losses.detach(), entropies]


def kept(case: Case, dtype: torch.dtype, kernels: Kernels = PLAIN, chunk: int = 5, **options: Any) -> list[Tensor]:
    """The same of kept logits, in chunks of rows."""
    _, head, targets, weights = case
    leaves = leaves_of(case, dtype)
    live = OutputHead(leaves[1], leaves[2] if len(leaves) > 2 else None, head.scale, head.softcap)
    logits = KeptLogits(leaves[0], live, targets, with_entropies=True, kernels_of=kernels, **options)
    logits.chunk_rows = chunk
    rows = first_rows(weights != 0, int((weights != 0).sum()) + 2)
    (total := logits.loss_sum(leaves[0], rows, weights[rows])).backward()
    assert logits.measures.entropies_N is not None
    grads = [leaf.grad for leaf in leaves if leaf.grad is not None]
    return [total.detach(), *grads, logits.measures.losses_N, logits.measures.entropies_N]


def check(case: Case, found: list[Tensor]) -> None:
    """``|found - truth| <= |plain float32 - truth| + rounding``, and no gradient for rows of weight 0."""
    truth, plain = naive(case, torch.float64), naive(case, torch.float32)
    size = max(1.0, *(float(row.abs().max()) for tensor in (case[0], case[1].weight_VD) for row in tensor))
    rounding = 8 * EPSILON * size**2 * max(1.0, case[1].scale) ** 2 * max(1, len(case[2])) * 40
    assert len(found) == len(truth)
    for exact, naive32, value in zip(truth, plain, found, strict=True):
        if exact.numel():
            allowed = float((naive32 - exact).abs().max()) + rounding + 3e-6 * float(exact.abs().max())
            assert float((value - exact).abs().max()) <= allowed
    assert not found[1][case[3] == 0].any()


@settings(max_examples=40, deadline=None)
@given(cases(), st.sampled_from([1, 5, 64]))
def test_kept_logits_are_as_good_as_plain_float32(case: Case, chunk: int) -> None:
    check(case, kept(case, torch.float32, chunk=chunk))


HEADS: list[dict[str, Any]] = [{}, {"bias_V": True, "scale": 0.25, "softcap": 3.0}]


@pytest.mark.sweep
@pytest.mark.parametrize("head", HEADS)
def test_kernels_of_torch_compile_are_as_good(head: dict[str, Any]) -> None:
    fused = fused_kernels("cpu", 41, torch.float32)
    assert fused is not None, "torch.compile needs a C++ compiler"
    for num in (7, 23, 64):
        case = made(num, 9, 41, num, head, weighted=True)
        check(case, kept(case, torch.float32, fused, chunk=6))


@pytest.mark.sweep
def test_compiled_kernels_read_products_of_bfloat16() -> None:
    fused = fused_kernels("cpu", 41, torch.bfloat16)
    assert fused is not None
    case = made(23, 9, 41, 1, {}, weighted=False)
    for one, other in zip(kept(case, torch.bfloat16, fused), kept(case, torch.bfloat16), strict=True):
        torch.testing.assert_close(one, other, atol=0.02, rtol=0.02)


def test_bfloat16_products_keep_float32_losses() -> None:
    case = made(50, 16, 30, 0, {}, weighted=False)
    exact, found = naive(case, torch.float64), kept(case, torch.bfloat16)
    assert [tensor.dtype for tensor in found] == [torch.float32, *[torch.bfloat16] * 2, *[torch.float32] * 2]
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one.double(), other, atol=0.15, rtol=0.03)


def test_the_mean_over_tokens_rounds_no_gradient_to_one_side() -> None:
    """1/152 is 0.2% larger in bfloat16, and in an untrained model nearly every row's target has that gradient."""
    hidden, head, targets, _ = made(152, 16, 4000, 2, {}, weighted=False)
    norms = []
    for dtype in (torch.bfloat16, torch.float64):
        leaf = (hidden * 0.02).bfloat16().to(dtype).requires_grad_()
        weight = head.weight_VD.bfloat16().to(dtype).requires_grad_()
        if dtype == torch.bfloat16:
            logits = KeptLogits(leaf, OutputHead(weight), targets)
            (logits.loss_sum(leaf, torch.arange(152), torch.ones(152)) / 152).backward()
        else:
            nn.functional.cross_entropy(leaf @ weight.T, targets).backward()
        norms.append([float(leaf.grad.double().norm()), float(weight.grad.double().norm())])
    assert norms[0] == pytest.approx(norms[1], rel=5e-4)


def test_where_torch_compile_fails_the_plain_kernels_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*given: object) -> object:
        raise RuntimeError("no compiler\nand so on")

    monkeypatch.setattr(torch, "compile", lambda function: failing)
    fused_kernels.cache_clear()
    assert fused_kernels("cpu", 3, torch.float32) is None
    assert "cannot fuse the selective loss on cpu (no compiler)" in caplog.text
    monkeypatch.setattr(torch, "compile", lambda function: lambda *given: function(*given[::-1]))
    fused_kernels.cache_clear()
    assert fused_kernels("cpu", 3, torch.float32) is None
    fused_kernels.cache_clear()


def test_chosen_rows_come_first_and_in_order() -> None:
    chosen = torch.tensor([False, True, False, True, True])
    assert first_rows(chosen, 3).tolist() == [1, 3, 4]
    assert first_rows(chosen, 4).tolist() == [1, 3, 4, 0]
    assert first_rows(chosen, 9).tolist() == [0, 1, 2, 3, 4]


def test_the_filter_leaves_out_what_no_row_is_worth() -> None:
    hidden, head, targets, weights = made(30, 8, 40, 3, {}, weighted=False)
    peaked = OutputHead(head.weight_VD * torch.where(torch.arange(40) < 30, 1.0, 0.0).unsqueeze(1), None, 4.0)
    case = hidden * 3, peaked, targets % 30, weights
    whole, bound = kept(case, torch.float32, chunk=64), 1e-6
    filtered = kept(case, torch.float32, chunk=64, filter_below=bound)
    assert torch.equal(whole[0], filtered[0])  # the loss itself is whole
    dropped = ~filtered[2].any(dim=1)
    assert 0 < int(dropped.sum()) <= 40
    # What is left out of a row is at most the bound for each vocabulary entry, times the weights it would meet.
    assert float((whole[1] - filtered[1]).abs().max()) <= bound * 40 * float(peaked.weight_VD.abs().max())
    assert float((whole[2] - filtered[2]).abs().max()) <= bound * 30 * float(case[0].abs().max())


def test_sums_of_products_fall_back_where_the_device_cannot_add_in_float32() -> None:
    total = torch.full((4, 3), 0.5)
    left, right = torch.ones(4, 2).bfloat16(), torch.ones(2, 3).bfloat16()
    assert not kept_logits.adds_in_float32("cpu", torch.bfloat16)
    add_product(total, left, right)
    assert torch.equal(total, torch.full((4, 3), 2.5))


def tiny(selection: Selection | None, kept_bytes: int, seed: int = 0) -> SelectiveLM:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    lm = LlamaForCausalLM(LlamaConfig(**shape, vocab_size=50, max_position_embeddings=32))
    return SelectiveLM(lm, Selector(selection, 0), kept_bytes)


def step(module: SelectiveLM, **given: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Outputs and gradients of one step."""
    generator = torch.Generator().manual_seed(3)
    ids, positions = torch.randint(50, (3, 12), generator=generator), torch.arange(33).view(3, 11)
    reference, eligible = torch.rand(3, 11, generator=generator) * 4, torch.rand(3, 11, generator=generator) < 0.8
    outputs = module(ids, {"eligible": eligible, "token_positions": positions, "reference.losses": reference}, **given)
    outputs["loss_sum"].backward()
    outputs["losses"] = outputs["losses"][eligible]
    return outputs, {name: weight.grad for name, weight in module.lm.named_parameters() if weight.grad is not None}


SELECTIONS = {
    "full": None,
    "excess": Selection(score="excess_loss", ratio=0.4, scope="micro_batch", token_scores="scores"),
    "sequence": Selection(score="training_loss", ratio=0.4, scope="sequence"),
    "random": Selection(score="random", ratio=0.6),
    "weights": Selection(score="soft_excess_loss", token_scores="scores"),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_module_that_keeps_its_logits_trains_alike(name: str) -> None:
    chunked, keeping = tiny(SELECTIONS[name], 0), tiny(SELECTIONS[name], 10**9)
    expected, grads = step(chunked)
    found, found_grads = step(keeping)
    assert torch.equal(found["selected"], expected["selected"])
    for key in expected.keys() - {"selected", "forward_rows"}:
        torch.testing.assert_close(found[key], expected[key], atol=1e-5, rtol=1e-5)
    assert found_grads.keys() == grads.keys()
    for key in grads:
        torch.testing.assert_close(found_grads[key], grads[key], atol=1e-5, rtol=1e-4)
    rows, rest = int(expected["losses"].numel()), int(expected["losses"].numel() - expected["selected"].sum())
    assert int(found["forward_rows"]) == rest
    assert int(expected["forward_rows"]) == (rows if name in {"excess", "sequence", "weights"} else rest)


def test_a_choice_made_before_is_kept_with_or_without_its_number() -> None:
    mask = torch.rand(3, 11, generator=torch.Generator().manual_seed(1)) < 0.5
    grads = [step(tiny(SELECTIONS["excess"], most), selected=mask, num_selected=number)[1]
             for most, number in ((0, None), (10**9, None), (10**9, int(mask.sum())))]  # fmt: skip
    for other in grads[1:]:
        for key, value in grads[0].items():
            torch.testing.assert_close(other[key], value, atol=1e-5, rtol=1e-4)


def test_a_bound_below_the_logits_keeps_none() -> None:
    module, calls = tiny(SELECTIONS["excess"], 3 * 11 * 50 * 4), []
    original = module._kept
    module._kept = lambda *given, **options: calls.append(original(*given, **options)) or calls[-1]  # type: ignore[method-assign, func-returns-value]
    step(module)
    module.kept_bytes = 3 * 11 * 50 * 4 - 1
    step(module)
    assert [one is not None for one in calls] == [True, False]


def test_how_many_are_kept_at_most_is_known_from_the_shape() -> None:
    eligible = torch.ones(3, 11, dtype=torch.bool)
    found = {name: Selector(selection, 0).most_selected(eligible) for name, selection in SELECTIONS.items()}
    assert found == {"full": 33, "excess": 13, "sequence": 12, "random": 19, "weights": 33}
    parts = [{"score": "training_loss", "ratio": 0.2}, {"score": "random", "ratio": 0.9}]
    assert Selector(Selection.model_validate({"all_of": parts}), 0).most_selected(eligible) == 6
    assert Selector(Selection.model_validate({"any_of": parts}), 0).most_selected(eligible) == 33
    sets = Selection.model_validate({"score": "training_loss", "ratio": 0.4, "scope": {"blocks": 2}})
    assert Selector(sets, 0).most_selected(eligible) == 16
    document = Selection(score="training_loss", ratio=0.4, scope="document")
    assert Selector(document, 0).most_selected(eligible) is None


def test_an_accelerator_s_measures_are_those_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of accelerators, on the CPU: chunk by chunk through the kernels."""
    from rho1bench.selection import loss

    hidden, head, targets, _ = made(23, 8, 40, 5, {"softcap": 3.0}, weighted=False)
    expected = token_measures(hidden, head, targets, with_entropies=True)
    for rows in (4, None):
        found = loss._measures_in_chunks(hidden, head, targets, rows, with_entropies=True)
        torch.testing.assert_close(found.losses_N, expected.losses_N)
        torch.testing.assert_close(found.lse_N, expected.lse_N)
        torch.testing.assert_close(found.entropies_N, token_losses_and_entropies(hidden, head, targets)[1])
    assert logit_kernels.kernels(torch.device("cpu"), 40, torch.float32) is PLAIN
