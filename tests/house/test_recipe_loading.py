"""Recipes: what is merged, what is overridden, and that every mistake is told at once, with its place."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import yaml
from house import SMALL
from hypothesis import given, settings
from hypothesis import strategies as st

from rho1bench.errors import RecipeError
from rho1bench.recipe import PretrainStage, Recipe, references
from rho1bench.recipe.loading import load_recipe, shipped_recipes
from rho1bench.recipe.merging import parse_yaml


def problems(path: Path | str, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path), overrides)
    return str(caught.value)


def stage(data: dict, name: str) -> dict:
    return next(item for item in data["stages"] if item["name"] == name)


def test_the_small_recipe_loads_whole():
    recipe = load_recipe(str(SMALL))
    assert [item.name for item in recipe.stages][:3] == ["tokenizer", "web", "base"]
    slm = recipe.stage("slm")
    assert isinstance(slm, PretrainStage)
    assert slm.optimizer.learning_rate == 1e-3
    assert [name for _, name, _ in references(slm)] == ["base", "web", "scores"]


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


# --- wrong keys and values ------------------------------------------------------------------------------------------

CASES = {
    "unknown key": (
        lambda data: stage(data, "slm")["selection"].update(rato=0.6),
        ("stages.slm.selection.rato", "unknown key 'rato'", "did you mean 'ratio'?"),
    ),
    "unknown key at the top": (
        lambda data: data.update(seeeds=[1]),
        ("seeeds: unknown key", "did you mean 'seeds'?", "valid keys here: name, description"),
    ),
    "ratio 0": (
        lambda data: stage(data, "slm")["selection"].update(ratio=0),
        ("stages.slm.selection.ratio", "a number greater than 0 and at most 1", "got 0"),
    ),
    "ratio 1.5": (
        lambda data: stage(data, "slm")["selection"].update(ratio=1.5),
        ("stages.slm.selection.ratio", "a number greater than 0 and at most 1", "got 1.5"),
    ),
    "ratio not a number": (
        lambda data: stage(data, "slm")["selection"].update(ratio=math.nan),
        ("stages.slm.selection.ratio", "got nan"),
    ),
    "infinite learning rate": (
        lambda data: stage(data, "slm")["optimizer"].update(learning_rate=math.inf),
        ("stages.slm.optimizer.learning_rate", "got inf"),
    ),
    "unknown score": (
        lambda data: stage(data, "slm")["selection"].update(score="exces_loss"),
        ("stages.slm.selection.score", "one of excess_loss", "did you mean 'excess_loss'?"),
    ),
    "unknown kind": (
        lambda data: stage(data, "clm").update(kind="pretrian"),
        ("stages.clm.kind", "unknown kind 'pretrian'", "did you mean 'pretrain'?"),
    ),
    "no kind": (lambda data: stage(data, "clm").pop("kind"), ("stages.clm.kind: missing", "pretrain")),
    "kind is a list": (lambda data: stage(data, "clm").update(kind=["pretrain"]), ("stages.clm.kind: unknown kind",)),
    "missing key": (
        lambda data: stage(data, "clm").pop("max_steps"),
        ("stages.clm.max_steps: missing; expected a whole number at least 1",),
    ),
    "bad name": (
        lambda data: stage(data, "report").update(name="My Report"),
        ("stages.My Report.name", "a name of lower-case letters"),
    ),
    "no stages": (lambda data: data.update(stages=[]), ("stages: expected a list that is not empty",)),
    "stages is a mapping": (lambda data: data.update(stages={"a": 1}), ("stages: expected a list",)),
    "a stage is a word": (lambda data: data["stages"].append("slm"), ("expected a mapping with 'name' and 'kind'",)),
    "unknown source": (
        lambda data: stage(data, "web")["sources"][0].update(type="mini_word"),
        ("stages.web.sources.0.type", "did you mean 'mini_world'?"),
    ),
    "missing data file": (
        lambda data: stage(data, "web").update(sources=[{"type": "local", "path": "no/such.jsonl"}]),
        ("stages.web.sources.0.path", "no/such.jsonl", "does not exist"),
    ),
    "model given as a number": (
        lambda data: stage(data, "base").update(init=3),
        ("stages.base.init", "of kind pretrain or sft or a mapping", "got 3"),
    ),
    "model with a wrong key": (
        lambda data: stage(data, "base")["init"].update(hiden_size=4),
        ("stages.base.init.hiden_size", "did you mean 'hidden_size'?"),
    ),
    "half a step": (lambda data: stage(data, "clm").update(max_steps=2.5), ("stages.clm.max_steps", "got 2.5")),
    "negative seed": (lambda data: data.update(seed=-1), ("seed: expected a whole number at least 0, got -1",)),
    # --- rules between stages
    "missing stage": (
        lambda data: stage(data, "slm").update(corpus="wed"),
        ("stages.slm.corpus", "there is no stage 'wed'", "of kind corpus", "did you mean 'web'?"),
    ),
    "later stage": (
        lambda data: stage(data, "base").update(validation="base", init="slm"),
        ("stages.base.init", "comes later", "stages.base.validation", "cannot read itself"),
    ),
    "stage of another kind": (
        lambda data: stage(data, "slm")["selection"].update(token_scores="clm"),
        ("stages.slm.selection.token_scores", "is of kind pretrain", "earlier stage of kind score"),
    ),
    "score without token_scores": (
        lambda data: stage(data, "slm")["selection"].pop("token_scores"),
        ("stages.slm.selection.token_scores", "missing", "'excess_loss' needs"),
    ),
    "scores of another corpus": (
        lambda data: (
            data["stages"].insert(2, {**stage(data, "web"), "name": "other"}),
            stage(data, "slm").update(corpus="other"),
        ),
        ("stages.slm.selection.token_scores", "scores the corpus 'web'", "trains on 'other'"),
    ),
    "micro batch": (
        lambda data: stage(data, "slm").update(micro_batch_size=3),
        ("stages.slm.micro_batch_size", "3 does not divide batch_size 4"),
    ),
    "unevaluated pair": (
        lambda data: stage(data, "compare").update(pairs=[{"treatment": "base", "baseline": "cml"}]),
        ("stages.compare.pairs.0.treatment", "'base' is not evaluated", "pairs.0.baseline", "did you mean 'clm'?"),
    ),
    "pair with itself": (
        lambda data: stage(data, "compare").update(pairs=[{"treatment": "clm", "baseline": "clm"}]),
        ("stages.compare.pairs.0", "with itself"),
    ),
    "long blocks": (
        lambda data: stage(data, "web").update(block_size=128),
        ("stages.base.corpus", "128", "max_position_embeddings (64)"),
    ),
    "long context": (
        lambda data: stage(data, "eval").update(max_model_len=65),
        ("stages.eval.max_model_len", "(64)", "got 65"),
    ),
    "odd heads": (
        lambda data: stage(data, "base")["init"].update(num_attention_heads=3),
        ("stages.base.init.hidden_size", "num_attention_heads (3)"),
    ),
    "too many checkpoints": (
        lambda data: stage(data, "slm").update(num_checkpoints=20),
        ("stages.slm.num_checkpoints", "fewer than max_steps (20)"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_told_with_file_key_and_remedy(recipe_file, case):
    edit, parts = CASES[case]
    path = recipe_file(edit)
    message = problems(path)
    assert str(path) in message
    for part in parts:
        assert part in message


def test_all_mistakes_are_told_at_once(recipe_file):
    together = ("unknown key", "ratio 1.5", "unknown kind", "missing data file", "micro batch", "unevaluated pair")

    def edit(data):
        for case in together:
            CASES[case][0](data)

    path = recipe_file(edit)
    message = problems(path, "stages.slmm.batch_size=3", "seed")
    for case in together:
        for part in CASES[case][1]:
            assert part in message
    assert "--set stages.slmm.batch_size=3: there is no stage 'slmm' (did you mean 'slm'?)" in message
    assert "--set seed: expected KEY=VALUE" in message
    assert "problems:" in message.splitlines()[0]


def test_two_stages_of_one_name_are_told_with_both_lines(tmp_path):
    path = tmp_path / "twice.yaml"
    text = SMALL.read_text().replace("name: slm", "name: clm")
    path.write_text(text)
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if "- name: clm" in line]
    message = problems(path)
    assert f"{path}:{lines[1]}: stages.clm: two stages are called 'clm' (the other on line {lines[0]})" in message


def test_a_problem_is_placed_on_its_line(tmp_path):
    path = tmp_path / "line.yaml"
    text = SMALL.read_text().replace("max_steps: 20", "max_steps: 0", 1)
    path.write_text(text)
    line = next(number for number, line in enumerate(text.splitlines(), start=1) if "max_steps: 0" in line)
    assert f"{path}:{line}: stages.base.max_steps" in problems(path)


# --- extends --------------------------------------------------------------------------------------------------------


def child(tmp_path: Path, text: str, name: str = "child.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


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


# --- --set and --seed -----------------------------------------------------------------------------------------------


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
        assert found.files() == [tmp_path / "data.jsonl"]
        assert (folder.dataset, hub.dataset) == (str(tmp_path / "sub"), "a/b")
    for place in ("sub", "*.parquet", "none.jsonl"):
        path = recipe_file(lambda data, p=place: stage(data, "web").update(sources=[{"type": "local", "path": p}]))
        with pytest.raises(RecipeError, match=rf"{re.escape(place)}' does not exist"):
            load_recipe(str(path))


@settings(max_examples=40)
@given(ratio=st.floats(min_value=1e-300, max_value=1.0), steps=st.integers(3, 10**12))
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
