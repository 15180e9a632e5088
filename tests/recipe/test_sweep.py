"""``rho1bench sweep``: axes from the command line, the stages that follow them, seeds for what is compared."""

from __future__ import annotations

import pytest
from small_recipe import SMALL, child, rho1bench

from rho1bench.errors import RecipeError
from rho1bench.recipe import CompareStage, EvalStage, PretrainStage, Recipe, ScoreStage
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.recipe.loading.sweep import Sweep, read_seeds


def swept(*settings: str, seeds: tuple[int, ...] = (), path: object = SMALL) -> Recipe:
    return load_recipe(str(path), sweep=Sweep(settings, seeds))


def names(recipe: Recipe) -> list[str]:
    return [stage.name for stage in recipe.stages]


def pairs(recipe: Recipe) -> list[tuple[str, str]]:
    return [(pair.treatment, pair.baseline) for pair in recipe.stage("compare", CompareStage).pairs]


def test_a_sweep_is_a_matrix_on_the_stage_that_has_the_key():
    recipe = swept("stages.slm.selection.ratio=0.3,0.6", "stages.slm.optimizer.learning_rate=1e-3,2e-3", "jobs=2")
    arms = [name for name in names(recipe) if name.startswith("slm")]
    assert arms == [f"slm-{ratio}-{lr}" for ratio in ("ratio0p3", "ratio0p6") for lr in ("lr1e-3", "lr2e-3")]
    assert [name for name in names(recipe) if not name.startswith("slm")] == [
        "tokenizer", "web", "base", "scores", "clm", "eval", "compare", "report",
    ]  # fmt: skip
    assert recipe.stage(arms[1], PretrainStage).optimizer.learning_rate == 2e-3
    assert recipe.stage("eval", EvalStage).final_checkpoints == ["clm", *arms]
    assert pairs(recipe) == [(arm, "clm") for arm in arms]
    assert (recipe.name, recipe.jobs) == ("small-sweep", 2)


def test_seeds_go_to_what_is_swept_and_what_it_is_compared_with():
    recipe = swept("stages.slm.selection.ratio=0.3,0.6", seeds=(0, 1))
    assert pairs(recipe) == [(f"slm-ratio{r}-seed{s}", f"clm-seed{s}") for r in ("0p3", "0p6") for s in (0, 1)]
    assert [recipe.stage(name).seed for name in ("clm-seed1", "slm-ratio0p3-seed0", "base")] == [1, 0, None]
    assert "base-seed0" not in names(recipe)
    alone = swept(seeds=(4, 7))
    assert pairs(alone) == [("slm-seed4", "clm-seed4"), ("slm-seed7", "clm-seed7")]


def test_what_reads_a_swept_stage_follows_it():
    recipe = swept("stages.web.sources.0.noise_share=0.2,0.5", seeds=(0, 1))
    assert [name for name in names(recipe) if name.startswith(("web", "base", "scores"))] == [
        *("web-noise0p2", "web-noise0p5", "base-noise0p2-seed0", "base-noise0p2-seed1", "base-noise0p5-seed0"),
        *("base-noise0p5-seed1", "scores-noise0p2-seed0", "scores-noise0p2-seed1", "scores-noise0p5-seed0"),
        "scores-noise0p5-seed1",
    ]
    slm = recipe.stage("slm-noise0p5-seed1", PretrainStage)
    assert (slm.corpus, slm.init, slm.selection.token_scores) == (
        "web-noise0p5", "base-noise0p5-seed1", "scores-noise0p5-seed1",
    )  # fmt: skip
    scores = recipe.stage("scores-noise0p2-seed1", ScoreStage)
    assert (scores.reference, scores.corpus) == ("base-noise0p2-seed1", "web-noise0p2")
    assert set(pairs(recipe)) == {
        (f"slm-{n}-{s}", f"clm-{n}-{s}") for n in ("noise0p2", "noise0p5") for s in ("seed0", "seed1")
    }


def test_a_sweep_adds_to_a_matrix_that_is_there(tmp_path):
    text = SMALL.read_text().replace(
        "    max_steps: 20\n    num_checkpoints: 2\n    selection",
        "    max_steps: 20\n    matrix: {batch_size: [2, 4]}\n    selection",
    )
    path = child(tmp_path, text)
    recipe = swept("stages.slm.selection.ratio=0.3,0.6", path=path)
    assert [name for name in names(recipe) if name.startswith("slm")] == [
        "slm-batch2-ratio0p3", "slm-batch2-ratio0p6", "slm-batch4-ratio0p3", "slm-batch4-ratio0p6",
    ]  # fmt: skip
    assert swept("stages.slm.matrix.batch_size=1,2,4", path=path).has("slm-batch1")


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (("stages.slmm.selection.ratio=0.3,0.4",), "there is no stage 'slmm' (did you mean 'slm'?)"),
        (("stages.slm.selection.rato=0.3,0.4",), "unknown key 'selection.rato' (did you mean 'ratio'?)"),
        (("seed=1,2",), "--set seed=1,2: expected stages.NAME.KEY=VALUE,VALUE"),
        (("stages.slm=1,2",), "expected stages.NAME.KEY=VALUE,VALUE"),
        (("stages.slm.selection.ratio=0.3,]",), "the values are not YAML"),
        (("stages.slm.selection.ratio=0.3,7",), "slm.matrix.selection.ratio.1: expected a number greater than 0"),
        (("stages.slm.selection={ratio: 0.3},{ratio: 0.4}",), "needs a label"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_told(settings, part):
    with pytest.raises(RecipeError) as caught:
        swept(*settings)
    assert part in str(caught.value)
    assert f"--set {settings[0]}" in str(caught.value)


def test_seeds_are_a_number_or_a_list():
    assert (read_seeds("3"), read_seeds("1,2,5"), read_seeds(None)) == ([0, 1, 2], [1, 2, 5], [])
    for text in ("x", "0", "", "1,", "-1", "1000000000000"):
        with pytest.raises(RecipeError, match="expected the number of seeds"):
            read_seeds(text)
    with pytest.raises(RecipeError, match="no training stage is swept or compared"):
        swept("stages.compare.num_resamples=10,20", seeds=(1,))


def test_the_command_carries_a_sweep_out(tmp_path):
    run = tmp_path / "run"
    arguments = ("sweep", SMALL, "--set", "stages.slm.selection.ratio=0.3,0.6", "--seeds", "2", "--output", run)
    shown = rho1bench(*arguments, "--dry-run", fake=True)
    assert "slm-* (4)" in shown.stdout
    assert "slm-ratio0p3-seed0" in rho1bench(*arguments, "--dry-run", "--all", fake=True).stdout
    assert not run.exists()
    done = rho1bench(*arguments, fake=True)
    assert done.returncode == 0, done.stderr
    finished = {path.parent.name for path in (run / "stages").glob("*/manifest.json")}
    assert {"slm-ratio0p3-seed1", "slm-ratio0p6-seed0", "clm-seed0", "clm-seed1", "base", "report"} <= finished
    assert load_recipe(str(run / "recipe.yaml")) == swept("stages.slm.selection.ratio=0.3,0.6", seeds=(0, 1))
