"""``--scale smoke`` as a function from recipe to recipe: everything small, nothing left out."""

from __future__ import annotations

import pytest
from small_recipe import SMALL, rho1bench

from rho1bench.paper.suites import SUITES
from rho1bench.pipeline.launch import Launch
from rho1bench.plan.launched import unfit_batches
from rho1bench.recipe import (
    CompareStage,
    CorpusStage,
    EvalStage,
    MiniWorldSource,
    ModelConfig,
    PretrainedModel,
    PretrainStage,
    Recipe,
    ScoreStage,
    SFTStage,
    TokenizerStage,
    TrainStage,
)
from rho1bench.recipe.loading.load import load_recipe, shipped_recipes
from rho1bench.recipe.loading.yaml_text import dump_yaml
from rho1bench.recipe.models.selection import BlockScope
from rho1bench.recipe.smoke import POSITIONS, smoke


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Recipe, Recipe]]:
    recipes = [load_recipe(name) for name in shipped_recipes()]
    return [(recipe, smoke(recipe)) for recipe in recipes]


def in_one_block(selection):
    """A selection whose sets of blocks, if it has them, hold one."""
    if selection is None or not isinstance(selection.scope, BlockScope):
        return selection
    return selection.model_copy(update={"scope": BlockScope(blocks=1)})


def test_all_recipes_keep_their_stages_and_what_makes_them(pairs):
    assert len(pairs) >= 11
    for full, small in pairs:
        assert small.scale == "smoke"
        assert [stage.name for stage in small.stages] == [stage.name for stage in full.stages]
        for before, after in zip(full.stages, small.stages, strict=True):
            assert type(before) is type(after)
            if isinstance(before, PretrainStage):
                assert isinstance(after, PretrainStage)
                same = ("corpus", "validation", "gradient_checkpointing")
                assert all(getattr(before, key) == getattr(after, key) for key in same)
                chosen = ("selection", "monitor")
                assert all(in_one_block(getattr(before, key)) == in_one_block(getattr(after, key)) for key in chosen)
                assert before.optimizer.learning_rate == after.optimizer.learning_rate
                assert before.optimizer.schedule == after.optimizer.schedule
                assert bool(before.num_checkpoints) == bool(after.num_checkpoints)
            if isinstance(before, ScoreStage):
                assert before.reference == after.reference


def test_nothing_of_a_smoke_recipe_needs_a_network_or_a_gpu(pairs):
    for _, small in pairs:
        for stage in small.stages:
            for source in getattr(stage, "sources", ()):
                assert isinstance(source, MiniWorldSource)
                assert source.num_documents <= 40
            if isinstance(stage, TokenizerStage):
                assert stage.pretrained is None
            if isinstance(stage, CorpusStage):
                assert stage.num_tokens is None
                assert stage.block_size <= 64
            if isinstance(stage, TrainStage):
                assert not isinstance(stage.init, PretrainedModel)
                assert (stage.precision, stage.compile, stage.loggers) == ("fp32", False, [])
                assert stage.max_steps <= 2
            if isinstance(stage, EvalStage):
                assert stage.engine == "hf"
                for item in stage.evaluations:
                    assert item.limit is not None
                    assert item.limit <= 2
                    assert all(suite.startswith(("mini_", "gold_answers:mini_", "corpus:")) for suite in item.suites)


def test_a_smoke_recipe_passes_the_checks_and_is_its_own_smoke(pairs, tmp_path):
    for full, small in pairs:
        path = tmp_path / f"{full.name}.yaml"
        path.write_text(dump_yaml(small.model_dump(mode="json")))
        assert load_recipe(str(path)) == small
        assert smoke(small) == small
        assert smoke(full) == small


def test_many_processes_get_a_block_each(tmp_path):
    full = load_recipe("math_1b")
    small, path = smoke(full, 32), tmp_path / "small.yaml"
    path.write_text(dump_yaml(small.model_dump(mode="json")))
    assert load_recipe(str(path)) == small
    assert list(unfit_batches(small, Launch(4, 8))) == []
    assert smoke(full, 2) == smoke(full)
    assert {stage.distributed is not None for stage in small.stages_of(TrainStage)} == {True}


def test_models_are_tiny_ones_of_the_same_family():
    def model(recipe: str, stage: str) -> ModelConfig:
        found = smoke(load_recipe(recipe)).stage(stage)
        assert isinstance(found, TrainStage)
        assert isinstance(found.init, ModelConfig)
        return found.init

    tinyllama, mistral = model("math_1b", "slm"), model("math_7b", "slm")
    llama, own = model("weak_to_strong", "slm"), model("quickstart", "base")
    assert (tinyllama.architecture, mistral.architecture) == ("llama", "mistral")
    assert (tinyllama.num_key_value_heads, mistral.num_key_value_heads, llama.num_key_value_heads) == (1, 1, 4)
    assert (tinyllama.tie_word_embeddings, own.tie_word_embeddings) == (False, True)
    assert {item.max_position_embeddings for item in (tinyllama, mistral, llama, own)} == {POSITIONS}


def test_scored_corpora_are_noisy_and_others_clean_and_share_no_documents():
    recipe = smoke(load_recipe("general_1b"))
    corpora = {stage.name: stage for stage in recipe.stages if isinstance(stage, CorpusStage)}
    assert [source.text for source in corpora["corpus"].sources] == ["web"] * 10
    assert [source.weight for source in corpora["corpus"].sources] == [120, 11, 8, 8, 8, 8, 7, 6, 4, 20]
    assert {source.text for source in corpora["curated"].sources} == {"clean"}
    spans = [
        range(source.offset, source.offset + source.num_documents)
        for stage in corpora.values()
        for source in stage.sources
    ]
    assert len(spans) == 13
    assert len({number for span in spans for number in span}) == sum(map(len, spans))


def test_suites_become_their_mini_versions():
    evaluation = smoke(load_recipe("general_1b")).stage("eval")
    assert isinstance(evaluation, EvalStage)
    suites = {suite for item in evaluation.evaluations for suite in item.suites}
    assert suites == {"mini_general15", "mini_tir7"} <= set(SUITES)


def test_a_scorer_from_elsewhere_becomes_a_tiny_stage_of_its_own():
    reference = {"pretrained": "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T"}
    full = load_recipe("math_1b", [f"stages.scores.reference={reference}"])
    small = smoke(full)
    names = [stage.name for stage in small.stages]
    assert names.index("scores-reference") == names.index("scores") - 1
    scores = small.stage("scores")
    assert isinstance(scores, ScoreStage)
    assert scores.reference == "scores-reference"


def test_seeds_are_cut_to_two_and_sft_samples_are_dialogues():
    seeds, sft = smoke(load_recipe("quickstart_seeds")), smoke(load_recipe("math_1b")).stage("slm-sft")
    assert seeds.seeds == [0, 1]
    assert isinstance(sft, SFTStage)
    assert [source.text for source in sft.sources] == ["sft_tir"]


def test_the_command_plans_a_smoke_run_in_a_folder_of_its_own(tmp_path):
    done = rho1bench("run", SMALL, "--scale", "smoke", "--dry-run")
    assert done.returncode == 0
    assert "runs/small.smoke" in done.stdout


def test_a_contest_stays_one_and_some_seed_counts(tmp_path):
    from contest_recipe import CONTEST, contest_recipe

    small = smoke(contest_recipe(tmp_path, lambda data: data.update(seeds=[0, 1, 2, 3], tuning_seeds=[0, 1])))
    assert (small.seeds, small.tuning_seeds) == ([0, 2], [0])
    (contest,) = small.stage("compare", CompareStage).contests
    assert (contest.choose_by, contest.tuning_seeds) == ("validation_loss", CONTEST["tuning_seeds"])
