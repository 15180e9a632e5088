"""``leaderboard add`` of a run with a matrix: a record of each variant with its seed, the recipe as it expands."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from fake_evaluations import SUITE, evaluated
from fake_records import with_hashes, write_results
from small_recipe import SMALL, stage

from rho1bench.leaderboard.pages.build import add_and_build, check_results, write_pages
from rho1bench.leaderboard.records.from_run import recipe_sha256
from rho1bench.pipeline.fingerprint import stage_fingerprint
from rho1bench.pipeline.manifest import Attempt
from rho1bench.recipe import PretrainStage, Recipe, references
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.sizing.flops import Work, flops_of
from rho1bench.sizing.shapes import ModelShape
from rho1bench.system.files import read_json, write_json, write_jsonl

ARMS = ["arm-full-seed1", "arm-full-seed2", "arm-random-seed1", "arm-random-seed2"]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    data = yaml.safe_load(SMALL.read_text())
    data["stages"] = [item for item in data["stages"] if item["name"] not in ("slm", "scores", "report")]
    rules = {"full": None, "random": {"score": "random", "ratio": 0.5}}
    stage(data, "clm").update(name="arm", num_checkpoints=0, matrix={"selection": rules, "seed": [1, 2]})
    stage(data, "eval")["evaluations"] = [{"checkpoints": ["arm"], "suites": [SUITE]}]
    stage(data, "eval")["max_model_len"] = 384
    stage(data, "base")["init"]["max_position_embeddings"] = 384
    stage(data, "compare")["pairs"] = [{"treatment": "arm", "baseline": {"selection": "full"}}]
    path = tmp_path / "matrix.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return load_recipe(str(path))


def shape_of(stage: PretrainStage, recipe: Recipe) -> ModelShape:
    shape = stage.shape(recipe)
    assert shape is not None
    return shape


def flops(stage: PretrainStage, recipe: Recipe, selected: int) -> float:
    tokens = stage.sizes(recipe).tokens
    assert tokens is not None
    return flops_of(shape_of(stage, recipe), 16, Work(tokens, selected))


@pytest.fixture
def run(recipe: Recipe, tmp_path: Path) -> Path:
    """A finished run: nothing was trained, but everything lies where a record is made from."""
    folder, known = tmp_path / "run", {}
    for one in recipe.stages:
        place = folder / "stages" / one.name
        place.mkdir(parents=True)
        if isinstance(one, PretrainStage):
            predicted = one.max_steps * one.batch_size * 15
            selected = predicted // 2 if one.selection else predicted
            facts = {
                "num_parameters": shape_of(one, recipe).num_parameters,
                "tokens": one.sizes(recipe).tokens,
                "selected_tokens": selected,
                "max_steps": one.max_steps,
                "cost": {"flops": flops(one, recipe, selected), "seconds": 1.0, "hardware": "cpu"},
            }
            write_json(place / "training.json", facts | {"init": one.init_stage or {}})
            write_jsonl(place / "metrics.jsonl", [{"step": one.max_steps}])
        for seed, label in enumerate(ARMS if one.kind == "eval" else ()):
            parameters = shape_of(recipe.stage(label, PretrainStage), recipe).num_parameters
            settings = {"max_model_len": 384, "seed": 3}
            evaluated(place, label, seed=seed, stage=label, num_parameters=parameters, engine_settings=settings)
        inputs = {name: known[name] for _, name, _ in references(one)}
        known[one.name] = stage_fingerprint(one, recipe.seed_of(one), inputs)
        Attempt(place, known[one.name]).finish(one.name, one.kind)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    write_json(folder / "summary.json", {})
    return folder


def test_every_variant_becomes_a_record_with_its_own_seed(recipe: Recipe, run: Path, tmp_path: Path) -> None:
    results = write_results(tmp_path / "results", [])
    write_pages(results)
    add_and_build(run, results)
    assert check_results(results) == []
    for arm, seed in zip(ARMS, (1, 2, 1, 2), strict=True):
        record = read_json(results / f"records/{SUITE}/small.{arm}.seed3.json")
        assert record["training"]["seed"] == seed
        assert record["model"]["name"] == f"small {arm}, seed {seed}"
        assert record["command"].endswith(f"{recipe_sha256(recipe)[:8]}.yaml --seed 3")
        baseline = record["comparison"] and record["comparison"]["baseline"]
        assert baseline == (f"{SUITE}/small.{arm.replace('random', 'full')}.seed3" if "random" in arm else None)
    (kept,) = (results / "recipes").iterdir()
    again = load_recipe(str(kept))
    assert again.model_copy(update={"seed": 3}) == recipe


def test_a_record_with_another_seed_than_its_stage_is_told(recipe: Recipe, run: Path, tmp_path: Path) -> None:
    results = write_results(tmp_path / "results", [])
    write_pages(results)
    add_and_build(run, results)
    path = results / f"records/{SUITE}/small.{ARMS[1]}.seed3.json"
    record = read_json(path)
    record["training"]["seed"] = 3
    write_json(path, with_hashes(record))
    assert any("training.seed is 3, its stage has 2" in problem for problem in check_results(results)), check_results(
        results
    )
