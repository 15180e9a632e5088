"""Runs of a recipe with matrices: shared stages once, what changes with one variant, a kill half way."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from matrix_recipe import as_matrix
from rich.console import Console
from small_recipe import SMALL, command, surroundings

from rho1bench.errors import RecipeError
from rho1bench.pipeline.runner import preview, run_recipe
from rho1bench.plan.dry_run import plan_table
from rho1bench.recipe import PretrainStage
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.recipe.part import part_of
from rho1bench.system.files import read_json, read_jsonl

SHARED = ["tokenizer", "web", "base-seed0", "base-seed1", "scores-seed0", "scores-seed1"]


@pytest.fixture
def matrix(tmp_path) -> Path:
    data = yaml.safe_load(SMALL.read_text())
    as_matrix(data)
    path = tmp_path / "matrix.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def go(path: Path, folder: Path, *overrides: str):
    return run_recipe(load_recipe(str(path), overrides), folder, console=Console(quiet=True))


def arms(path: Path) -> list[str]:
    return [stage.name for stage in load_recipe(str(path)).stages if stage.name.startswith("arm-")]


def test_shared_stages_run_once_whatever_the_number_of_variants(matrix, tmp_path, calls):
    go(matrix, tmp_path / "run")
    counts = Counter(calls())
    assert len(arms(matrix)) == 12
    assert counts == Counter([*SHARED, *arms(matrix), "eval", "compare", "report"])
    go(matrix, tmp_path / "run", "jobs=2")
    assert calls() == []


def test_each_stage_runs_with_its_own_seed(matrix, tmp_path, calls):
    go(matrix, tmp_path / "run", "stages.arm.max_steps=1", "stages.arm.num_checkpoints=0")
    stages = tmp_path / "run" / "stages"
    for seed in (0, 1):
        assert read_jsonl(stages / f"arm-full-lr1e-3-seed{seed}" / "metrics.jsonl")[0]["loss"] == 1 / (1 + seed)
        assert read_json(stages / f"scores-seed{seed}" / "result.json")["seed"] == seed
    assert read_json(stages / "web" / "result.json")["seed"] == load_recipe(str(matrix)).seed == 3


def test_a_changed_or_added_label_runs_its_variants_alone(matrix, tmp_path, calls):
    go(matrix, tmp_path / "run")
    calls()
    go(matrix, tmp_path / "run", "stages.arm.matrix.selection.random.ratio=0.5")
    random = [name for name in arms(matrix) if "-random-" in name]
    assert calls() == [*random, "eval", "compare", "report"]
    go(matrix, tmp_path / "run", "stages.arm.matrix.selection.random.ratio=0.5", "stages.arm.matrix.seed=[0]")
    assert calls() == ["eval", "compare", "report"]
    go(matrix, tmp_path / "run", "stages.arm.matrix.selection.random.ratio=0.5", "seed=4")
    assert calls() == ["tokenizer", "web", *SHARED[2:], *arms(matrix), "eval", "compare", "report"]


def test_a_seed_of_its_own_counts_as_the_recipes_does(tmp_path, calls):
    go(SMALL, tmp_path / "run")
    calls()
    go(SMALL, tmp_path / "run", "stages.base.seed=3", "stages.slm.variant={group: arm, labels: {selection: excess}}")
    assert calls() == []
    go(SMALL, tmp_path / "run", "stages.slm.seed=4")
    assert calls() == ["slm", "eval", "compare", "report"]


def test_a_killed_matrix_resumes_and_equals_an_uninterrupted_one(matrix, tmp_path, calls):
    """Two arms are killed at once, side by side; the same command then ends what they began, and begins the rest."""
    killed, straight, noted = tmp_path / "killed", tmp_path / "straight", tmp_path / "killed.calls"
    fewer = ["stages.arm.matrix.optimizer.learning_rate=[1e-3]"]
    fewer += [f"stages.{name}.matrix.seed=[0]" for name in ("base", "scores", "arm")]
    settings = [word for setting in [*fewer, "jobs=2"] for word in ("--set", setting)]
    whole = command("run", matrix, "--output", killed, *settings)
    names = [stage.name for stage in load_recipe(str(matrix), fewer).stages]
    first = [name for name in names if name.startswith("arm-")][:2]

    def run() -> subprocess.Popen[bytes]:
        environment = surroundings(FAKE_SLEEP=0.05, FAKE_CALLS=noted)
        return subprocess.Popen(whole, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    process = run()
    end = time.monotonic() + 60
    while not all((killed / "stages" / name / "metrics.jsonl").exists() for name in first):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.005)
    process.kill()
    process.wait()
    time.sleep(0.2)  # the children notice that their parent is gone
    assert run().wait() == 0
    go(matrix, straight, *fewer)
    for name in names:
        for file in ("metrics.jsonl", "result.json"):
            ours, theirs = (folder / "stages" / name / file for folder in (killed, straight))
            assert ours.exists() == theirs.exists()
            assert not ours.exists() or ours.read_bytes() == theirs.read_bytes()
    counts = Counter(noted.read_text().split())
    assert {name for name in names if counts[name] == 2} == set(first)
    assert {counts[name] for name in names} == {1, 2}


def test_a_dry_run_shows_variants_in_one_row_or_each_in_its_own(matrix, tmp_path, calls):
    recipe = load_recipe(str(matrix))
    table = plan_table(recipe, preview(recipe, tmp_path / "run"))
    names = list(table.columns[0].cells)
    assert names == ["tokenizer", "web", "base-* (2)", "scores-* (2)", "arm-* (12)", "eval", "compare", "report"]
    arm = {str(column.header): list(column.cells)[4] for column in table.columns}
    assert (arm["reads"], arm["steps"], arm["would"]) == ("base-*, web, scores-*", "240", "run 12")
    assert table.columns[1].footer == "21 stages"
    assert table.columns[-1].footer == "run 21"
    assert str(table.caption).splitlines()[-1] == ("arm-*: seed: seed0, seed1; with it init, selection.token_scores")
    every = plan_table(recipe, preview(recipe, tmp_path / "run"), every=True)
    assert list(every.columns[0].cells) == [stage.name for stage in recipe.stages]
    tokens = sum(stage.sizes(recipe).tokens for stage in recipe.stages_of(PretrainStage))
    assert table.columns[4].footer == every.columns[4].footer == f"{tokens / 1000:.3g} k"
    go(matrix, tmp_path / "run")
    changed = load_recipe(str(matrix), ["stages.arm.matrix.selection.random.ratio=0.5"])
    table = plan_table(changed, preview(changed, tmp_path / "run"))
    assert list(table.columns[-1].cells) == [
        "skip",
        "skip",
        "skip 2",
        "skip 2",
        "skip 8, redo 4",
        "redo",
        "redo",
        "redo",
    ]


def test_a_part_runs_what_it_needs_and_the_whole_runs_the_rest(matrix, tmp_path, calls):
    recipe = load_recipe(str(matrix))
    part = part_of(recipe, ["arm-excess-lr1e-3-seed1"])
    one = ["tokenizer", "web", "base-seed1", "scores-seed1", "arm-excess-lr1e-3-seed1"]
    assert [stage.name for stage in part.stages] == one
    run_recipe(part, tmp_path / "run", console=Console(quiet=True))
    assert calls() == one
    run_recipe(part_of(recipe, ["base", "arm-full-*-seed1"]), tmp_path / "run", console=Console(quiet=True))
    assert calls() == ["base-seed0", "arm-full-lr1e-3-seed1", "arm-full-lr2e-3-seed1"]
    go(matrix, tmp_path / "run")
    assert Counter(calls()) == Counter(
        {"scores-seed0", "eval", "compare", "report"} | set(arms(matrix))
        - {"arm-excess-lr1e-3-seed1", "arm-full-lr1e-3-seed1", "arm-full-lr2e-3-seed1"}
    )  # fmt: skip


def test_a_part_of_nothing_is_told(matrix):
    with pytest.raises(RecipeError, match=r"--only amr-\*: the recipe .* has no such stage.*there are: .*base.*arm"):
        part_of(load_recipe(str(matrix)), ["arm-*", "amr-*"])
