"""Fairness: arms of one seed start from one model and read the same blocks in the same order, whatever their rule."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml
from matrix_recipe import RULES, SEEDS
from rich.console import Console
from world import MODEL, inputs, pretrain

from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.pipeline.runner import run_recipe
from rho1bench.recipe import PretrainStage, Recipe
from rho1bench.recipe.differences import differing_keys, keys_by_axis, labels_in, unfair_keys
from rho1bench.recipe.loading.load import load_recipe, shipped_recipes
from rho1bench.system.files import read_json
from rho1bench.training.datasets import block_order

STEPS = 3


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Three rules and two seeds from shared bases; every stage really runs."""
    stages = [
        *(stage for stage in inputs() if stage["name"] in ("tokens", "web")),
        pretrain("base", init=MODEL, max_steps=2, matrix=SEEDS),
        {"name": "scores", "kind": "score", "reference": "base-{seed}", "corpus": "web", "matrix": SEEDS},
        pretrain("arm", init="base-{seed}", max_steps=STEPS, matrix={"selection": RULES, **SEEDS}),
        pretrain("fresh", init=MODEL, max_steps=2, seed=0, selection=RULES["random"]),
    ]
    path = tmp_path_factory.mktemp("fair") / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "fair", "stages": stages}, sort_keys=False))
    return load_recipe(str(path))


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run_recipe(recipe, folder, console=Console(file=io.StringIO()))
    return folder / "stages"


def test_arms_differ_in_nothing_but_the_axis(recipe: Recipe) -> None:
    along_seeds = ["seed", "init", "selection.token_scores"]
    assert keys_by_axis(recipe, "arm") == {"selection": ["selection"], "seed": along_seeds}
    assert [unfair_keys(recipe, group) for group in ("arm", "base", "scores")] == [{}] * 3


@pytest.mark.parametrize(
    ("change", "unfair"),
    [
        ({"max_steps": 4}, {"selection": ["max_steps"], "seed": ["max_steps"]}),
        ({"init": "base-seed1"}, {"selection": ["init"]}),
        ({"seed": 5}, {"selection": ["seed"]}),
        ({"corpus": "other"}, {"selection": ["corpus"], "seed": ["corpus"]}),
    ],
)
def test_an_unfair_arm_is_found(recipe: Recipe, change: dict, unfair: dict) -> None:
    stages = [stage.model_copy(update=change) if stage.name == "arm-random-seed0" else stage for stage in recipe.stages]
    other = recipe.stage("web").model_copy(update={"name": "other"})
    assert unfair_keys(recipe.model_copy(update={"stages": [other, *stages]}), "arm") == unfair


def test_arms_of_a_seed_start_alike_and_read_alike(recipe: Recipe, run: Path) -> None:
    web, found = PackedCorpus(run / "web"), {}
    for stage in recipe.stages_of(PretrainStage):
        if labels := labels_in(stage, "arm"):
            training = read_json(run / stage.name / "training.json")
            start = training["initial_weights_sha256"], training["data_sha256"]
            found.setdefault(labels["seed"], []).append(start)
            assert training["tokens"] == stage.max_steps * stage.batch_size * web.block_size
    assert {seed: len(starts) for seed, starts in found.items()} == {"seed0": 3, "seed1": 3}
    assert [len(set(starts)) for starts in found.values()] == [1, 1]
    for place in (0, 1):
        assert found["seed0"][0][place] != found["seed1"][0][place]


def test_a_fresh_model_and_the_blocks_depend_on_the_seed_alone(run: Path) -> None:
    base, other, fresh = (read_json(run / name / "training.json") for name in ("base-seed0", "base-seed1", "fresh"))
    for key in ("initial_weights_sha256", "data_sha256"):
        assert base[key] == fresh[key] != other[key]
    web = PackedCorpus(run / "web")
    orders = [block_order(len(web), STEPS * 8, seed, web.fingerprint).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert base["data_sha256"] != read_json(run / "arm-full-seed0/training.json")["data_sha256"], "two steps, not three"


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_the_arms_of_shipped_recipes_differ_in_what_they_say(name: str) -> None:
    """SLM and CLM of every recipe: the selection, and what only measures."""
    recipe = load_recipe(name)
    for group in dict.fromkeys(stage.variant.group for stage in recipe.stages if stage.variant is not None):
        assert unfair_keys(recipe, group) == {}
    if recipe.has("slm") and recipe.has("clm"):
        assert set(differing_keys(recipe.stage("slm"), recipe.stage("clm"))) <= {"selection", "monitor"}
