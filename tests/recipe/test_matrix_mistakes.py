"""Every mistake in a matrix is told where it was written."""

from __future__ import annotations

import pytest
from small_recipe import problems, stage

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
