"""Every selection rule: its numbers by hand, its sign, and what all of them promise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from rule_cases import CASES, check, give, made_up

from rho1bench.recipe.models.built_in_rules import BUILT_IN
from rho1bench.selection.score_functions import ScoreFunction, score_function, score_function_names
from rho1bench.selection.top_k import top_k

NAMES = score_function_names()


def test_the_rules_are_those_of_the_field_each_with_a_case() -> None:
    assert set(NAMES) == set(BUILT_IN) == set(CASES)
    assert len(NAMES) == 19
    for name in NAMES:
        assert score_function(name).spec == BUILT_IN[name]
        assert BUILT_IN[name].source
        assert BUILT_IN[name].summary
        assert score_function(name).compute.__doc__


@pytest.mark.parametrize("name", NAMES)
def test_numbers_by_hand(name: str) -> None:
    for case in CASES[name]:
        check(score_function(name), case)


@pytest.mark.parametrize("name", NAMES)
def test_the_other_sign_is_told_by_the_numbers(name: str) -> None:
    rule = score_function(name)
    flipped = replace(rule, compute=lambda given: -rule.compute(given))
    for case in CASES[name]:
        with pytest.raises(AssertionError, match="not close"):
            check(flipped, case)


def conforms(rule: ScoreFunction) -> None:
    """What every rule promises, on tokens that differ by chance alone."""
    inputs = made_up(40, 30, 5, rule.inputs)
    found = give(rule, inputs)
    assert found.shape == inputs["losses"].shape
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert torch.equal(found, give(rule, inputs)), "the same twice"
    if rule.gives == "weights":
        assert (found >= 0).all()
        assert found.sum() > 0
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    shuffled = {name: values[order] for name, values in inputs.items()}
    torch.testing.assert_close(give(rule, shuffled), found[order], rtol=0, atol=0, msg="the order of blocks matters")
    halves = [
        give(rule, {name: values[part] for name, values in inputs.items()}) for part in (slice(16), slice(16, 40))
    ]
    torch.testing.assert_close(torch.cat(halves), found, rtol=0, atol=0, msg="the number of processes matters")
    places = torch.randperm(found.numel(), generator=torch.Generator().manual_seed(2))
    mixed = give(rule, {name: values.flatten()[places] for name, values in inputs.items()})
    torch.testing.assert_close(mixed, found.flatten()[places], rtol=0, atol=0, msg="the order of tokens matters")


@pytest.mark.parametrize("name", NAMES)
def test_what_every_rule_promises(name: str) -> None:
    conforms(score_function(name))


def unevenness(rule: ScoreFunction) -> float:
    """How far the share kept at one place of a block is from that of all places, in standard errors."""
    inputs = made_up(3000, 24, 7, rule.inputs)
    found = give(rule, inputs)
    kept = found if rule.gives == "weights" else top_k(found, torch.ones_like(found).bool(), 0.4, "global").float()
    error = kept.std() / len(kept) ** 0.5
    return float((kept.mean(dim=0) - kept.mean()).abs().max() / error) if error else 0.0


@pytest.mark.parametrize("name", NAMES)
def test_places_of_a_block_are_kept_alike_unless_the_rule_says_otherwise(name: str) -> None:
    rule = score_function(name)
    assert (unevenness(rule) < 5.0) == rule.even_over_positions


def test_rules_that_break_a_promise_are_caught() -> None:
    def rule(compute: object, **fields: object) -> ScoreFunction:
        return ScoreFunction("broken", compute, ("losses", "block_positions"), **fields)  # type: ignore[arg-type]

    broken = {
        "the number of processes": rule(lambda given: given["losses"] - given["losses"].max()),
        "the order of tokens": rule(lambda given: given["losses"].cumsum(dim=-1)),
    }
    for words, function in broken.items():
        with pytest.raises(AssertionError, match=words):
            conforms(function)
    with pytest.raises(AssertionError):
        conforms(rule(lambda given: given["losses"] - 5.0, gives="weights"))
    with pytest.raises(AssertionError):
        conforms(rule(lambda given: (given["losses"] - 1.0).sqrt()))
    assert unevenness(rule(lambda given: given["losses"] + given["block_positions"] / 24)) > 5.0


def test_documents_are_kept_whole_but_for_the_last() -> None:
    rule = score_function("document_excess_loss")
    inputs = made_up(6, 40, 3, rule.inputs)
    kept = top_k(give(rule, inputs), inputs["eligible"], 0.5, "global")
    assert int(kept.sum()) == int(inputs["eligible"].sum()) // 2
    cut = 0
    for number in inputs["document_ids"].unique():
        mine = inputs["eligible"] & (inputs["document_ids"] == number)
        cut += 0 < int(kept[mine].sum()) < int(mine.sum())
    assert cut <= 1


def test_a_draw_follows_the_softmax_of_excess_losses() -> None:
    rule = score_function("sampled_excess_loss")
    num = 20_000
    wins = [0, 0]
    inputs = {
        "losses": torch.tensor([1.0986123, 0.0]).repeat(num, 1),  # ln 3: three to one
        "reference.losses": torch.zeros(num, 2),
        "token_positions": torch.arange(2 * num).view(num, 2),
    }
    wins = top_k(give(rule, inputs), torch.ones(num, 2).bool(), 0.5, "sequence").sum(dim=0).tolist()
    assert wins[0] / num == pytest.approx(0.75, abs=0.012)
