"""What the models of stages know of themselves: sizes, against the real model and from the recipe."""

from __future__ import annotations

import pytest
from small_recipe import SMALL

from rho1bench.recipe import ModelConfig, StageSizes
from rho1bench.recipe.loading.load import load_recipe


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
