"""A contest that takes bits per byte beside accuracy: chosen, compared, on the pages, in the record, computed again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from contest_recipe import DEV, SUITE, TASKS, contest_recipe, fewer, finish, write_run
from fake_records import write_results
from small_recipe import stage

from rho1bench.comparison import stage as comparison_stage
from rho1bench.comparison.contest.from_run import ContestRun, contest_of_run
from rho1bench.comparison.contest.results import ContestResult, ContestSuite
from rho1bench.comparison.run_summary import read_run_summary
from rho1bench.errors import DataError, RecipeError
from rho1bench.leaderboard.pages.build import add_and_build, check_results
from rho1bench.leaderboard.records.contest_checks import read_contests
from rho1bench.leaderboard.records.contest_record import contest_fingerprint, held_again
from rho1bench.leaderboard.records.record import record_sha256
from rho1bench.pipeline.runner import preview
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import CompareStage, EvalStage, Recipe
from rho1bench.recipe.loading.yaml_text import dump_yaml
from rho1bench.recipe.part import part_of
from rho1bench.rendering import numbers as fmt
from rho1bench.report import stage as report_stage
from rho1bench.system.files import read_json, read_jsonl, write_json
from rho1bench.system.progress import SilentProgress

GOLD, WEB = f"gold_answers:{SUITE}", "corpus:web"
PAIR = {"treatment": "arm-excess-lr2e-3-seed1", "baseline": "arm-full-lr2e-3-seed1"}


def with_texts(data: dict[str, Any]) -> None:
    fewer(data)
    stage(data, "eval")["evaluations"][0]["suites"] = [SUITE, DEV, GOLD, WEB]


def with_a_pair(data: dict[str, Any]) -> None:
    with_texts(data)
    stage(data, "compare")["pairs"] = [PAIR]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; its page shows a pair too, of which no record is made."""
    folder = tmp_path_factory.mktemp("run")
    recipe = contest_recipe(folder, with_a_pair)
    folders = write_run(folder / "stages", recipe, rows=30)
    for name, entry in (("compare", comparison_stage.run), ("report", report_stage.run)):
        folders[name].mkdir()
        entry(StageContext(recipe, recipe.stage(name), folders[name], folders, recipe.seed, SilentProgress()))
    recipe = contest_recipe(folder, with_texts)
    (folder / "recipe.yaml").write_text(dump_yaml(recipe.model_dump(mode="json")))
    write_json(folder / "summary.json", {})
    finish(folder, recipe)
    return folder


def held(run: Path, recipe: Recipe | None = None, **changes: Any) -> ContestRun:
    recipe = recipe or contest_recipe(run, with_texts)
    (contest,) = recipe.stage("compare", CompareStage).contests
    folders = {one.name: run / "stages" / one.name for one in recipe.stages}
    return ContestRun(contest.model_copy(update=changes), recipe, recipe.stage("eval", EvalStage), folders)


@pytest.fixture(scope="module")
def result(run: Path) -> ContestResult:
    return contest_of_run(held(run))


def on(result: ContestResult, suite: str) -> ContestSuite:
    return next(one for one in result.suites if one.suite == suite)


def test_bits_are_compared_as_scores_are_and_lower_is_better(run: Path, result: ContestResult) -> None:
    assert [one.suite for one in result.suites] == [SUITE, DEV, GOLD, WEB]
    assert [one.unit for one in result.suites] == ["share", "share", "bits per byte", "bits per byte"]
    assert list(on(result, GOLD).tasks) == TASKS
    for suite in (on(result, GOLD), on(result, WEB)):
        assert suite.best_control == suite.arms[0].arm == "reference"
        excess, full = suite.arm("excess"), suite.arm("full")
        assert excess.score < full.score
        assert excess.against["full"].difference == pytest.approx(excess.score - full.score)
        assert excess.against["full"].equivalence.margin == pytest.approx(0.03 * full.score)
    rows = [
        read_jsonl(run / "stages" / "eval" / f"arm-excess-lr2e-3-seed{seed}" / "bits_corpus_web.jsonl")
        for seed in (1, 2, 3)
    ]
    by_hand = [sum(row["bits"] for row in one) / sum(row["num_bytes"] for row in one) for one in rows]
    assert list(on(result, WEB).arm("excess").seeds.values()) == pytest.approx(by_hand, abs=1e-4)


def test_accuracy_is_judged_as_if_nothing_else_were_measured(run: Path, result: ContestResult) -> None:
    alone = contest_of_run(held(run, suites=[SUITE, DEV]))
    assert alone.suites == result.suites[:2]


def test_a_text_can_decide_a_setting_and_the_lowest_wins(run: Path) -> None:
    found = contest_of_run(held(run, choose_by=WEB))
    assert WEB not in [one.suite for one in found.suites]
    for choice in found.chosen:
        assert choice.setting == (min(choice.values, key=lambda name: choice.values[name]) if choice.values else "")


def test_other_blocks_are_not_paired(run: Path, tmp_path: Path) -> None:
    contest = held(run)
    label = contest.label("arm-excess-lr2e-3-seed2")
    other = label.results.corpora["web"].model_copy(update={"data_sha256": "d" * 64})
    object.__setattr__(label, "results", label.results.model_copy(update={"corpora": {"web": other}}))
    with pytest.raises(DataError, match="bits per byte of web"):
        contest_of_run(contest)


def test_the_page_shows_bits_of_arms_and_of_the_pair(run: Path, result: ContestResult) -> None:
    publish = run / "stages" / "report" / "publish"
    summary = read_run_summary(publish / "summary.json")
    (pair,) = summary.comparisons
    assert pair.bits_per_byte is not None
    assert summary.bits_per_byte is not None
    found = pair.bits_per_byte.corpora["web"]
    values = summary.bits_per_byte.corpora["web"].checkpoints
    assert found.difference == pytest.approx(values[PAIR["treatment"]] - values[PAIR["baseline"]], abs=1e-4)
    for name in ("report.html", "report.md"):
        text = (publish / name).read_text(encoding="utf-8").replace("\\_", "_")
        assert fmt.signed(found.difference, 4) in text
        assert "Lower is better" in text
        for suite in (GOLD, WEB):
            for arm in on(result, suite).arms:
                assert f"{arm.score:.4f}" in text
    assert (publish / "figures" / "contest-contest-corpus-web.svg").is_file()


def test_the_record_holds_the_bits_and_is_computed_again(run: Path, tmp_path: Path) -> None:
    landed = write_results(tmp_path / "results", [])
    add_and_build(run, landed)
    assert check_results(landed) == []
    (contest,), _ = read_contests(landed, [])
    assert contest.result == held_again(contest)
    assert list(contest.suites) == [SUITE, DEV, GOLD, WEB]
    for page in ("leaderboard.html", "LEADERBOARD.md"):
        text = (landed / page).read_text(encoding="utf-8").replace("\\_", "_")
        assert f"{contest.result.suites[3].arm('excess').score:.4f}" in text
    path = landed / "records" / f"{contest.id}.json"
    for change, expected in (
        (lambda data: data["runs"][0]["scores"][WEB]["web"].__setitem__(0, 1.0), "result.suites.3"),
        (lambda data: data["suites"][WEB]["tasks"]["web"].update(metric="exact_match"), "it is bits_per_byte"),
    ):
        data = read_json(path)
        change(data)
        data["eval_fingerprint"] = contest_fingerprint(data)
        path.write_text(json.dumps(data | {"sha256": record_sha256(data)}))
        assert any(expected in problem for problem in read_contests(landed, [])[1])
        add_and_build(run, landed)


def test_a_measured_corpus_is_an_input_of_the_evaluation_alone(run: Path) -> None:
    def edit(data: dict[str, Any], documents: int = 10) -> None:
        with_texts(data)
        source = {"type": "mini_world", "text": "clean", "num_documents": documents}
        held_out = stage(data, "web") | {"name": "held-out", "sources": [source]}
        data["stages"].insert(2, held_out)
        stage(data, "eval")["evaluations"][0]["suites"].append("corpus:held-out")

    first = contest_recipe(run, edit)
    assert "held-out" in [one.name for one in part_of(first, ["eval"]).stages]
    again = contest_recipe(run, lambda data: edit(data, 11))
    fingerprints = [{one.name: decision.action for one, decision in preview(recipe, run)} for recipe in (first, again)]
    assert all(found["arm-excess-lr2e-3-seed1"] == "skip" for found in fingerprints)
    assert all(found["eval"] == "run" for found in fingerprints)


WRONG = {
    "gold_answers:mini_svamp": "'mini_svamp' is not among these suites",
    "corpus:wep": "there is no earlier stage 'wep' of kind corpus (did you mean 'web'?)",
    "corpus:base": "there is no earlier stage 'base' of kind corpus",
}


@pytest.mark.parametrize("suite", WRONG)
def test_a_text_of_nothing_is_refused(suite: str, tmp_path: Path) -> None:
    def edit(data: dict[str, Any]) -> None:
        stage(data, "eval")["evaluations"][0]["suites"] = [SUITE, suite]

    with pytest.raises(RecipeError) as caught:
        contest_recipe(tmp_path, edit)
    assert WRONG[suite] in str(caught.value)
