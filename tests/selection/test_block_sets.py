"""Ranking within sets of blocks: the same choice in whatever order and number the blocks come."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from rho1bench.errors import RecipeError
from rho1bench.recipe import Selection
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.selection.selector import Selector
from rho1bench.selection.top_k import top_k

BLOCKS, TOKENS, RATIO = 6, 5, 0.4


def batch(order: list[int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Scores and inputs of six blocks; some tokens are not eligible, and some scores are equal."""
    generator = torch.Generator().manual_seed(0)
    scores_BS = torch.randint(8, (BLOCKS, TOKENS), generator=generator).float()
    eligible_BS = torch.rand(BLOCKS, TOKENS, generator=generator) < 0.8
    positions_BS = torch.arange(BLOCKS).unsqueeze(1) * (TOKENS + 1) + torch.arange(1, TOKENS + 1)
    rows = torch.tensor(order)
    return scores_BS[rows], {"eligible": eligible_BS[rows], "token_positions": positions_BS[rows]}


def selector(scope: Any) -> Selector:
    return Selector(Selection(score="training_loss", ratio=RATIO, scope=scope), seed=0)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 4])
def test_each_set_keeps_its_own_share(size: int) -> None:
    scores_BS, inputs = batch(list(range(BLOCKS)))
    chosen = selector({"blocks": size})
    selected_BS = chosen.select(scores_BS, inputs)
    sets = zip(scores_BS.split(size), inputs["eligible"].split(size), strict=True)
    expected_BS = torch.cat([top_k(scores, eligible, RATIO, "global") for scores, eligible in sets])
    assert torch.equal(selected_BS, expected_BS)
    assert chosen.num_selected([inputs]) == int(expected_BS.sum())
    halves = [{name: value[start : start + 3] for name, value in inputs.items()} for start in (0, 3)]
    assert chosen.num_selected(halves) == int(expected_BS.sum())


def test_the_order_in_which_blocks_come_changes_nothing() -> None:
    order = [4, 0, 3, 5, 1, 2]
    chosen = selector({"blocks": 2})
    straight_BS = chosen.select(*batch(list(range(BLOCKS))))
    assert torch.equal(chosen.select(*batch(order)), straight_BS[torch.tensor(order)])
    assert torch.equal(selector({"blocks": 1}).select(*batch(order)), selector("sequence").select(*batch(order)))
    assert torch.equal(selector({"blocks": 6}).select(*batch(order)), selector("global").select(*batch(order)))


def test_what_a_forward_pass_can_choose_for_itself() -> None:
    assert [selector({"blocks": 4}).fits_a_pass(blocks) for blocks in (2, 4, 6, 8)] == [False, True, False, True]
    assert not selector("global").fits_a_pass(8)
    assert selector("micro_batch").fits_a_pass(1)


def test_sets_divide_an_optimizer_step() -> None:
    sets = "stages.slm.selection.scope={blocks: 3}"
    with pytest.raises(RecipeError, match=r"selection\.scope\.blocks.*3 does not divide batch_size"):
        load_recipe("quickstart", [sets])
    with pytest.raises(ValidationError, match="blocks"):
        Selection.model_validate({"ratio": 0.5, "scope": {"blocks": 0}})
