"""Matrices: what a stage expands into, and how axes, ``--set``, heirs and smoke scale change it."""

from __future__ import annotations

import pytest
import yaml
from matrix_recipe import names
from small_recipe import SMALL, child, problems, stage

from rho1bench.recipe import CompareStage, PretrainStage, ScoreStage
from rho1bench.recipe.differences import unfair_keys
from rho1bench.recipe.loading.labels import label_of
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.recipe.smoke import smoke


def test_a_matrix_expands_into_every_combination_in_its_place(matrix):
    recipe = load_recipe(str(matrix()))
    assert [item.name for item in recipe.stages][:6] == [
        "tokenizer", "web", "base-seed0", "base-seed1", "scores-seed0", "scores-seed1",
    ]  # fmt: skip
    arms = names(recipe, "arm")
    assert len(arms) == 12
    assert arms[:2] == ["arm-full-lr1e-3-seed0", "arm-full-lr1e-3-seed1"]
    excess = recipe.stage("arm-excess-lr2e-3-seed1", PretrainStage)
    assert excess.variant is not None
    assert excess.variant.labels == {"selection": "excess", "optimizer.learning_rate": "lr2e-3", "seed": "seed1"}
    assert (excess.seed, excess.init, excess.optimizer.learning_rate) == (1, "base-seed1", 2e-3)
    assert excess.selection is not None
    assert excess.selection.token_scores == "scores-seed1"
    assert recipe.stage("arm-full-lr1e-3-seed0", PretrainStage).selection is None
    assert recipe.stage("scores-seed1", ScoreStage).reference == "base-seed1"
    assert recipe.seed_of(excess) == 1
    assert recipe.seed_of(recipe.stage("web")) == recipe.seed == 3


def test_axes_of_its_own_set_several_keys_or_choose_among_stages(matrix):
    def edit(data):
        web = stage(data, "web")
        web["matrix"] = {"noise": [0, 20]}
        web["sources"][0]["noise_share"] = 0.5
        data["stages"] = [web if item["name"] == "web" else item for item in data["stages"] if item["name"] != "scores"]
        stage(data, "base").update(corpus="web-noise0")
        stage(data, "arm").update(
            corpus="web-{noise}",
            matrix={"noise": ["noise0", "noise20"], "arm": {"short": {"max_steps": 10}, "long": {"max_steps": 30}}},
            init="base-seed0",
        )
        stage(data, "compare")["pairs"] = [{"treatment": "arm-*", "baseline": {"arm": "short"}}]
        stage(data, "report")["curves"] = []

    # `noise` chooses nothing in the corpus itself, so there it must be a key
    assert "stages.web.matrix.noise: unknown key 'noise'" in problems(matrix(edit))

    def right(data):
        edit(data)
        stage(data, "web")["matrix"] = {"sources.0.noise_share": {"noise0": 0.0, "noise20": 0.2}}

    recipe = load_recipe(str(matrix(right)))
    arms = {name: recipe.stage(name, PretrainStage) for name in names(recipe, "arm")}
    found = {name: (arm.corpus, arm.max_steps) for name, arm in arms.items()}
    assert found == {
        "arm-noise0-short": ("web-noise0", 10),
        "arm-noise0-long": ("web-noise0", 30),
        "arm-noise20-short": ("web-noise20", 10),
        "arm-noise20-long": ("web-noise20", 30),
    }
    assert [recipe.stage(f"web-noise{n}").sources[0].noise_share for n in (0, 20)] == [0.0, 0.2]


def test_an_axis_inside_what_stages_share_changes_no_other_place(tmp_path):
    text = SMALL.read_text().replace(
        "selection: {ratio: 0.6, token_scores: scores}",
        "selection: &s {ratio: 0.6, token_scores: scores}\n    monitor: *s\n    matrix: {selection.ratio: [0.3, 0.5]}",
    )
    text = text.replace("checkpoints: [clm, slm]", "checkpoints: [clm, slm]").replace(
        "curves: [clm, slm]", "curves: [slm]"
    )
    recipe = load_recipe(str(child(tmp_path, text)))
    for name, ratio in (("slm-ratio0p3", 0.3), ("slm-ratio0p5", 0.5)):
        found = recipe.stage(name, PretrainStage)
        assert (found.selection.ratio, found.monitor.ratio) == (ratio, 0.6)
    assert [pair.treatment for pair in recipe.stage("compare", CompareStage).pairs] == ["slm-ratio0p3", "slm-ratio0p5"]


def test_set_reaches_the_stage_before_it_expands_and_the_axes(matrix):
    path = str(matrix())
    recipe = load_recipe(
        path,
        [
            "stages.arm.max_steps=7",
            "stages.arm.matrix.optimizer.learning_rate=[5e-4]",
            "stages.arm.matrix.selection.excess.ratio=0.25",
            "stages.base.matrix.seed=[0, 1, 2]",
        ],
    )
    arms = [recipe.stage(name, PretrainStage) for name in names(recipe, "arm")]
    assert len(arms) == 6
    assert {arm.max_steps for arm in arms} == {7}
    assert {arm.optimizer.learning_rate for arm in arms} == {5e-4}
    assert recipe.stage("arm-excess-lr5e-4-seed0", PretrainStage).selection.ratio == 0.25
    assert len(names(recipe, "base")) == 3
    message = problems(path, "stages.arm-full-lr1e-3-seed0.max_steps=3")
    assert "the variants of the matrix 'arm' cannot be set one by one; set stages.arm.KEY" in message


def test_an_heir_changes_adds_and_takes_away_axes(tmp_path, matrix):
    heir = {
        "name": "heir",
        "extends": str(matrix()),
        "stages": [
            {"name": "arm", "matrix": {"optimizer.learning_rate": None, "selection": {"random": {"ratio": 0.3}}}}
        ],
    }
    recipe = load_recipe(str(child(tmp_path, yaml.safe_dump(heir))))
    assert len(names(recipe, "arm")) == 6
    assert recipe.stage("arm-random-seed1", PretrainStage).selection.ratio == 0.3


def test_an_expanded_recipe_loads_again_as_itself(tmp_path, matrix):
    recipe = load_recipe(str(matrix()))
    again = child(tmp_path, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    assert load_recipe(str(again)) == recipe


def test_a_matrix_at_smoke_scale_keeps_its_variants(matrix):
    recipe = load_recipe(str(matrix()))
    small = smoke(recipe)
    assert [item.name for item in small.stages] == [item.name for item in recipe.stages]
    assert [(item.seed, item.variant) for item in small.stages] == [(item.seed, item.variant) for item in recipe.stages]
    assert {stage.max_steps for stage in small.stages_of(PretrainStage)} == {2}
    assert unfair_keys(small, "arm") == {}


def test_references_of_long_variants_do_not_share_a_name_at_smoke_scale(matrix):
    def edit(data):
        model = {"pretrained": "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T", "revision": None}
        stage(data, "tokenizer").update(pretrained=model["pretrained"], sources=[], vocab_size=None)
        stage(data, "base").update(init=model)
        scores = stage(data, "scores")
        scores.update(
            reference=model, matrix={"seed": {f"a-long-word-for-the-seed-that-is-in-fact-{n}": n for n in (0, 1)}}
        )
        stage(data, "arm")["matrix"]["selection"].pop("excess")
        stage(data, "compare")["pairs"] = [{"treatment": "arm", "baseline": {"selection": "full"}}]

    small = smoke(load_recipe(str(matrix(edit))))
    made = [item.name for item in small.stages if item.name.endswith("-reference")]
    assert len(set(made)) == len(made) == 2


@pytest.mark.parametrize(
    ("axis", "value", "label"),
    [
        ("optimizer.learning_rate", 2e-3, "lr2e-3"),
        ("optimizer.learning_rate", 1.5e-4, "lr1p5e-4"),
        ("selection.ratio", 0.42, "ratio0p42"),
        ("selection.ratio", 1.0, "ratio1"),
        ("seed", 0, "seed0"),
        ("max_steps", 1700, "steps1700"),
        ("num_tokens", 14_000_000, "num_tokens14000000"),
        ("optimizer.beta1", 0.05, "beta15e-2"),
        ("x", -2, "xm2"),
        ("x", -0.5, "xm0p5"),
        ("x", 0.0, "x0"),
        ("x", 2.5e7, "x2p5e7"),
        ("compile", True, "compile-on"),
        ("compile", False, "compile-off"),
        ("validation", None, "validation-none"),
        ("corpus", "Web Text", "web-text"),
        ("selection", {"ratio": 1}, None),
    ],
)
def test_labels_are_short_and_unambiguous(axis, value, label):
    assert label_of(axis, value) == label
