"""The shipped recipes against the paper: headers, learning rates, tokens, ratios, rows; and all of them in small."""

from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from rho1bench.leaderboard.records.add import add
from rho1bench.leaderboard.records.checks import read_records
from rho1bench.leaderboard.records.contest_checks import read_contests
from rho1bench.pipeline.runner import run_recipe
from rho1bench.recipe import CompareStage, CorpusStage, EvalStage, HubSource, PretrainStage, Recipe, SFTStage
from rho1bench.recipe.loading.load import load_recipe, shipped_recipes
from rho1bench.recipe.part import part_of
from rho1bench.recipe.smoke import smoke
from rho1bench.system.files import read_json

MILLION = 1024 * 1024
SLM_AND_CLM = {
    # recipe: learning rate, ratio, tokens of training, block, learning rate of the reference
    "math_1b": (8e-5, 0.6, 15e9, 2048, 5e-5),
    "math_1b_30b": (8e-5, 0.6, 50e9, 2048, 5e-5),
    "math_7b": (2e-5, 0.7, 15e9, 4096, 1e-5),
    "general_1b": (1e-4, 0.6, 80e9, 2048, 5e-5),
    "weak_to_strong": (2e-5, 0.7, 15e9, 2048, 5e-5),
}
QUICK = ("self_reference",)
"""Recipes that the default suite runs in small: joined selections, and a second reference."""
SCALES = {"math_1b_24gb": "math_1b", "math_1b_80gb": "math_1b"}
"""Recipes that are another one at another size: in small they are the same but for what a test below names."""
CELL = {"when_it_pays": "compare-noise80-docs1-cover27"}
"""Of a recipe that is a map: the cell that is run, by the stage which compares its arms."""


def pretraining(recipe: Recipe, name: str) -> tuple[PretrainStage, int]:
    """A stage, and the tokens of one optimizer step."""
    stage = recipe.stage(name)
    assert isinstance(stage, PretrainStage)
    corpus = recipe.stage(stage.corpus)
    assert isinstance(corpus, CorpusStage)
    return stage, stage.batch_size * corpus.block_size


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_a_header_says_command_hardware_row_and_deviations(name):
    head = shipped_recipes()[name].read_text().partition("\nname:")[0].splitlines()
    assert all(line.startswith("#") and len(line) <= 120 for line in head)
    text = "\n".join(head)
    assert re.search(rf"#   command    rho1bench run {name}\b", text)
    for word in ("hardware", "reproduces", "deviations"):
        assert re.search(rf"^#   {word} +\S", text, re.MULTILINE)


@pytest.mark.parametrize("name", SLM_AND_CLM)
def test_settings_are_the_paper_s(name):
    rate, ratio, tokens, block, reference_rate = SLM_AND_CLM[name]
    recipe = load_recipe(name)
    slm, per_step = pretraining(recipe, "slm")
    clm, _ = pretraining(recipe, "clm")
    reference, _ = pretraining(recipe, "reference")
    assert per_step == MILLION
    assert per_step // slm.batch_size == block
    assert slm.max_steps * per_step == pytest.approx(tokens, rel=1e-3)
    assert (slm.optimizer.learning_rate, slm.optimizer.schedule) == (rate, "cosine")
    assert (reference.optimizer.learning_rate, reference.optimizer.schedule) == (reference_rate, "cosine")
    assert slm.selection is not None
    assert (slm.selection.score, slm.selection.ratio) == ("excess_loss", ratio)
    alone = {"name", "selection", "monitor"}
    assert slm.model_dump(exclude=alone) == clm.model_dump(exclude=alone)
    assert clm.selection is None
    assert clm.monitor == slm.selection


@pytest.mark.parametrize("name", ["math_1b", "math_1b_30b", "math_7b", "general_1b"])
def test_both_models_are_fine_tuned_alike_and_play_with_tools(name):
    recipe = load_recipe(name)
    slm, clm = recipe.stage("slm-sft"), recipe.stage("clm-sft")
    assert isinstance(slm, SFTStage)
    assert isinstance(clm, SFTStage)
    assert (slm.init, clm.init) == ("slm", "clm")
    assert slm.model_dump(exclude={"name", "init"}) == clm.model_dump(exclude={"name", "init"})
    evaluation = recipe.stage("eval")
    assert isinstance(evaluation, EvalStage)
    suites = {checkpoint: item.suites for item in evaluation.evaluations for checkpoint in item.checkpoints}
    assert suites["slm-sft"] == suites["clm-sft"] == ["rho1_tir7"]
    assert any(item.trajectory for item in evaluation.evaluations)
    compared = recipe.stage("compare")
    assert isinstance(compared, CompareStage)
    assert len(compared.pairs) == 2


def test_the_mixture_of_the_general_corpus_is_6_3_1():
    corpus = load_recipe("general_1b").stage("corpus")
    assert isinstance(corpus, CorpusStage)
    shares: Counter[str] = Counter()
    for source in corpus.sources:
        assert isinstance(source, HubSource)
        shares[source.dataset] += source.weight or 0
    web, code, mathematics = shares.values()
    assert (web / mathematics, code / mathematics) == (6, 3)
    assert all(source.shuffle_files for source in corpus.sources[:-1] if isinstance(source, HubSource))


def test_the_sweep_goes_from_40_to_100_percent():
    recipe = load_recipe("ratio_sweep")
    found = {}
    for percent in range(40, 101, 10):
        stage, _ = pretraining(recipe, f"slm-{percent}")
        assert stage.selection is not None
        found[percent] = stage.selection.ratio
    assert found == {percent: percent / 100 for percent in range(40, 101, 10)}


def rows_of_table_4(recipe: Recipe) -> list[tuple[str, str]]:
    """Every pretraining stage as ``(score function, ratios)`` in the table's words, the kept share left out."""
    words = {"reference_loss": "loss", "reference_entropy": "entropy"}
    rows = []
    for stage in recipe.stages:
        if not isinstance(stage, PretrainStage):
            continue
        selection = stage.selection
        if selection is None:
            rows.append(("none", "100%"))
        elif selection.all_of or selection.any_of:
            parts = selection.all_of or selection.any_of
            assert [words[part.score] for part in parts] == ["entropy", "loss"]
            name, sign = ("entropy AND loss", "n") if selection.all_of else ("entropy OR loss", "u")
            rows.append((name, f"{parts[0].ratio:.0%} {sign} {parts[1].ratio:.0%}"))
        else:
            rows.append((words[selection.score], f"{selection.ratio:.0%}"))
    return rows


def test_the_grid_is_the_whole_of_table_4_in_its_order(shared_data):
    table = read_json(shared_data / "reference" / "paper_tables.json")["table4_self_reference_full"]
    wanted = [(row["score_function"], row["select_ratio"].partition(" (")[0]) for row in table]
    found = rows_of_table_4(load_recipe("self_reference_grid"))
    assert len(found) == 22
    assert found == wanted


def test_table_3_has_its_six_rows():
    recipe = load_recipe("self_reference")
    stages = [stage for stage in recipe.stages if isinstance(stage, PretrainStage)]
    assert [stage.name for stage in stages] == [
        *("ct", "slm-loss", "slm-entropy", "slm-loss-and-entropy"),
        *("ppile-ct", "ppile-slm"),
    ]
    tokens = [stage.max_steps * MILLION for stage in stages]
    assert tokens == pytest.approx([15e9] * 4 + [52e9] * 2, rel=1e-3)
    assert recipe.stage("ppile-scores").reference == "ct"  # type: ignore[union-attr]


def run_small(name: str, folder: Path) -> None:
    """Run a shipped recipe at smoke scale (of a map one cell) and look at what it leaves."""
    recipe = smoke(load_recipe(name))
    if name in CELL:
        recipe = part_of(recipe, [CELL[name]])
    result = run_recipe(recipe, folder, console=Console(file=io.StringIO()))
    assert len(result.stages) == len(recipe.stages) * max(len(recipe.seeds), 1)
    assert all(stage.action == "run" for stage in result.stages)
    records_stand_apart(folder)
    if recipe.stages[-1].kind == "report" and not recipe.seeds:
        summary = read_json(folder / "summary.json")
        assert summary["scale"] == "smoke"
        assert summary["comparisons"] or summary["contests"]


def records_stand_apart(folder: Path) -> None:
    """What `leaderboard add` packs of the run is in order, and known for what it is."""
    results = folder.parent / "results"
    results.mkdir()
    assert add(folder, results)
    records, problems = read_records(results)
    contests, contest_problems = read_contests(results, records)
    assert (problems, contest_problems) == ([], [])
    assert {record.scale for record in (*records, *contests)} == {"smoke"}
    assert contests or any(record.comparison for record in records)


@pytest.mark.parametrize("name", QUICK)
def test_a_recipe_runs_end_to_end_in_small(name, tmp_path):
    run_small(name, tmp_path / "run")


@pytest.mark.sweep
@pytest.mark.parametrize("name", sorted(set(shipped_recipes()) - set(QUICK) - set(SCALES)))
def test_every_other_recipe_runs_end_to_end_in_small(name, tmp_path):
    run_small(name, tmp_path / "run")


@pytest.mark.parametrize("name", SCALES)
def test_a_recipe_of_another_size_is_the_same_in_small(name):
    """So its run in small would repeat that of the other: what differs are fields that other recipes and tests try."""
    ours, other = smoke(load_recipe(name)), smoke(load_recipe(SCALES[name]))
    differing: set[str] = set()
    for one, theirs in zip(ours.stages, other.stages, strict=True):
        values = theirs.model_dump()
        differing |= {key for key, value in one.model_dump().items() if value != values[key]}
    assert differing <= {"sources", "gradient_checkpointing", "distributed", "num_checkpoints", "evaluations"}


def test_every_shipped_recipe_is_run_in_small():
    assert len(shipped_recipes()) >= 11
    assert set(QUICK) | set(SCALES) < set(shipped_recipes())
