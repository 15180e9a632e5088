"""``rho1bench plan``: what it prints, for every shipped recipe, without a network."""

from __future__ import annotations

import re

import pytest
from rich.console import Console
from typer.testing import CliRunner

from rho1bench.cli.app import app
from rho1bench.errors import RunError
from rho1bench.pipeline.launch import Launch
from rho1bench.pipeline.runner import preview
from rho1bench.plan.dry_run import plan_table
from rho1bench.plan.estimate import make_machine, plan_run
from rho1bench.plan.launched import planned_launch, starts
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


def test_a_launch_is_shown_stage_by_stage(monkeypatch):
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    done = CliRunner().invoke(app, ["plan", "math_1b", "--nodes", "4", "--gpus-per-node", "8"])
    assert done.exit_code == 0, done.output
    table = re.split(r"starts +\n", done.output)[1]
    rows = dict(re.findall(r"^ *(\S+(?: \(\d\))?) +(\d+ +\S.*?) *$", table, re.MULTILINE))
    assert re.fullmatch(r"32 +ddp, takes 2 x 8 of the 512 in a step", rows["reference"])
    assert re.fullmatch(r"32 +whole shards of the corpus each", rows["scores"])
    assert rows["slm"].startswith("32 ")
    assert rows["corpus"].startswith("1 ")
    assert re.fullmatch(
        r"1 +one process, 8 copies of the model, each on a GPU of the first node \(vllm\)", rows["eval"]
    )
    command = "srun --nodes=4 --ntasks=4 --ntasks-per-node=1 --kill-on-bad-exit=1 python -m torch.distributed.run"
    assert f"{command} --nnodes=4" in done.output
    assert "--nproc-per-node=8 -m rho1bench.pipeline.stage_process RUN/stages/STAGE/launch/job.json" in done.output


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((None, None), Launch()),
        ((None, 8), Launch(1, 8)),
        ((4, 8), Launch(4, 8, "slurm")),
        ((4, 8, None, "ssh n{node} {command}"), Launch(4, 8, "ssh n{node} {command}")),
        ((None, None, 1), Launch()),
        ((None, None, 4), Launch(1, 4)),
        ((None, None, 32), Launch(4, 8, "slurm")),
        ((None, None, 12), Launch(1, 12)),
    ],
)
def test_a_plan_is_made_for_the_launch_that_is_meant(options, expected, monkeypatch):
    for name in ("SLURM_JOB_NUM_NODES", "SLURM_NNODES", "SLURM_GPUS_ON_NODE", "SLURM_GPUS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)
    assert planned_launch(*options) == expected
    with pytest.raises(RunError, match="--gpus counts all GPUs"):
        planned_launch(2, 8, 16)


def test_one_gpu_does_all_in_one_process():
    rows = starts(load_recipe("math_1b"), Launch(), every=True)
    assert {row.processes for row in rows} == {1}
    odd = starts(load_recipe("quickstart"), Launch(1, 2), every=True)
    assert {row.how for row in odd if row.stage == "slm"} == {"one process: the recipe gives no `distributed:`"}


@pytest.mark.parametrize(
    ("setting", "gpus", "copies"),
    [("engine=auto", 1, 1), ("engine=auto", 8, 8), ("engine=hf", 8, 1), ("data_parallel_size=4", 8, 4)],
)
def test_an_evaluation_has_a_copy_of_the_model_on_each_gpu(setting, gpus, copies):
    recipe = load_recipe("math_1b", [f"stages.eval.{setting}"])
    how = next(row.how for row in starts(recipe, Launch(1, gpus)) if row.stage == "eval")
    assert how.startswith(f"one process, {copies} copies of the model" if copies > 1 else "one process")
    assert ("copies" in how) == (copies > 1)


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
