"""Grading files: the three kinds of lines, gold answers from a data folder, the summary, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rho1bench.errors import DataError
from rho1bench.grading.paper.gold import gold_answer, written_answer
from rho1bench.grading.saved_outputs import canonical_task, grade_file


def write(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    rows = [{"idx": 0, "answer": "We add.\n#### 1,200"}, {"idx": 1, "answer": "#### 5"}]
    write(tmp_path / "data" / "math" / "gsm8k" / "test.jsonl", *rows)
    write(
        tmp_path / "data" / "math" / "math" / "test.jsonl",
        {"solution": r"So $\boxed{30^\circ}$.", "answer": r"30^\circ"},
    )
    return tmp_path / "data"


def grade(tmp_path: Path, source: Path, *arguments: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    summary = grade_file(source, tmp_path / "out.jsonl", *arguments)
    return summary, [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]


def test_own_lines(tmp_path: Path, data_root: Path) -> None:
    source = write(
        tmp_path / "in.jsonl",
        {"task": "gsm8k", "idx": 0, "completion": "The answer is 1200.", "mine": [1]},
        {"task": "gsm8k", "idx": "1", "completion": "The answer is 500."},
        {"task": "math", "idx": 0, "completion": r"\boxed{30}"},
        {"task": "gsm8k", "idx": 1, "completion": ""},
    )
    summary, rows = grade(tmp_path, source, None, data_root)
    assert [(row["pred"], row["paper"], row["verified"]) for row in rows] == [
        ("1200", "correct", "correct"),
        ("500", "correct", "incorrect"),
        ("30", "correct", "correct"),
        ("", "no_answer", "no_answer"),
    ]
    assert rows[0]["mine"] == [1]
    assert summary["n"] == 4
    assert summary["tasks"]["gsm8k"]["paper"] == {
        "correct": 2, "incorrect": 0, "no_answer": 1, "timeout": 0, "error": 0
    }  # fmt: skip
    assert summary["tasks"]["gsm8k"]["verified_accuracy"] == 33.3
    assert [(entry["line"], entry["idx"], entry["gold"]) for entry in summary["disagreements"]] == [(2, "1", "5")]


def test_gold_answers_come_from_the_cache_of_downloads_too(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RHO1BENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = write(tmp_path / "in.jsonl", {"task": "gsm8k", "idx": 0, "completion": "The answer is 1200."})
    with pytest.raises(DataError, match="no gold answer"):
        grade(tmp_path, source)
    (tmp_path / "cache" / "rho1bench").mkdir(parents=True)
    data_root.rename(tmp_path / "cache" / "rho1bench" / "data")
    assert [row["paper"] for row in grade(tmp_path, source)[1]] == ["correct"]


def test_released_lines(tmp_path: Path) -> None:
    row = {
        "idx": 3,
        "gt": "18",
        "answer": "#### 18",
        "code": ["```python\n```\n\\boxed{18}"],
        "pred": ["18"],
        "score": [True],
    }
    source = write(tmp_path / "gsm8k" / "test_tora.jsonl", row)
    summary, rows = grade(tmp_path, source)
    assert rows == [row | {"pred": "18", "paper": "correct", "verified": "correct"}]
    assert list(summary["tasks"]) == ["gsm8k"]


def test_lm_eval_samples(tmp_path: Path) -> None:
    row = {
        "doc_id": 4,
        "doc": {"answer": "#### 7"},
        "target": "7",
        "resps": [["The answer is 7."]],
        "filtered_resps": ["7"],
    }
    source = write(tmp_path / "samples_rho1_gsm8k_cot_2026-01-02T03-04-05.678.jsonl", row)
    _, rows = grade(tmp_path, source)
    assert rows[0]["paper"] == "correct"
    own = write(
        tmp_path / "own.jsonl", {"task": "mini_math500", "doc_id": 0, "doc": {}, "target": "x=3", "completion": "is 3"}
    )
    summary, rows = grade(tmp_path, own)
    assert rows[0]["paper"] == rows[0]["verified"] == "correct"
    assert list(summary["tasks"]) == ["math"]


@pytest.mark.parametrize(
    ("name", "task"),
    [("rho1_math500_tir", "math"), ("rho1_gsm8k_cot", "gsm8k"), ("mini_sat", "sat_math"),
     ("mini_gsm_hard_tir", "gsm_hard"), ("minerva_math", "math"), ("mmlu_stem", "mmlu_stem"), ("hellaswag", None)],
)  # fmt: skip
def test_task_names(name: str, task: str | None) -> None:
    assert canonical_task(name) == task


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["{"], ["line 1", "not JSON"]),
        (["[1]"], ["line 1", "JSON object"]),
        ([], ["no lines"]),
        ([{"idx": 0, "completion": "5"}], ["line 1", "task"]),
        ([{"task": "gsm8k", "completion": "5"}], ["line 1", "gold"]),
        ([{"task": "gsm8k", "idx": 9, "completion": "5"}], ["line 1", "no row 9"]),
        ([{"task": "svamp", "idx": 0, "completion": "5"}], ["svamp", "no such file"]),
        ([{"task": "gsm8k", "idx": 0}], ["line 1", "no completion"]),
        ([{"task": "gsm8k", "idx": 0, "completion": 5}], ["line 1", "int"]),
        ([{"task": "gsm8k", "completion": "5", "gold": ""}], ["line 1", "gold answer '' is empty"]),
        ([{"task": "math", "completion": "5", "gold": r"\frac{1"}], ["line 1", "braces"]),
        ([{"task": "math", "completion": "5", "gold": "??"}], ["line 1", "no letter and no digit"]),
        ([{"task": "math", "completion": "5", "gold": ["5"]}], ["line 1", "list"]),
        ([{"task": "math", "completion": "5", "gold": True}], ["line 1", "bool"]),
        ([{"task": "mathqa", "completion": "(A)", "gold": "seven"}], ["line 1", "no option"]),
        ([{"task": "math", "completion": ["5", "6"], "gold": "5"}], ["line 1", "2 responses"]),
        ([{"task": "math", "code": ["5", "6", "7"], "gold": "5"}], ["line 1", "3 responses"]),
        ([{"task": "math", "resps": [["5", "6"]], "filtered_resps": ["5"], "gold": "5"}], ["line 1", "2 responses"]),
        ([{"task": "math", "resps": [["5"], ["6"]], "gold": "5"}], ["line 1", "2 responses"]),
    ],
)
def test_bad_lines_are_named_and_nothing_is_written(
    tmp_path: Path, data_root: Path, rows: list[Any], words: list[str]
) -> None:
    source = write(tmp_path / "in.jsonl", *rows)
    with pytest.raises(DataError) as failure:
        grade_file(source, tmp_path / "out.jsonl", None, data_root)
    assert all(word in str(failure.value) for word in words), failure.value
    assert not (tmp_path / "out.jsonl").exists()


def test_all_bad_lines_are_counted(tmp_path: Path) -> None:
    good = {"task": "math", "completion": "5", "gold": "5"}
    rows = [good, good | {"gold": ""}, "{", good | {"completion": ["5", "6"]}, good]
    source = write(tmp_path / "in.jsonl", *rows)
    with pytest.raises(DataError) as failure:
        grade_file(source, tmp_path / "out.jsonl")
    assert "line 2: the gold answer '' is empty" in str(failure.value)
    assert "3 of 5 lines cannot be graded: lines 2, 3, 4." in str(failure.value)


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        grade_file(tmp_path / "none.jsonl", tmp_path / "out.jsonl")
    with pytest.raises(DataError, match="expected one of gsm8k"):
        grade_file(tmp_path / "none.jsonl", tmp_path / "out.jsonl", "gsm9k")


@pytest.mark.parametrize(
    ("task", "row", "normal", "written"),
    [
        ("gsm8k", {"answer": "a\n#### 1,200"}, "1,200", "1,200"),
        ("svamp", {"Answer": 12.0}, "12", "12"),
        ("asdiv", {"answer": "9 (apples)"}, "9", "9 apples"),
        ("mawps", {"target": 3.5}, "3.5", "3.5"),
        ("tabmwp", {"answer": "3/4", "ans_type": "decimal_number", "unit": None}, "0.75", "3/4"),
        ("tabmwp", {"answer": "1,250", "ans_type": "integer_number", "unit": "$"}, "1250", r"\$1,250"),
        ("tabmwp", {"answer": "50%", "ans_type": "decimal_number"}, "0.5", "50%"),
        ("tabmwp", {"answer": "Thursday", "ans_type": "multi_choice"}, "Thursday", "Thursday"),
        ("mathqa", {"correct": "d"}, "D", "D"),
        ("mmlu_stem", {"answer": 2}, "C", "C"),
        ("sat_math", {"Answer": "B"}, "B", "B"),
        ("gsm_hard", {"target": 12345.5}, "12345.5", "12345.5"),
        ("math", {"solution": r"\boxed{\text{(C)}}", "answer": r"\text{(C)}"}, "(C)", r"\text{(C)}"),
    ],
)
def test_gold_answers(task: str, row: dict[str, Any], normal: str, written: str) -> None:
    assert gold_answer(row, task) == normal
    assert written_answer(row, task) == written


@pytest.mark.parametrize(("task", "row"), [("gsm8k", {"answer": "5"}), ("mathqa", {"correct": "f"}), ("mmlu_stem", {})])
def test_unreadable_gold_is_a_data_error(task: str, row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="gold"):
        gold_answer(row, task)


def test_tables_are_our_own_lines(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text('task,completion,gold,note\ngsm8k,"The answer is\n5.",5,\ngsm8k,The answer is 6.,5,kept\n')
    summary, rows = grade(tmp_path, source)
    assert [row["paper"] == "correct" for row in rows] == [True, False]
    assert rows[1]["note"] == "kept"
    assert "note" not in rows[0]
    assert summary["n"] == 2


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("in.txt", "5\n", "is plain text, which holds no gold answers"),
        ("in.csv", "task,answer\ngsm8k,5\n", "no column 'completion'.*got 'task', 'answer'"),
        ("in.tsv", "task\tcompletion\tgold\ngsm8k\t5\n", "line 2: expected 3 cells"),
        ("in.csv", "completion\n", "no rows below its header"),
        ("in.csv", 'completion\n"a"b\n', "is not CSV"),
    ],
)
def test_tables_and_texts_that_cannot_be_graded_are_named(tmp_path: Path, name: str, text: str, word: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=word):
        grade_file(tmp_path / name, tmp_path / "out.jsonl")
