"""Intersection and union of selections (table 4), and properties of every rule that ranks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rule_cases import made_up
from torch import Tensor

from rho1bench.recipe import Selection
from rho1bench.recipe.models.selection import num_to_keep
from rho1bench.selection.score_functions import score_function, score_function_names
from rho1bench.selection.selector import Selector, TokenInputs

RANKING = [name for name in score_function_names() if score_function(name).gives == "scores"]
READ = tuple(sorted({read for name in RANKING for read in score_function(name).inputs}))
STORES = {"reference": "scores", "base": "base_scores", "earlier": "snapshot"}
RATIOS = st.sampled_from([0.1, 0.29, 0.5, 0.7, 0.9, 1.0])
SCOPES = st.sampled_from(["sequence", "micro_batch", "global", "document"])


def tokens(rows: int, columns: int, seed: int) -> TokenInputs:
    return made_up(rows, columns, seed, READ)


def chosen(selection: dict[str, Any], inputs: TokenInputs) -> Tensor:
    selector = Selector(Selection.model_validate({**selection, "token_scores": STORES}), 0)
    return inputs["eligible"] if selector.is_full else selector.select(selector.scores(inputs), inputs)


@pytest.mark.parametrize("name", RANKING)
@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 4), columns=st.integers(1, 12), seed=st.integers(0, 9999), ratio=RATIOS, scope=SCOPES)
def test_every_score_keeps_its_exact_share_of_eligible_tokens(
    name: str, rows: int, columns: int, seed: int, ratio: float, scope: str
) -> None:
    inputs = tokens(rows, columns, seed)
    kept = chosen({"score": name, "ratio": ratio, "scope": scope}, inputs)
    assert not (kept & ~inputs["eligible"]).any()
    groups = {"sequence": list(range(rows)), "document": inputs["document_ids"]}.get(scope, [0] * rows)
    numbers = torch.as_tensor(groups).view(rows, -1).expand(rows, columns)
    share = 1.0 if name == "full" else ratio
    for number in numbers.unique():
        mine = inputs["eligible"] & (numbers == number)
        assert int((kept & mine).sum()) == num_to_keep(int(mine.sum()), share)
    assert torch.equal(kept, chosen({"score": name, "ratio": ratio, "scope": scope}, inputs))


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.tuples(st.sampled_from(RANKING), RATIOS), min_size=2, max_size=3),
    seed=st.integers(0, 9999),
    scope=SCOPES,
)
def test_combinations_are_those_of_the_parts(parts: list[tuple[str, float]], seed: int, scope: str) -> None:
    inputs = tokens(3, 11, seed)
    alone = [chosen({"score": name, "ratio": ratio, "scope": scope}, inputs) for name, ratio in parts]
    listed = [{"score": name, "ratio": ratio} for name, ratio in parts]
    assert torch.equal(chosen({"all_of": listed, "scope": scope}, inputs), torch.stack(alone).all(dim=0))
    assert torch.equal(chosen({"any_of": listed, "scope": scope}, inputs), torch.stack(alone).any(dim=0))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "missing ratio"),
        ({"ratio": 0.5, "all_of": [{"score": "random", "ratio": 0.5}] * 2}, "one of ratio, all_of and any_of"),
        ({"score": "random", "any_of": [{"score": "random", "ratio": 0.5}] * 2}, "leave score out"),
        ({"all_of": [{"score": "random", "ratio": 0.5}]}, "at least 2"),
        ({"all_of": [{"score": "randm", "ratio": 0.5}] * 2}, "did you mean 'random'"),
    ],
)
def test_a_selection_is_one_score_or_one_combination(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Selection.model_validate(fields)


def test_the_count_of_a_combination_is_not_known_before_the_choice() -> None:
    both = {"all_of": [{"score": "reference_loss", "ratio": 0.7}, {"score": "reference_entropy", "ratio": 0.7}]}
    selector = Selector(Selection.model_validate(both), 0)
    assert not selector.is_count_known
    assert not selector.needs_losses
    assert selector.needs == {"reference.losses", "reference.entropies"}
    inputs = tokens(4, 20, 0)
    assert selector.threshold(selector.scores(inputs), inputs["eligible"]) is None
    both["all_of"][1]["ratio"] = 1.0
    assert Selector(Selection.model_validate(both), 0).is_count_known
