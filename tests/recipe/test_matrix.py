"""Matrices: what a stage expands into, what may name its variants, and every mistake told where it was written."""

from __future__ import annotations

import pytest
import yaml
from matrix_recipe import SEEDS, as_matrix
from small_recipe import SMALL, child, problems, stage

from rho1bench.recipe import CompareStage, EvalStage, PretrainStage, Recipe, ReportStage, ScoreStage
from rho1bench.recipe.differences import unfair_keys
from rho1bench.recipe.loading.labels import label_of
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.recipe.smoke import smoke


@pytest.fixture
def matrix(recipe_file):
    """The path of the small recipe with matrices, changed by a function."""

    def write(edit=lambda data: None):
        return recipe_file(lambda data: (as_matrix(data), edit(data)))

    return write


def names(recipe: Recipe, group: str) -> list[str]:
    return [item.name for item in recipe.stages if item.variant and item.variant.group == group]


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


def test_lists_take_patterns_and_matrices_by_name(matrix):
    recipe = load_recipe(str(matrix()))
    checkpoints = recipe.stage("eval", EvalStage).evaluations[0].checkpoints
    assert checkpoints == ["base-seed0", "base-seed1", *names(recipe, "arm")]
    curves = recipe.stage("report", ReportStage).curves
    assert curves == [name for name in names(recipe, "arm") if name.startswith("arm-full-")]


def test_a_matrix_by_its_name_is_not_what_merely_begins_so(matrix):
    def edit(data):
        data["stages"].insert(4, {**stage(data, "arm"), "name": "arm-long", "matrix": SEEDS})
        stage(data, "eval")["evaluations"][0]["checkpoints"] = ["arm"]

    recipe = load_recipe(str(matrix(edit)))
    assert recipe.stage("eval", EvalStage).evaluations[0].checkpoints == names(recipe, "arm")
    assert names(recipe, "arm-long") == ["arm-long-seed0", "arm-long-seed1"]


PAIRS = {
    "labels": ({"treatment": "arm-*", "baseline": {"selection": "full"}}, 8, "arm-full-{lr}-{seed}"),
    "the name of a matrix": ({"treatment": "arm", "baseline": {"selection": "full"}}, 8, "arm-full-{lr}-{seed}"),
    "labels of another matrix": ({"treatment": "arm", "baseline": {"group": "base"}}, 12, "base-{seed}"),
    "another matrix by its name": ({"treatment": "arm", "baseline": "base"}, 12, "base-{seed}"),
    "one stage": ({"treatment": "arm-excess-*", "baseline": "base-seed0"}, 4, "base-seed0"),
    "a value in place of a label": (
        {"treatment": "arm-random-*", "baseline": {"learning_rate": 1e-3}}, 2, "arm-random-lr1e-3-{seed}",
    ),
    "labels on both sides": (
        {"treatment": {"group": "arm", "selection": "excess"}, "baseline": {"selection": "random"}},
        4, "arm-random-{lr}-{seed}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PAIRS)
def test_a_pair_may_name_many(matrix, case):
    pair, number, baseline = PAIRS[case]
    recipe = load_recipe(str(matrix(lambda data: stage(data, "compare").update(pairs=[pair]))))
    pairs = recipe.stage("compare", CompareStage).pairs
    assert len(pairs) == number
    for one in pairs:
        _, _, lr, seed = one.treatment.rsplit("-", 3) if "e-" not in one.treatment else _parts(one.treatment)
        assert one.baseline == baseline.format(lr=lr, seed=seed)
        assert one.treatment != one.baseline


def _parts(name: str) -> list[str]:
    arm, rule, lr, exponent, seed = name.split("-")
    return [arm, rule, f"{lr}-{exponent}", seed]


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


MISTAKES = {
    "unknown key": (
        lambda arm: arm["matrix"].update({"optimizer.lerning_rate": [1e-3]}),
        ("optimizer.lerning_rate: unknown key 'optimizer.lerning_rate' (did you mean 'learning_rate'?)",),
    ),
    "unknown key with labels": (
        lambda arm: arm["matrix"].update(selction={"full": None}),
        ("stages.arm.matrix.selction: unknown key 'selction' (did you mean 'selection'?)",),
    ),
    "the name as an axis": (lambda arm: arm["matrix"].update(name=["a"]), ("stages.arm.matrix.name: name cannot be",)),
    "empty matrix": (lambda arm: arm.update(matrix={}), ("stages.arm.matrix: is empty",)),
    "matrix is a list": (lambda arm: arm.update(matrix=[1]), ("stages.arm.matrix: expected a mapping of keys",)),
    "empty axis": (lambda arm: arm["matrix"].update(seed=[]), ("stages.arm.matrix.seed: expected a list of values",)),
    "axis is a number": (lambda arm: arm["matrix"].update(seed=3), ("arm.matrix.seed: expected a list of values",)),
    "same value twice": (lambda arm: arm["matrix"].update(seed=[1, 1]), ("2 values have the label 'seed1'",)),
    "mappings without labels": (
        lambda arm: arm["matrix"].update(selection=[{"score": "random", "ratio": 0.5}]),
        ("stages.arm.matrix.selection.0: a value like", "needs a label"),
    ),
    "a label that no name holds": (
        lambda arm: arm["matrix"].update(seed={"Seed 0": 0}),
        ("stages.arm.matrix.seed.Seed 0: the label 'Seed 0'", "lower-case letters"),
    ),
    "long names": (
        lambda arm: arm["matrix"].update(seed={"s" * 60: 0}),
        ("stages.arm.matrix: 'arm-full-lr1e-3-sss", "letters, a stage's name at most 64"),
    ),
    "one name twice": (
        lambda arm: arm.update(matrix={"seed": {"a": 0, "a-b": 1}, "max_steps": {"b": 2, "b-b": 3}}),
        ("stages.arm.matrix: two stages are called 'arm-a-b-b'",),
    ),
    "too many": (
        lambda arm: arm["matrix"].update(seed=list(range(500))),
        ("stages.arm.matrix: expands to 3,000 stages; a recipe has at most 2,000 in all",),
    ),
    "two axes set the same": (
        lambda arm: arm["matrix"].update(arm={"a": {"seed": 1}}),
        ("sets seed, and the axis", "sets the same key"),
    ),
    "an axis inside null": (
        lambda arm: arm["matrix"].update({"selection.ratio": [0.3]}),
        ("stages.arm.matrix.selection.ratio: sets selection.ratio, and the axis 'selection' sets selection to null",),
    ),
    "unknown placeholder": (
        lambda arm: arm.update(init="base-{sed}"),
        ("stages.arm.init: there is no axis 'sed' (did you mean 'seed'?)", "axes: selection, optimizer.learning_rate"),
    ),
    "a wrong value, told once": (
        lambda arm: arm["matrix"]["selection"].update(random={"score": "random", "ratio": 2}),
        ("has 1 problem", "stages.arm.matrix.selection.random.ratio: expected a number greater than 0 and at most 1"),
    ),
    "a wrong value outside, told once": (
        lambda arm: arm.update(max_steps=0),
        ("has 1 problem", "stages.arm.max_steps: expected a whole number at least 1, got 0"),
    ),
    "no such stage for a label": (
        lambda arm: arm["matrix"].update(seed=[0, 7]),
        ("stages.arm.init: there is no stage 'base-seed7'", "arm.matrix.selection.excess.token_scores: there is"),
    ),
    "a misspelt kind": (lambda arm: arm.update(kind="pretrian"), ("stages.arm.kind: unknown kind 'pretrian'",)),
    "a misspelt matrix": (
        lambda arm: arm.update(matrx=arm.pop("matrix"), init="base-seed0"),
        ("stages.arm.matrx: unknown key 'matrx' (did you mean 'matrix'?)",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_matrix_is_told_where_it_stands(matrix, case):
    edit, parts = MISTAKES[case]
    path = matrix(lambda data: edit(stage(data, "arm")))
    message = problems(path)
    for part in parts:
        assert part in message
    for line in message.splitlines()[1:]:
        assert line.strip().startswith(f"{path}:"), "with file and line"


NAMES = {
    "a pattern of nothing": (
        lambda data: stage(data, "eval")["evaluations"][0].update(checkpoints=["ram-*"]),
        ("stages.eval.evaluations.0.checkpoints.0: 'ram-*' matches no earlier stage (did you mean 'arm'?)",),
    ),
    "a pattern of another kind": (
        lambda data: stage(data, "report").update(curves=["tok*"]),
        ("stages.report.curves.0: 'tok*' matches only stages of another kind",),
    ),
    "a label that is none": (
        lambda data: stage(data, "compare").update(pairs=[{"treatment": "arm", "baseline": {"selection": "ful"}}]),
        ("stages.compare.pairs.0: no variant has the label 'ful' on selection (did you mean 'full'?)",),
    ),
    "an axis that is none": (
        lambda data: stage(data, "compare").update(pairs=[{"treatment": "arm", "baseline": {"selecton": "full"}}]),
        ("stages.compare.pairs.0: there is no axis 'selecton' (did you mean 'selection'?)",),
    ),
    "a baseline that is several": (
        lambda data: stage(data, "compare").update(pairs=[{"treatment": "arm", "baseline": "arm-full-*"}]),
        ("stages.compare.pairs.0: the baseline 'arm-full-*' matches arm-full-lr1e-3-seed0", "give labels"),
    ),
    "a baseline that is not evaluated": (
        lambda data: stage(data, "eval")["evaluations"][0].update(checkpoints=["arm-random-*"]),
        ("stages.compare.pairs.0: no variant has the label 'full' on selection",),
    ),
    "a matrix that is none": (
        lambda data: stage(data, "compare").update(pairs=[{"treatment": "arm", "baseline": {"group": "bas"}}]),
        ("there is no matrix 'bas' that is evaluated (did you mean 'base'?)",),
    ),
    "a plain stage with labels": (
        lambda data: (
            data["stages"].insert(3, {**stage(data, "arm"), "name": "plain", "matrix": None, "init": "base-seed0"}),
            stage(data, "eval")["evaluations"][0]["checkpoints"].append("plain"),
            stage(data, "compare").update(pairs=[{"treatment": "plain", "baseline": {"selection": "full"}}]),
        ),
        ("'plain' is no variant of a matrix, so its baseline has a name",),
    ),
    "a later item keeps its place": (
        lambda data: stage(data, "eval")["evaluations"][0].update(checkpoints=["arm", "bse-seed0"]),
        ("stages.eval.evaluations.0.checkpoints.1: there is no stage 'bse-seed0'",),
    ),
    "one name of a matrix": (
        lambda data: stage(data, "scores").update(reference="base"),
        ("stages.scores.reference: 'base' has a matrix: name one of its variants, base-seed0 for example",),
    ),
}


@pytest.mark.parametrize("case", NAMES)
def test_what_names_no_variant_is_told_once(matrix, case):
    edit, parts = NAMES[case]
    message = problems(matrix(edit))
    for part in parts:
        assert part in message
    assert "1 problem" in message.splitlines()[0]


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
