"""General fixture rows: shapes, and code rows whose tests accept the solution and refuse a stub."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rho1bench.mini_world import GENERAL_TASKS, general_rows

CODE_TASKS = ("humaneval", "mbpp")
CHOICE_TASKS = tuple(task for task in GENERAL_TASKS if task not in ("tydiqa", *CODE_TASKS))


def _runs(source: str) -> bool:
    return subprocess.run([sys.executable, "-I", "-S", "-c", source], capture_output=True, timeout=20).returncode == 0


def _source(task: str, row: dict[str, object], body: str) -> str:
    if task == "humaneval":
        return f"{row['prompt']}{body}\n{row['tests']}\ncheck({row['entry_point']})\n"
    assert isinstance(row["tests"], list)
    return "\n".join([body, *row["tests"]])


def test_all_thirteen_tasks_have_rows() -> None:
    assert len(GENERAL_TASKS) == 13
    for task in GENERAL_TASKS:
        rows = general_rows(task)
        assert 8 <= len(rows) <= 16
        assert len({str(row) for row in rows}) == len(rows)
        assert len({frozenset(row) for row in rows}) == 1


@pytest.mark.parametrize("task", CHOICE_TASKS)
def test_choice_rows(task: str) -> None:
    for row in general_rows(task):
        choices, answer = row["choices"], row["answer"]
        assert isinstance(row["question"], str)
        assert isinstance(choices, list)
        assert isinstance(answer, int)
        assert 0 <= answer < len(choices) == len(set(choices))
        assert task != "winogrande" or row["question"].count("_") == 1
        assert task != "boolq" or choices == ["no", "yes"]
    answers = {row["answer"] for row in general_rows(task)}
    assert len(answers) > 1


def test_reading_rows_hold_their_answers() -> None:
    rows = general_rows("tydiqa")
    assert len({row["language"] for row in rows}) >= 5
    for row in rows:
        assert isinstance(row["answers"], list)
        assert row["answers"]
        spoken = str(row["context"]).lower()
        assert any(answer.lower() in spoken for answer in row["answers"])


@pytest.mark.parametrize("task", CODE_TASKS)
def test_code_rows_accept_the_solution_and_refuse_a_stub(task: str) -> None:
    for row in general_rows(task):
        assert _runs(_source(task, row, str(row["solution"])))
    row = general_rows(task)[0]
    stub = "    return None\n" if task == "humaneval" else f"def {row['entry_point']}(*_):\n    return None\n"
    assert not _runs(_source(task, row, stub))


def test_unknown_task() -> None:
    with pytest.raises(ValueError, match="unknown general task 'gsm8k'"):
        general_rows("gsm8k")
