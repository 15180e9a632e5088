"""Selections in recipes: parameters of rules, schedules, named stores, and what a rule reads but the stage lacks."""

from __future__ import annotations

import pytest
from small_recipe import problems, stage

from rho1bench.recipe.loading.load import load_recipe

BASE = {"name": "base-scores", "kind": "score", "reference": "base", "corpus": "web"}


def select(data: dict, **selection: object) -> None:
    """Give the stage slm another selection, and the recipe the base model's scores."""
    data["stages"].insert([item["name"] for item in data["stages"]].index("slm"), BASE)
    stage(data, "slm")["selection"] = selection


BOTH = {"reference": "scores", "base": "base-scores"}
MISTAKES = {
    "an unknown parameter": (
        {"score": "soft_excess_loss", "token_scores": "scores", "parameters": {"temprature": 2.0}},
        ("stages.slm.selection.parameters.temprature: unknown key", "did you mean 'temperature'?", "shape"),
    ),
    "a parameter out of its range": (
        {"score": "soft_excess_loss", "token_scores": "scores", "parameters": {"temperature": 0}},
        ("stages.slm.selection.parameters.temperature: expected a number greater than 0, got 0",),
    ),
    "a parameter of another type": (
        {"score": "soft_excess_loss", "token_scores": "scores", "parameters": {"shape": "sigmod"}},
        ("selection.parameters.shape: expected one of sigmoid, softmax, got 'sigmod' (did you mean 'sigmoid'?)",),
    ),
    "a parameter of a rule without": (
        {"score": "excess_loss", "ratio": 0.5, "token_scores": "scores", "parameters": {"power": 1}},
        ("stages.slm.selection.parameters.power: unknown key 'power'",),
    ),
    "a parameter inside a combination": (
        {
            "all_of": [
                {"score": "sampled_excess_loss", "ratio": 0.5, "parameters": {"temperature": "hot"}},
                {"score": "random", "ratio": 0.5},
            ],
            "token_scores": "scores",
        },
        ("stages.slm.selection.all_of.0.parameters.temperature: expected a number greater than 0, got 'hot'",),
    ),
    "a ratio for weights": (
        {"score": "probability_weight", "ratio": 0.5},
        ("stages.slm.selection: the rule 'probability_weight' gives weights", "leave ratio out"),
    ),
    "weights in a combination": (
        {"any_of": [{"score": "probability_weight", "ratio": 0.5}, {"score": "random", "ratio": 0.5}]},
        ("stages.slm.selection: any_of joins rankings, and the rule 'probability_weight' gives weights",),
    ),
    "an unknown schedule": (
        {"score": "random", "ratio": {"schedule": "linaer", "start": 1.0, "end": 0.5}},
        ("ratio.schedule: expected one of constant, linear, full_then, got 'linaer' (did you mean 'linear'?)",),
    ),
    "a schedule without its end": (
        {"score": "random", "ratio": {"schedule": "linear", "start": 1.0}},
        ("stages.slm.selection.ratio: a linear schedule has end and start, got start",),
    ),
    "a store that is not given": (
        {"score": "base_excess_loss", "ratio": 0.5, "token_scores": "scores"},
        ("stages.slm.selection.token_scores: missing base", "reads base.losses", "{reference: scores, base: STAGE}"),
    ),
    "no earlier self": (
        {"score": "self_gain", "ratio": 0.5},
        ("stages.slm.selection.token_scores: missing earlier", "give moving_average"),
    ),
    "two earlier selves": (
        {"score": "self_gain", "ratio": 0.5, "moving_average": 0.9, "token_scores": {"earlier": "base-scores"}},
        ("stages.slm.selection: both moving_average and token_scores give 'earlier'",),
    ),
    "a store that is no stage": (
        {"score": "base_excess_loss", "ratio": 0.5, "token_scores": {"reference": "scores", "base": "base-score"}},
        ("stages.slm.selection.token_scores.base: there is no stage 'base-score'", "did you mean 'base-scores'?"),
    ),
    "a store of another kind": (
        {"score": "base_excess_loss", "ratio": 0.5, "token_scores": {"reference": "scores", "base": "base"}},
        ("stages.slm.selection.token_scores.base: the stage 'base' is of kind pretrain",),
    ),
    "a decay of one": (
        {"score": "self_gain", "ratio": 0.5, "moving_average": 1.0},
        ("stages.slm.selection.moving_average: expected a number greater than 0 and less than 1", "got 1.0"),
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_wrong_selection_is_told_at_its_place(recipe_file, case):
    selection, parts = MISTAKES[case]
    path = recipe_file(lambda data: select(data, **selection))
    message = problems(path)
    assert str(path) in message
    for part in parts:
        assert part in message
    assert message.count("\n") == 1, message  # nothing else is complained of


def test_weights_and_averages_where_they_mean_nothing(recipe_file):
    def edit(data):
        stage(data, "clm")["monitor"] = {"score": "entropy_weight", "moving_average": 0.9}
        stage(data, "slm").update(distributed={"strategy": "fsdp2"})
        stage(data, "slm")["selection"] = {"score": "self_gain", "ratio": 0.5, "moving_average": 0.9}

    message = problems(recipe_file(edit))
    assert "stages.clm.monitor.score: the rule 'entropy_weight' gives weights, and a monitor" in message
    assert "stages.clm.monitor.score: the rule 'entropy_weight' reads the model's entropies" in message
    assert "stages.clm.monitor.moving_average: a monitor keeps no weights" in message
    assert "stages.slm.selection.moving_average: a moving average is kept of whole weights" in message


def test_what_is_right_is_read_with_its_defaults(recipe_file):
    path = recipe_file(
        lambda data: select(data, score="document_excess_loss", ratio=0.5, token_scores=BOTH, moving_average=0.9)
    )
    selection = load_recipe(str(path)).stage("slm").selection
    assert selection.stores == BOTH
    assert not selection.keeps_average  # no rule reads it
    assert selection.fixed_ratio == 0.5
    ramp = load_recipe(str(recipe_file(lambda data: select(data, score="position_ramp")))).stage("slm").selection
    assert ramp.gives_weights
    assert ramp.fixed_ratio is None
    full = load_recipe(str(recipe_file(lambda data: select(data, score="full")))).stage("slm").selection
    assert full.fixed_ratio == 1.0
