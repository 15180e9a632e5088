"""Intervals, the paper's rows and the table that ends ``rho1bench eval``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from statsmodels.stats.proportion import proportion_confint

from rho1bench.comparison.eval_results import EvalResults, SuiteResult, TaskResult, suite_interval
from rho1bench.evaluation.result_table import result_table
from rho1bench.paper.suites import SUITES, find_suites, suites_called
from rho1bench.paper.tables import nearest_rows, paper_tables


def summary(right: int, n: int) -> TaskResult:
    return partly(right / n, n, binary=True)


def partly(score: float, n: int, stdev: float = 0.0, *, binary: bool = False) -> TaskResult:
    return TaskResult(
        metric="exact_match",
        score=score,
        n=n,
        binary=binary,
        stdev=stdev,
        truncated=1,
        prompts_too_long=0,
        version=1,
        data_sha256="d" * 64,
        prompts_sha256="e" * 64,
        generation_kwargs=None,
    )


def results(name: str, suites: dict[str, list[str]], tasks: dict[str, TaskResult]) -> EvalResults:
    unknown = dict.fromkeys(("step", "tokens", "selected_tokens", "revision", "weights_sha256", "git"))
    return EvalResults(
        schema=1,
        label=name,
        stage=name,
        model=name,
        num_parameters=10**9,
        engine="hf",
        engine_version="1",
        dtype="float32",
        device="cpu",
        engine_settings={},
        decoding={},
        grader=1,
        grader_sha256="b" * 64,
        versions={},
        limits={},
        suites={suite: SuiteResult(tasks=names, average=0.5) for suite, names in suites.items()},
        tasks=tasks,
        eval_fingerprint="f" * 64,
        seconds=1.0,
        **unknown,
    )


@pytest.mark.parametrize(("right", "n"), [(0, 8), (8, 8), (3, 10), (475, 1319), (1, 1)])
def test_intervals_of_right_and_wrong_answers_are_wilsons(right: int, n: int):
    expected = proportion_confint(right, n, method="wilson")
    assert summary(right, n).interval.as_list() == pytest.approx(list(expected), abs=1e-9)
    assert suite_interval([summary(right, n)]).as_list() == pytest.approx(list(expected), abs=1e-9)


def test_intervals_of_partial_scores_are_normal():
    found = partly(0.5, 100, 0.2).interval.as_list()
    assert found == pytest.approx([0.5 - 0.0392, 0.5 + 0.0392], abs=1e-4)


def test_the_mean_of_tasks_has_a_narrower_interval_that_keeps_its_distance_from_zero():
    interval = suite_interval([summary(0, 8)] * 9)
    assert interval.low == 0.0
    assert 0.0 < interval.high < summary(0, 8).interval.high
    interval, wide = suite_interval([summary(5, 10)] * 4), summary(5, 10).interval
    assert interval.high - interval.low == pytest.approx((wide.high - wide.low) / 2)


def test_the_papers_numbers_are_those_printed(shared_data: Path):
    printed = json.loads((shared_data / "reference" / "paper_tables.json").read_text())
    names = ["table1_few_shot_cot", "table2_tool_integrated", "table3_self_reference", "table4_self_reference_full"]
    names.append("table5_weak_to_strong")
    compared = 0
    for ours, name in zip(paper_tables()["tables"], names, strict=True):
        for row, theirs in zip(ours["rows"], printed[name], strict=True):
            for column, score in [*zip(ours["columns"], row["scores"], strict=True), ("AVG", row["average"])]:
                assert score == theirs.get(column), (name, theirs, column)
                compared += 1
            assert row.get("model") == theirs.get("model")
    assert compared == 21 * 10 + 10 * 8 + (6 + len(printed[names[3]])) * 7 + 2 * 10


def test_rows_of_the_paper_name_the_tasks_of_the_suites():
    for table in paper_tables()["tables"]:
        if table["suite"]:
            assert tuple(table["tasks"]) == SUITES[table["suite"]]
        assert len(table["columns"]) == len(table["tasks"])


def test_a_model_of_the_paper_stands_beside_its_own_row():
    (row,) = nearest_rows("rho1_math9", ["x", "rho-math-1b-v0.1"], 1_100_000_000)
    assert (row.model, row.average) == ("Rho-1-Math (30B) 1.1B", 40.9)
    assert row.scores["rho1_gsm8k_cot"] == 36.2
    (row,) = nearest_rows("rho1_tir7", ["rho-math-7b-interpreter-v0.1"], None)
    assert row.average == 75.3


def test_other_models_stand_beside_rows_of_their_size():
    rows = nearest_rows("rho1_math9", ["mine"], 135_000_000)
    assert [row.model for row in rows] == ["TinyLlama 1.1B", "TinyLlama-CT 1.1B", "Rho-1-Math 1.1B"]
    assert all("7B" in row.model for row in nearest_rows("rho1_math9", ["mine"], 7_200_000_000))
    assert nearest_rows("mini_math9", ["mine"], 135_000_000) == []
    assert nearest_rows("rho1_math9", ["mine"], None) == []


def test_the_table_shows_scores_beside_the_papers():
    tasks = {name: summary(4, 8) for name in SUITES["rho1_math9"]} | {"mini_sat": summary(1, 8)}
    suites = {"rho1_math9": list(SUITES["rho1_math9"]), "mini_sat": ["mini_sat"]}
    console = Console(width=160)
    with console.capture() as shown:
        console.print(result_table(results("mine", suites, tasks)))
    lines = [line for line in shown.get().splitlines() if "gsm8k" in line or "(mean)" in line or "mini_sat" in line]
    assert [cell.strip() for cell in lines[0].split("│")[1:-1]] == [
        "rho1_gsm8k_cot", "50.0", "21.5 to 78.5", "8", "1", "2.9", "6.4", "29.8",
    ]  # fmt: skip
    assert [cell.strip() for cell in lines[1].split("│")[-4:-1]] == ["13.4", "21.6", "38.1"]
    assert [cell.strip() for cell in lines[2].split("│")[-4:-1]] == ["", "", ""]


def test_short_names_stand_for_the_papers_suites():
    assert suites_called(["math", "tir", "mini_sat"]) == ["rho1_math9", "rho1_tir7", "mini_sat"]
    assert suites_called(["all"]) == ["rho1_math9", "rho1_tir7", "rho1_general15"]
    assert [len(suite.tasks) for suite in find_suites(suites_called(["all"]), {}, [])] == [9, 7, 15]
