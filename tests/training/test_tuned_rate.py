"""``optimizer.tuned_on``: the rate of the lowest validation loss is taken, and its mistakes are told."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from world import MODEL, inputs, pretrain

from rho1bench.errors import RecipeError, TrainingError
from rho1bench.pipeline.runner import run_recipe
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.system.files import read_json
from rho1bench.training.tuned_rate import last_validation_loss

RATES = [1e-5, 3e-3, 1e-3]


def recipe_file(folder: Path, **arm: object) -> str:
    """A recipe of three stages that try a rate each, and one that takes the best."""
    tune = pretrain(
        "tune", init=MODEL, seed=7, max_steps=4, validation="held_out", matrix={"optimizer.learning_rate": RATES}
    )
    fields = {"init": MODEL, "max_steps": 2, "optimizer": {"tuned_on": ["tune"]}, **arm}
    stages = [*(stage for stage in inputs() if stage["name"] != "clean"), tune, pretrain("arm", **fields)]
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "tuned", "stages": stages}, sort_keys=False))
    return str(path)


def test_the_rate_of_the_lowest_validation_loss_is_taken(tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(tmp_path))
    run_recipe(recipe, tmp_path / "run", console=Console(file=io.StringIO()))
    stages = tmp_path / "run" / "stages"
    losses = {stage.name: last_validation_loss(stages / stage.name) for stage in recipe.stages if "tune" in stage.name}
    best = min(losses, key=lambda name: losses[name])
    assert len(set(losses.values())) == 3
    taken = read_json(stages / "arm" / "training.json")["learning_rate"]
    assert taken == read_json(stages / best / "training.json")["learning_rate"] == 3e-3
    rates = [json.loads(line)["learning_rate"] for line in (stages / "arm" / "metrics.jsonl").read_text().splitlines()]
    assert max(rates) <= 3e-3
    assert max(rates) > 1e-3


def test_a_stage_without_validation_loss_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "validation_loss": null}\n')
    with pytest.raises(TrainingError, match="holds no validation loss to choose a learning rate by"):
        last_validation_loss(tmp_path)


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ({"optimizer": {}}, "missing learning_rate; expected a number, or tuned_on"),
        ({"optimizer": {"learning_rate": 1e-3, "tuned_on": ["tune"]}}, "give learning_rate or tuned_on, not both"),
        ({"seed": 7}, "'tune-lr1e-5' has the seed of this stage"),
        ({"optimizer": {"tuned_on": ["web"]}}, "optimizer.tuned_on.0"),
        ({"optimizer": {"tuned_on": ["tuen-*"]}}, "'tuen-*' matches no earlier stage"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, arm: dict[str, object], words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_file(tmp_path, **arm))
    assert words in str(caught.value)


def test_stages_that_try_no_rate_or_measure_nothing_are_told(tmp_path: Path) -> None:
    path = Path(recipe_file(tmp_path))
    data = yaml.safe_load(path.read_text())
    tune = next(stage for stage in data["stages"] if stage["name"] == "tune")
    del tune["validation"]
    again = pretrain("again", init=MODEL, seed=9, max_steps=2, optimizer={"tuned_on": ["arm"]})
    path.write_text(yaml.safe_dump({**data, "stages": [*data["stages"], again]}, sort_keys=False))
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    assert "'tune-lr1e-5' needs a `validation` corpus" in str(caught.value)
    assert "'arm' has no learning_rate of its own" in str(caught.value)
