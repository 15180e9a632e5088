"""The paper's verdicts on the reference data: every recorded answer and verdict, and the published accuracies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rho1bench.grading.paper.equality import quick_equal
from rho1bench.grading.paper.extraction import extract_answer, has_answer
from rho1bench.grading.paper.gold import TASKS, gold_answer, written_answer
from rho1bench.grading.pool import Question, WorkerPool
from rho1bench.grading.verdict import Verdict

RELEASED = {
    ("rho-math-1b-v0.1", "gsm8k"): 36.2,
    ("rho-math-1b-v0.1", "minerva_math"): 15.8,
    ("rho-math-1b-interpreter-v0.1", "gsm8k"): 58.4,
    ("rho-math-1b-interpreter-v0.1", "minerva_math"): 40.2,
}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def golds(shared_data: Path) -> dict[tuple[str, str], str]:
    found = {}
    for task in TASKS:
        for place, row in enumerate(read(shared_data / "data" / "math" / task / "test.jsonl")):
            found[task, str(row.get("idx", place))] = gold_answer(row, task)
    return found


def paper_verdicts(pool: WorkerPool, pairs: list[tuple[str, str, str]]) -> list[bool]:
    """Return whether each (pred, gold, task) is correct by the paper's protocol, as the grader decides it."""
    decided: list[bool | None] = [
        quick_equal(pred, gold) if has_answer(pred, task) else pred == gold for pred, gold, task in pairs
    ]
    open_pairs = [pair for pair, decision in zip(pairs, decided, strict=True) if decision is None]
    answers = iter(pool.ask([Question("paper", *pair) for pair in open_pairs]))
    return [next(answers) is Verdict.CORRECT if decision is None else decision for decision in decided]


def test_every_gold_answer_is_readable(golds: dict[tuple[str, str], str]) -> None:
    assert len(golds) == 13_468
    empty = [place for place, gold in golds.items() if not gold]
    assert empty == [("math", "97")], "the normal form takes the direction east for a unit"


def test_written_answers_are_readable(shared_data: Path) -> None:
    for task in TASKS:
        rows = read(shared_data / "data" / "math" / task / "test.jsonl")
        assert all(written_answer(row, task) for row in rows), task


def test_recorded_verdicts(shared_data: Path, pool: WorkerPool, golds: dict[tuple[str, str], str]) -> None:
    rows = read(shared_data / "reference" / "paper_verdicts.jsonl")
    assert len(rows) == 4_023
    assert [row for row in rows if golds[row["task"], str(row["idx"])] != row["gold"]] == []
    preds = [extract_answer(row["completion"], row["task"]) for row in rows]
    assert [row for row, pred in zip(rows, preds, strict=True) if pred != row["pred"]] == []
    found = paper_verdicts(pool, [(pred, row["gold"], row["task"]) for pred, row in zip(preds, rows, strict=True)])
    assert [row for row, right in zip(rows, found, strict=True) if right != row["verdict"]] == []


@pytest.mark.parametrize(("model", "folder"), RELEASED)
def test_released_outputs(shared_data: Path, pool: WorkerPool, model: str, folder: str) -> None:
    (path,) = (shared_data / "data" / "released_outputs" / model / folder).glob("*.jsonl")
    task, rows = ("gsm8k" if folder == "gsm8k" else "math"), read(path)
    assert len(rows) == {"gsm8k": 1319, "math": 500}[task]
    preds = [extract_answer(row["code"][0], task) for row in rows]
    assert [row for row, pred in zip(rows, preds, strict=True) if pred != (row["pred"][0] or "")] == []
    found = paper_verdicts(pool, [(pred, row["gt"], task) for pred, row in zip(preds, rows, strict=True)])
    assert [row for row, right in zip(rows, found, strict=True) if right != row["score"][0]] == []
    assert round(100 * sum(found) / len(found), 1) == RELEASED[model, folder]
