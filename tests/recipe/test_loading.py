"""Recipes: what is read, what is merged by ``extends:``, and what is no recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_recipe import SMALL, child, problems, stage

from rho1bench.recipe import PretrainStage, references
from rho1bench.recipe.loading.load import load_recipe, shipped_recipes


def test_the_small_recipe_loads_whole():
    recipe = load_recipe(str(SMALL))
    assert [item.name for item in recipe.stages][:3] == ["tokenizer", "web", "base"]
    slm = recipe.stage("slm")
    assert isinstance(slm, PretrainStage)
    assert slm.optimizer.learning_rate == 1e-3
    assert [name for _, name, _ in references(slm)] == ["base", "scores", "web"]


def test_folders_of_weights_are_sought_beside_the_file_that_names_them(tmp_path, recipe_file, monkeypatch):
    (tmp_path / "here" / "model").mkdir(parents=True)
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def edit(data):
        stage(data, "tokenizer").update(pretrained="model", sources=[], vocab_size=None)
        stage(data, "scores").update(reference={"pretrained": "model"})

    recipe_file(edit)
    text = "extends: ../recipe.yaml\nstages: [{name: slm, init: {pretrained: %s}}]\n"
    for name, found in (("model", tmp_path / "here" / "model"), ("owner/model", Path("owner/model"))):
        recipe = load_recipe(str(child(tmp_path / "here", text % name)))
        assert Path(recipe.stage("slm").init.pretrained) == found
        assert Path(recipe.stage("scores").reference.pretrained).resolve() == tmp_path / "model"


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_recipe_loads_and_bears_its_own_name(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description


# --- files that are no recipe ---------------------------------------------------------------------------------------


def test_a_missing_file_is_named_with_the_nearest_recipe(tmp_path):
    text = problems(tmp_path / "quickstrt.yaml")
    assert str(tmp_path / "quickstrt.yaml") in text
    assert "does not exist" in text


def test_an_unknown_name_offers_the_nearest_one():
    if "quickstart" in shipped_recipes():
        assert "did you mean 'quickstart'?" in problems("quikstart")
    assert "there is no recipe 'zzzzzz'" in problems("zzzzzz")


def test_a_folder_is_no_recipe(tmp_path):
    assert "is a folder" in problems(f"{tmp_path}/")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("name: x\nstages: [", (":2:10", "not valid YAML", "expected")),
        ("name: x\n\tstages: 3\n", (":2:1", "not valid YAML")),
        ("name: x\nname: y\n", (":2:1", "'name'", "already on line 1")),
        ("a: {b: 1, b: 2}\n", (":1:11", "'b'", "already on line 1")),
        ("- 1\n- 2\n", ("expected a mapping",)),
        ("", ("is empty",)),
        ("# nothing\n", ("is empty",)),
        ("just words\n", ("expected a mapping",)),
        ("name: !!python/object/apply:os.system [ls]\n", ("not valid YAML", "python/object")),
        ("name: x\n--- \nname: y\n", ("not valid YAML",)),
        ("name: 'x\n", ("not valid YAML",)),
        ("name: 2024-99-99\n", ("not valid YAML",)),
        ("name: x\0y\n", ("not valid YAML",)),
        ("a: &a [*a]\n", ("alias",)),
    ],
)
def test_yaml_that_does_not_parse_is_placed(tmp_path, text, parts):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    message = problems(path)
    assert str(path) in message
    for part in parts:
        assert part in message


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"name: \xff\xfe\n")
    assert "not UTF-8" in problems(path)


# --- extends --------------------------------------------------------------------------------------------------------


def test_extends_merges_deeply_and_stages_by_name(tmp_path, recipe_file):
    recipe_file()
    path = child(
        tmp_path,
        "extends: recipe.yaml\nname: child\nstages:\n"
        "  - {name: slm, selection: {ratio: 0.4}, max_steps: 7}\n"
        "  - {name: extra, kind: report, comparison: compare, evaluation: eval}\n",
    )
    base, recipe = load_recipe(str(tmp_path / "recipe.yaml")), load_recipe(str(path))
    assert [item.name for item in recipe.stages] == [*(item.name for item in base.stages), "extra"]
    slm = recipe.stage("slm")
    assert (slm.selection.ratio, slm.selection.token_scores, slm.max_steps) == (0.4, "scores", 7)
    assert recipe.stage("clm") == base.stage("clm")
    assert recipe.name == "child"


def test_extends_can_take_the_selection_away(tmp_path, recipe_file):
    recipe_file()
    path = child(tmp_path, "extends: recipe\nname: child\nstages: [{name: slm, selection: null}]\n")
    assert load_recipe(str(path)).stage("slm").selection is None


def test_a_recipe_can_drop_stages_of_the_one_it_extends(tmp_path, recipe_file):
    recipe_file()
    path = child(
        tmp_path,
        "extends: recipe\nname: child\ndrop: [report, eval, compare]\nstages:\n"
        "  - {name: eval, kind: eval, evaluations: [{checkpoints: [clm, slm], suites: [mini_math9]}]}\n",
    )
    assert f"{path}:5: stages.eval.max_model_len" in problems(path)
    path.write_text(path.read_text().replace("kind: eval", "kind: eval, max_model_len: 32"))
    base, recipe = load_recipe(str(tmp_path / "recipe.yaml")), load_recipe(str(path))
    left = [item.name for item in base.stages if item.name not in ("report", "eval", "compare")]
    assert [item.name for item in recipe.stages] == [*left, "eval"]
    assert recipe.stage("eval").evaluations[0].checkpoints == ["clm", "slm"]


def test_dropping_what_is_not_there_is_an_error(tmp_path, recipe_file):
    recipe_file()
    message = problems(child(tmp_path, "extends: recipe\nname: child\ndrop: [slmm, 3]\n"))
    assert f"{tmp_path}/child.yaml:3: drop.0: there is no stage 'slmm' (did you mean 'slm'?)" in message
    assert "drop.1: there is no stage 3" in message
    assert "expected a list of stage names" in problems(child(tmp_path, "extends: recipe\nname: c\ndrop: slm\n"))
    alone = child(tmp_path, "name: alone\ndrop: [slm]\nstages: []\n")
    assert "extends no other" in problems(alone)


def test_extends_chains_and_names_the_file_that_is_wrong(tmp_path, recipe_file):
    recipe_file(lambda data: stage(data, "clm").update(max_steps=0))
    child(tmp_path, "extends: recipe.yaml\nname: middle\nstages: [{name: slm, batch_size: -2}]\n", "middle.yaml")
    message = problems(child(tmp_path, "extends: middle.yaml\nname: child\nsede: 3\n"))
    assert f"{tmp_path}/recipe.yaml:" in message.partition("stages.clm.max_steps")[0].splitlines()[-1]
    assert f"{tmp_path}/middle.yaml:3: stages.slm.batch_size" in message
    assert f"{tmp_path}/child.yaml:3: sede: unknown key" in message


def test_a_circle_of_extends_is_refused(tmp_path):
    child(tmp_path, "extends: b.yaml\nname: a\n", "a.yaml")
    child(tmp_path, "extends: a.yaml\nname: b\n", "b.yaml")
    assert "circle: a.yaml -> b.yaml -> a.yaml" in problems(tmp_path / "a.yaml")
    assert "circle" in problems(child(tmp_path, "extends: self.yaml\n", "self.yaml"))


def test_a_missing_base_is_named(tmp_path):
    message = problems(child(tmp_path, "extends: quickstar\nname: a\n"))
    assert f"{tmp_path}/child.yaml:1: extends: there is no recipe 'quickstar'" in message
    assert "expected the name of a recipe" in problems(child(tmp_path, "extends: [a, b]\n"))


def test_yaml_merge_keys_are_followed(tmp_path):
    text = SMALL.read_text().replace("  - name: clm", "  - &clm\n    name: clm")
    text += "  - {<<: *clm, name: clm2, max_steps: 9}\n"
    recipe = load_recipe(str(child(tmp_path, text)))
    assert recipe.stage("clm2").max_steps == 9
    assert recipe.stage("clm2").batch_size == recipe.stage("clm").batch_size


# --- suites and folders


def test_short_names_of_suites_hold_in_recipes(recipe_file):
    path = recipe_file(lambda data: stage(data, "eval")["evaluations"][0].update(suites=["math", "all", "mini_gsm8k"]))
    suites = load_recipe(str(path)).stage("eval").evaluations[0].suites
    assert suites == ["rho1_math9", "rho1_tir7", "rho1_general15", "mini_gsm8k"]


def test_an_unknown_suite_is_told_where_it_was_written(recipe_file):
    path = recipe_file(lambda data: stage(data, "eval")["evaluations"][0].update(suites=["all", "mini_maths9"]))
    message = problems(path)
    assert "there is no suite, group or task 'mini_maths9'" in message
    assert "did you mean 'mini_math9'?" in message


def test_a_folder_that_is_not_there_is_no_name_on_the_hub(recipe_file):
    path = recipe_file(lambda data: stage(data, "base").update(init={"pretrained": "./models/mine"}))
    assert "stages.base.init.pretrained: there is no folder './models/mine'" in problems(path)
