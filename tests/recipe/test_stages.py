"""What the models of stages know of themselves: sizes, and all that a new kind of stage needs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import pytest
from small_recipe import SMALL

from rho1bench.pipeline.fingerprint import stage_fingerprint
from rho1bench.pipeline.runner import groups
from rho1bench.plan.estimate import make_machine, plan_run
from rho1bench.recipe import ModelConfig, Name, StageBase, StageRef, StageSizes, StageSpec, references
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.recipe.rules.check import check
from rho1bench.recipe.smoke import smaller
from rho1bench.sizing.gpus import GPUS


@pytest.mark.parametrize(("tied", "groups"), [(True, None), (False, 2), (True, 1)])
def test_parameters_are_those_of_the_real_model(tied, groups):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": groups,
        "max_position_embeddings": 32,
        "tie_word_embeddings": tied,
    }
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(vocab_size=500, **{**shape, "num_key_value_heads": groups or 4}))
    assert ModelConfig(**shape).shape(500).num_parameters == model.num_parameters()


def test_sizes_follow_from_the_recipe():
    recipe = load_recipe(str(SMALL))
    assert recipe.stage("web").sizes(recipe) == StageSizes(blocks=8, tokens=128, bytes=384)
    assert recipe.stage("scores").sizes(recipe).bytes == 512
    slm = recipe.stage("slm").sizes(recipe)
    assert (slm.steps, slm.tokens, slm.blocks) == (20, 1280, 80)
    assert slm.bytes == 3 * 4 * slm.weights
    assert recipe.stage("eval").sizes(recipe) == StageSizes(steps=2)
    assert recipe.stage("report").sizes(recipe) == StageSizes()


class DistillStage(StageBase):
    """As CONTRIBUTING shows how to add one."""

    spec: ClassVar[StageSpec] = StageSpec("rho1bench.training.pretrain:run", packages=("torch",), parallel_safe=True)
    kind: Literal["distill"]
    teacher: Annotated[Name, StageRef(("pretrain",))]


def test_a_new_kind_is_one_class_and_one_entry_function():
    small = load_recipe(str(SMALL))
    first, second = (DistillStage(name=name, kind="distill", teacher="base") for name in ("one", "two"))
    recipe = small.model_copy(update={"stages": [*small.stages, first, second], "jobs": 2})
    assert [name for _, name, _ in references(first)] == ["base"]
    assert list(check([*small.stages, first])) == []
    ((path, message),) = check([*small.stages, first.model_copy(update={"teacher": "web"})])
    assert path == ("stages", "one", "teacher")
    assert "is of kind corpus" in message
    assert smaller(first, recipe, 9) == [first.model_dump()]
    assert plan_run(recipe, make_machine(recipe, GPUS["h100"], 1)).stages[-1].kind == "distill"
    assert [[stage.name for stage in group] for group in groups(recipe)][-1] == ["one", "two"]
    bases = [stage_fingerprint(small.stage("base"), seed, {}) for seed in (0, 1)]
    assert len({stage_fingerprint(first, 0, {"base": base}).sha256 for base in bases}) == 2
