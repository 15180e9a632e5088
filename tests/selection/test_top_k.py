from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rho1bench.recipe import Selection
from rho1bench.recipe.models.selection import num_to_keep
from rho1bench.selection.score_functions import ScoreFunction, ScoreInputs, register, score_function
from rho1bench.selection.selector import Selector, TokenInputs
from rho1bench.selection.top_k import Scope, num_selected, top_k

RATIOS = st.sampled_from([0.01, 0.1, 0.29, 0.3, 0.5, 0.6, 0.7, 0.95, 1.0]) | st.floats(0.001, 1.0)
SCOPES = st.sampled_from(["sequence", "micro_batch", "global"])
# Few distinct values, so that ties are the rule.
SCORES = st.sampled_from([-1.0, 0.0, 0.5, 2.0, float("inf"), float("-inf"), float("nan"), -3.4e38])


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    size = rows * columns
    scores = torch.tensor(draw(st.lists(SCORES, min_size=size, max_size=size))).view(rows, columns)
    eligible = torch.tensor(draw(st.lists(st.booleans(), min_size=size, max_size=size))).view(rows, columns)
    return scores, eligible


def expected_choice(scores: list[float], eligible: list[bool], ratio: float) -> set[int]:
    """The best by score, then by position; NaN and minus infinity last."""
    places = [place for place, good in enumerate(eligible) if good]
    lowest = torch.finfo(torch.float32).min
    keys = {place: max(scores[place], lowest) if scores[place] == scores[place] else lowest for place in places}
    ranked = sorted(places, key=lambda place: (-keys[place], place))
    return set(ranked[: num_to_keep(len(places), ratio)])


@settings(max_examples=300, deadline=None)
@given(batches(), RATIOS, SCOPES)
def test_exactly_the_best_are_chosen(batch: tuple[Tensor, Tensor], ratio: float, scope: Scope) -> None:
    scores, eligible = batch
    chosen = top_k(scores, eligible, ratio, scope)
    if scope == "sequence":
        groups = [(scores[row], eligible[row], chosen[row]) for row in range(len(scores))]
    else:
        groups = [(scores.flatten(), eligible.flatten(), chosen.flatten())]
    for group_scores, group_eligible, group_chosen in groups:
        expected = expected_choice(group_scores.tolist(), group_eligible.tolist(), ratio)
        assert set(group_chosen.nonzero().flatten().tolist()) == expected
    assert not (chosen & ~eligible).any()
    assert int(chosen.sum()) == num_selected(eligible, ratio, scope)
    if ratio == 1.0:
        assert torch.equal(chosen, eligible)


@given(st.integers(0, 10_000), st.integers(1, 100))
def test_count_is_the_floor_of_the_decimal_ratio(num: int, percent: int) -> None:
    kept = num_to_keep(num, percent / 100)
    assert kept == (max(1, int(Fraction(percent, 100) * num)) if num else 0)


def test_ratio_counts_as_written() -> None:
    assert num_to_keep(100, 0.29) == 29  # 0.29 * 100 is 28.999999999999996 in binary
    assert num_to_keep(3, 0.1) == 1


def test_ties_go_to_the_first_positions() -> None:
    chosen = top_k(torch.zeros(2, 5), torch.ones(2, 5, dtype=torch.bool), 0.4, "micro_batch")
    assert chosen.tolist() == [[True] * 4 + [False], [False] * 5]


def inputs(num: int = 6, seed: int = 0) -> ScoreInputs:
    generator = torch.Generator().manual_seed(1)
    tensors = {
        name: torch.rand(num, generator=generator) for name in ("losses", "reference.losses", "reference.entropies")
    }
    return ScoreInputs({**tensors, "token_positions": torch.arange(num)}, seed)


def test_scores_by_name() -> None:
    given_inputs = inputs()
    expected = {
        "excess_loss": given_inputs["losses"] - given_inputs["reference.losses"],
        "reference_loss": -given_inputs["reference.losses"],
        "reference_entropy": -given_inputs["reference.entropies"],
        "training_loss": given_inputs["losses"],
        "full": torch.ones(6),
    }
    for name, scores in expected.items():
        assert torch.equal(score_function(name).compute(given_inputs), scores), name
    with pytest.raises(ValueError, match=r"known: .*excess_loss"):
        score_function("nonsense")
    with pytest.raises(ValueError, match="registered already"):
        register(ScoreFunction("full", lambda given: given["token_positions"]))


def test_random_scores_are_uniform_and_depend_on_token_and_seed_only() -> None:
    scores = score_function("random").compute(inputs(100_000))
    assert 0.0 <= float(scores.min()) < 1e-3 < 0.999 < float(scores.max()) <= 1.0
    assert abs(float(scores.mean()) - 0.5) < 0.005
    assert abs(float(torch.corrcoef(torch.stack([scores[1:], scores[:-1]]))[0, 1])) < 0.02
    assert torch.equal(score_function("random").compute(inputs(10)), scores[:10])
    assert not torch.equal(score_function("random").compute(inputs(10, seed=1)), scores[:10])


def token_inputs(rows: int = 4, columns: int = 10) -> TokenInputs:
    return {
        "eligible": torch.ones(rows, columns, dtype=torch.bool),
        "reference.losses": torch.rand(rows, columns, generator=torch.Generator().manual_seed(0)),
    }


@pytest.mark.parametrize("scope", ["sequence", "micro_batch", "global"])
def test_the_divisor_is_known_before_the_choice(scope: Scope) -> None:
    selector = Selector(Selection(score="reference_loss", ratio=0.35, scope=scope, token_scores="scores"), 0)
    inputs = token_inputs()
    halves = [{"eligible": mask} for mask in inputs["eligible"].split(2)]
    scores = selector.scores(inputs)
    if scope == "global":
        chosen = [selector.select(scores, inputs)]
    else:
        chosen = [selector.select(part, half) for part, half in zip(scores.split(2), halves, strict=True)]
    assert selector.num_selected(halves) == sum(int(part.sum()) for part in chosen)


@pytest.mark.parametrize(
    "selection",
    [None, Selection(ratio=1.0, token_scores="scores"), Selection(score="full", ratio=0.3)],
)
def test_full_selection_needs_nothing(selection: Selection | None) -> None:
    selector = Selector(selection, 0)
    assert selector.is_full
    assert not selector.needs_losses
    assert not selector.needs
    inputs = token_inputs()
    assert torch.equal(selector.select(torch.zeros(4, 10), inputs), inputs["eligible"])
    assert selector.num_selected([inputs]) == 40
