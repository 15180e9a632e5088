"""Recipes: ``--set`` and ``--seed``; no value ends in anything but a recipe or a word about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from small_recipe import SMALL, child, problems, stage

from rho1bench.errors import RecipeError
from rho1bench.recipe import Recipe
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.recipe.loading.yaml_text import parse_yaml
from rho1bench.recipe.models.corpus import named_files


def test_set_reaches_stages_by_name_and_lists_by_number():
    recipe = load_recipe(
        str(SMALL),
        [
            "stages.slm.selection.ratio=0.4",
            "stages.eval.evaluations.0.limit=5",
            "description=other words",
            "stages.clm.monitor={ratio: 0.5, token_scores: scores}",
            "stages.slm.optimizer.learning_rate=2e-4",
        ],
    )
    assert recipe.stage("slm").selection.ratio == 0.4
    assert recipe.stage("slm").optimizer.learning_rate == 2e-4
    assert recipe.stage("eval").evaluations[0].limit == 5
    assert recipe.description == "other words"
    assert recipe.stage("clm").monitor.ratio == 0.5


def test_set_changes_one_place_of_a_shared_anchor(tmp_path):
    text = SMALL.read_text().replace("optimizer: {", "optimizer: &o {", 1)
    text = text.replace("optimizer: {learning_rate: 1e-3}", "optimizer: *o")
    recipe = load_recipe(str(child(tmp_path, text)), ["stages.slm.optimizer.learning_rate=5"])
    assert recipe.stage("slm").optimizer.learning_rate == 5
    assert recipe.stage("clm").optimizer.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("stages.slm.selection.rato=1", "--set stages.slm.selection.rato=1: stages.slm.selection.rato: unknown key"),
        ("stages.slm.selection.ratio=2", "--set stages.slm.selection.ratio=2: stages.slm.selection.ratio: expected"),
        ("stages.eval.evaluations.7.limit=1", "expected a number from 0 to 0, got '7'"),
        ("stages.slm.selection.ratio", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("stages..x=3", "expected KEY=VALUE"),
        ("name=[", "the value is not YAML"),
        ("stages.slm=3", "expected a mapping with 'name' and 'kind'"),
    ],
)
def test_a_wrong_override_is_told(override, part):
    assert part in problems(SMALL, override)


def test_a_value_nested_without_end_is_told():
    assert "the value is not YAML: nested too deeply" in problems(SMALL, "seed=" + "[" * 3000)


def test_seed_replaces_seed_and_seeds(recipe_file):
    path = recipe_file(lambda data: data.update(seeds=[1, 2]))
    assert load_recipe(str(path)).seeds == [1, 2]
    recipe = load_recipe(str(path), seed=9)
    assert (recipe.seed, recipe.seeds) == (9, [])
    with pytest.raises(RecipeError, match="--seed: seed: expected a whole number at least 0"):
        load_recipe(str(path), seed=-4)


def test_local_files_are_found_beside_the_recipe_that_names_them(tmp_path, recipe_file, monkeypatch):
    (tmp_path / "data.jsonl").write_text('{"text": "a"}\n')
    path = recipe_file(lambda data: stage(data, "web").update(sources=[{"type": "local", "path": "data.jsonl"}]))
    (tmp_path / "sub").mkdir()
    heir = child(tmp_path, "extends: ../recipe.yaml\nname: heir\n", "sub/heir.yaml")
    monkeypatch.chdir("/")
    for each in (path, heir):
        assert Path(load_recipe(str(each)).stage("web").sources[0].path).samefile(tmp_path / "data.jsonl")
    for place in (".", "*.jsonl", str(tmp_path)):
        local = [{"type": "local", "path": place}, {"type": "hub", "dataset": "sub"}, {"type": "hub", "dataset": "a/b"}]
        path = recipe_file(lambda data, local=local: stage(data, "web").update(sources=local))
        found, folder, hub = load_recipe(str(path)).stage("web").sources
        assert named_files(found.path) == [tmp_path / "data.jsonl"]
        assert (folder.dataset, hub.dataset) == (str(tmp_path / "sub"), "a/b")
    for place in ("sub", "*.parquet", "none.jsonl"):
        path = recipe_file(lambda data, p=place: stage(data, "web").update(sources=[{"type": "local", "path": p}]))
        with pytest.raises(RecipeError, match=rf"{re.escape(place)}' does not exist"):
            load_recipe(str(path))


@settings(max_examples=40)
@given(ratio=st.floats(min_value=1e-300, max_value=1.0), steps=st.integers(3, 10**10))
def test_numbers_survive_set_to_the_last_bit(ratio, steps):
    recipe = load_recipe(str(SMALL), [f"stages.slm.selection.ratio={ratio!r}", f"stages.slm.max_steps={steps}"])
    assert recipe.stage("slm").selection.ratio == ratio
    assert recipe.stage("slm").max_steps == steps


@settings(max_examples=40)
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40))
def test_text_survives_set_when_written_as_yaml(text):
    written = yaml.safe_dump(text, allow_unicode=False, default_style='"', width=10**6).strip()
    assert load_recipe(str(SMALL), [f"description={written}"]).description == text


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_every_way_to_write_a_float_is_a_float(value):
    assert parse_yaml(repr(value)) == value
    assert parse_yaml(f"{value:e}") == float(f"{value:e}")


@settings(max_examples=40)
@given(override=st.text(max_size=60))
def test_no_override_ends_in_anything_but_a_recipe_error(override):
    try:
        load_recipe(str(SMALL), [override])
    except RecipeError as error:
        assert "--set" in str(error)  # noqa: PT017 - it need not raise


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
STAGE_KEYS = ("web.sources", "base.init", "slm.selection", "slm.init", "slm.corpus", "slm.kind", "eval.evaluations")
KEYS = st.sampled_from(["seed", "seeds", "stages", *(f"stages.{key}" for key in STAGE_KEYS)])


@settings(max_examples=40)
@given(key=KEYS, value=JSON)
def test_no_value_ends_in_anything_but_a_recipe_or_a_recipe_error(key, value):
    written = yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
    try:
        assert isinstance(load_recipe(str(SMALL), [f"{key}={written}"]), Recipe)
    except RecipeError as error:
        assert "problem" in str(error)  # noqa: PT017 - it need not raise


def test_a_resolved_recipe_loads_again_as_itself(tmp_path):
    recipe = load_recipe(str(SMALL), ["stages.slm.selection.ratio=0.3"])
    path = child(tmp_path, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    assert load_recipe(str(path)) == recipe


# --- patterns


def test_set_reaches_every_stage_that_a_pattern_names_and_that_has_a_place():
    settings = ["stages.*.max_steps=7", "stages.?lm.num_checkpoints=1", "stages.*.selection.ratio=0.4"]
    recipe = load_recipe(str(SMALL), settings)
    trained = {name: recipe.stage(name) for name in ("base", "clm", "slm")}
    assert {stage.max_steps for stage in trained.values()} == {7}
    assert [stage.num_checkpoints for stage in trained.values()] == [0, 1, 1]
    assert (trained["clm"].selection, trained["slm"].selection.ratio) == (None, 0.4)


def test_a_pattern_that_changes_nothing_is_told():
    assert "no stage matches 'x*'; stages: tokenizer, web" in problems(SMALL, "stages.x*.max_steps=7")
    message = problems(SMALL, "stages.*lm.max_stepz=7")
    assert "none of the stages that match '*lm' has a place for 'max_stepz': clm, slm" in message
    told = problems(SMALL, "stages.*lm.max_steps=0")
    assert "--set stages.*lm.max_steps=0: stages.clm.max_steps" in told
    assert "--set stages.*lm.max_steps=0: stages.slm.max_steps" in told
