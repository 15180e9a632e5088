"""What may name the variants of a matrix: patterns, the matrix itself and labels, and what names none of them."""

from __future__ import annotations

import pytest
from matrix_recipe import SEEDS, names
from small_recipe import problems, stage

from rho1bench.recipe import CompareStage, EvalStage, ReportStage
from rho1bench.recipe.loading.load import load_recipe


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
