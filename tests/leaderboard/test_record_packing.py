"""From real folders to records: an evaluation, a run with seeds, names and paths; and ``rho1bench compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eval_folders import write_label
from fake_records import fake_pair, fake_record, with_hashes, write_results
from typer.testing import CliRunner

from rho1bench.cli.app import app
from rho1bench.errors import DataError
from rho1bench.leaderboard.records import from_evaluation
from rho1bench.leaderboard.records.add import add
from rho1bench.leaderboard.records.checks import read_records
from rho1bench.leaderboard.records.compare import compare
from rho1bench.leaderboard.records.record_summary import selection_text
from rho1bench.paper.suites import SUITES

FACTS: dict[str, Any] = {
    "model": "/srv/models/Tiny-Model",
    "revision": None,
    "weights_sha256": "a" * 64,
    "num_parameters": 1000,
    "engine_settings": {"max_model_len": 384},
    "device": "cpu",
    "grader": 1,
    "grader_sha256": "b" * 64,
    "git": {"commit": "c" * 40, "dirty": False},
    "versions": {},
}


def evaluated(folder: Path, label: str, *, seed: int = 0, limit: int | None = None, **facts: Any) -> Path:
    """Write what ``rho1bench eval`` leaves for a model on mini_math9 with 30 documents a task."""
    generator = np.random.default_rng(seed)
    scores = {task: [float(value) for value in generator.random(30) < 0.5] for task in SUITES["mini_math9"]}
    write_label(folder, label, scores, limits={"mini_math9": limit}, **(FACTS | facts))
    return folder / label


def test_an_evaluation_becomes_a_record_without_a_path_of_the_machine(tmp_path: Path) -> None:
    (record,) = from_evaluation.pack_evaluation(evaluated(tmp_path, "Tiny-Model"))
    assert (record.id, record.scale, record.limit) == ("mini_math9/tiny-model", "mini", None)
    assert record.model.source == "Tiny-Model"
    assert "srv" not in record.model_dump_json()
    assert record.command == "rho1bench eval Tiny-Model --suite mini_math9 --engine hf --max-model-len 384"
    assert record.average.n == 9 * 30


def test_scores_stand_in_the_order_of_the_test_set() -> None:
    found = from_evaluation.TaskScores({"10": 1.0, "9": 0.0, "2": 0.5}, {})
    assert from_evaluation.ordered(found) == ["2", "9", "10"]
    assert from_evaluation.ordered(from_evaluation.TaskScores({"b/10": 1.0, "b/9": 0.0, "a/11": 0.5}, {})) == [
        "a/11",
        "b/9",
        "b/10",
    ]


def test_a_limit_is_part_of_the_name_and_of_the_command(tmp_path: Path) -> None:
    (record,) = from_evaluation.pack_evaluation(evaluated(tmp_path, "m", limit=30), "My Model / v2")
    assert record.id == "mini_math9/my-model-v2.limit30"
    assert "--limit 30" in record.command
    assert record.model.name == "My Model / v2"


def test_adding_writes_once_and_refuses_another_checkpoint_of_the_same_name(tmp_path: Path) -> None:
    results = tmp_path / "results"
    write_results(results, [])
    folder = evaluated(tmp_path / "evals", "tiny")
    assert [path.name for path in add(folder, results)] == ["tiny.json"]
    assert add(folder, results) == []
    other = evaluated(tmp_path / "others", "tiny", seed=1, weights_sha256="f" * 64)
    with pytest.raises(DataError, match="the record of another checkpoint"):
        add(other, results)
    assert [path.name for path in add(other, results, "tiny-2")] == ["tiny-2.json"]
    records, problems = read_records(results)
    assert [record.id for record in records] == ["mini_math9/tiny", "mini_math9/tiny-2"]
    assert problems == []


def test_an_older_evaluation_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = evaluated(tmp_path, "old")
    data = json.loads((folder / "results.json").read_text())
    del data["rho1bench"]["grader_sha256"]
    (folder / "results.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match="Run the same command again; its answers are kept"):
        from_evaluation.pack_evaluation(folder)


def test_a_folder_of_neither_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither a run"):
        add(tmp_path, tmp_path / "results")


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("extends: quickstart\nname: mine\n")
    with pytest.raises(DataError, match=r"not finished, (\d+) of \1 stages are missing: tokenizer, .*, \.\.\.\."):
        add(tmp_path, tmp_path / "results")
    (tmp_path / "recipe.yaml").write_text("extends: quickstart\nname: mine\nseeds: [3, 4]\n")
    with pytest.raises(DataError, match="not finished, seed-3, seed-4 of 2 seeds have not begun"):
        add(tmp_path, tmp_path / "results")


def test_what_a_folder_lacks_is_said_of_each_kind(tmp_path: Path) -> None:
    for place, words in ((tmp_path / "no", "does not exist"), (Path(__file__), "is a file"), (tmp_path, "no recipe")):
        with pytest.raises(DataError, match=words):
            add(place, tmp_path / "results")


def test_compare_prints_and_writes_the_differences(tmp_path: Path) -> None:
    results = write_results(tmp_path / "results", fake_pair("one"))
    arguments = ["compare", "rho1_math9/one.slm.seed0", "rho1_math9/one.clm.seed0", "--results", str(results)]
    result = CliRunner().invoke(app, [*arguments, "--json", str(tmp_path / "out.json")])
    assert result.exit_code == 0
    assert "tokens to the baseline's" in result.output
    (found,) = json.loads((tmp_path / "out.json").read_text())
    shipped = json.loads((results / "records/rho1_math9/one.slm.seed0.json").read_text())["comparison"]
    assert len(found["tasks"]) == 9
    assert {key: found["average"][key] for key in shipped["average"] if key != "p_holm"} == {
        key: value for key, value in shipped["average"].items() if key != "p_holm"
    }
    assert found["tokens_to_baseline"]["share"] == pytest.approx(shipped["tokens_to_baseline"]["share"])


def test_compare_names_the_part_that_differs(tmp_path: Path) -> None:
    left, right = fake_pair("one")
    right["tasks"]["rho1_sat_cot"]["prompts_sha256"] = "1" * 64
    results = write_results(tmp_path / "results", [with_hashes({**left, "comparison": None}), with_hashes(right)])
    with pytest.raises(DataError, match="prompts_sha256 of rho1_sat_cot"):
        compare("rho1_math9/one.slm.seed0", "rho1_math9/one.clm.seed0", results)


def test_compare_takes_folders_of_evaluations_and_names_what_is_unknown(tmp_path: Path) -> None:
    left, right = (evaluated(tmp_path, name, seed=index) for index, name in enumerate(("a", "b")))
    (found,) = compare(str(left), str(right), tmp_path)
    assert found.suite == "mini_math9"
    assert found.average.n == 270
    results = write_results(tmp_path / "results", [fake_record("known-model")])
    with pytest.raises(DataError, match="rho1_math9/known-model"):
        compare("known", str(left), results)
    with pytest.raises(DataError, match="no suite is common"):
        compare("rho1_math9/known-model", str(left), results)


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ({"ratio": 0.3, "token_scores": "scores"}, "excess_loss 30%"),
        ({"score": "position_ramp", "parameters": {"length": 20}}, "position_ramp (length 20)"),
        ({"ratio": {"schedule": "linear", "start": 1.0, "end": 0.5}}, "excess_loss 100% to 50%"),
        (
            {"score": "random", "ratio": {"schedule": "full_then", "steps": 9, "ratio": 0.5}},
            "random 100% for 9 steps, then 50%",
        ),
    ],
)
def test_a_selection_in_words(selection, words):
    assert selection_text(selection) == words
