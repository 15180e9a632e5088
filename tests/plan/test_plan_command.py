"""``rho1bench plan``: what it prints, for every shipped recipe, without a network."""

from __future__ import annotations

import pytest
from rich.console import Console

from rho1bench.pipeline.runner import preview
from rho1bench.plan.dry_run import plan_table
from rho1bench.plan.estimate import make_machine, plan_run
from rho1bench.plan.tables import make_plan, print_plan
from rho1bench.recipe import Recipe, TrainStage
from rho1bench.recipe.loading.load import load_recipe, shipped_recipes
from rho1bench.sizing.gpus import GPUS

PAPER = [
    "general_1b",
    "math_1b",
    "math_1b_30b",
    "math_7b",
    "ratio_sweep",
    "self_reference",
    "self_reference_grid",
    "weak_to_strong",
]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """A plan opens no connection."""
    import socket

    def refuse(*arguments):
        raise AssertionError(f"a plan went to the network: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def printed(recipe: Recipe, **options) -> str:
    console = Console(width=150, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    every = options.pop("every", False)
    print_plan(make_plan(recipe, "h100", **options), recipe, console, every)
    return console.export_text()


@pytest.mark.parametrize("name", PAPER)
def test_every_recipe_of_the_paper_fits_32_gpus_of_80_gb(name):
    recipe = load_recipe(name)
    plan = plan_run(recipe, make_machine(recipe, GPUS["h100"], 32))
    assert plan.notes == []
    trained = [stage for stage in plan.stages if stage.kind in ("pretrain", "sft", "score")]
    assert len(trained) >= 4
    assert all(stage.hours and stage.memory and stage.memory.total < 80e9 for stage in trained)


def test_the_table_names_stages_assumptions_and_totals():
    text = printed(load_recipe("math_1b"), num_gpus=32, share=0.3)
    for part in ("math_1b on 32 x NVIDIA H100", "slm-sft", "14.3 k", "15 G", "an MFU of 0.3 is assumed", "total"):
        assert part in text
    assert "37,000 tokens/s a GPU" in printed(load_recipe("math_1b"), tokens_per_second=37_000)


def test_an_unknown_model_is_a_dash_and_a_word_how_to_name_its_shape(tmp_path):
    overrides = [f"stages.{name}.init.pretrained=some/model" for name in ("reference", "clm", "slm")]
    recipe = load_recipe("math_1b", [*overrides, "stages.tokenizer.pretrained=some/model"])
    text = printed(recipe, num_gpus=32)
    row = next(line for line in text.splitlines() if line.split()[:1] == ["slm"])
    assert row.split()[1:7] == ["14.3", "k", "15", "G", "-", "-"]
    assert text.count("some/model: its shape is not known offline") == 1
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(_CONFIG)
    known = load_recipe("math_1b", [line.replace("some/model", str(folder)) for line in overrides])
    assert "not known offline" not in printed(known, num_gpus=32)


_CONFIG = """{"model_type": "llama", "vocab_size": 32000, "hidden_size": 64, "intermediate_size": 128,
"num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 2048}"""


@pytest.mark.parametrize("name", PAPER)
def test_a_dry_run_shows_every_stage(name, tmp_path):
    recipe = load_recipe(name)
    table = plan_table(recipe, preview(recipe, tmp_path / "run"), every=True)
    assert list(table.columns[0].cells) == [stage.name for stage in recipe.stages]
    assert set(table.columns[-1].cells) == {"run"}
    assert not (tmp_path / "run").exists()


def test_every_shipped_recipe_has_a_plan():
    names = shipped_recipes()
    assert set(PAPER) <= set(names)
    for name in names:
        recipe = load_recipe(name)
        plan = plan_run(recipe, make_machine(recipe, GPUS["rtx4090"], 1))
        assert [stage.name for stage in plan.stages] == [stage.name for stage in recipe.stages]
        assert all(
            stage.steps for stage, of in zip(plan.stages, recipe.stages, strict=True) if isinstance(of, TrainStage)
        )
