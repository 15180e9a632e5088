"""``rho1bench grade`` and ``rho1bench bench grade`` as called: tables, exit codes, nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rho1bench.bench.grade import example_answers
from rho1bench.cli.app import main


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it printed."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def rho1bench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Done]:
    """The command in this process, from its arguments to its exit code."""
    monkeypatch.delenv("RHO1BENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))

    def call(*arguments: object) -> Done:
        monkeypatch.setattr("sys.argv", ["rho1bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        assert isinstance(end.value.code, int)
        return Done(end.value.code, *capsys.readouterr())

    return call


def write(path: Path, *rows: Any) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


GOOD = {"task": "gsm8k", "idx": 0, "completion": "The answer is 5.", "gold": "5"}


def test_grades_a_file_and_lists_every_disagreement(rho1bench: Callable[..., Done], tmp_path: Path) -> None:
    interval = {"task": "math", "idx": 7, "completion": r"\boxed{[1,2]}", "gold": "(1,2)"}
    odd = {"task": "gsm8k", "idx": 1, "completion": "The answer is 500.", "gold": "5", "note": "\ud800 é"}
    source = write(tmp_path / "in.jsonl", GOOD, odd, interval)
    done = rho1bench("grade", source, "--output", tmp_path / "new" / "out.jsonl")
    assert done.code == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "new" / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[1] == odd | {"pred": "500", "paper": "correct", "verified": "incorrect"}
    assert [(row["paper"], row["verified"]) for row in rows] == [
        ("correct", "correct"),
        ("correct", "incorrect"),
        ("correct", "incorrect"),
    ]
    assert "2 disagreements" in done.stdout
    listed = [line.split("│") for line in done.stdout.splitlines() if "[1,2]" in line]
    assert [[cell.strip() for cell in cells[1:-1]] for cells in listed] == [
        ["3", "math", "[1,2]", "(1,2)", "correct", "incorrect"]
    ]


BAD = {
    "missing file": (None, [], "no such file"),
    "broken line": ([GOOD, '{"task": "gsm8k", "idx"'], [], "line 2"),
    "a line that is no object": ([GOOD, "5"], [], "line 2"),
    "no completion": ([GOOD, {"task": "gsm8k", "idx": 1, "gold": "5"}], [], "line 2"),
    "no gold answer": ([{"task": "gsm8k", "idx": 1, "completion": "5"}], [], "gold"),
    "not a number": ([GOOD, '{"task": "gsm8k", "completion": "5", "gold": "5", "score": NaN}'], [], "NaN"),
    "unknown task": ([GOOD], ["--task", "gsm9k"], "gsm9k"),
    "unknown task in a line": ([GOOD | {"task": "poetry"}], [], "line 1"),
    "no rows there": ([GOOD], ["--data-root", "nowhere"], "nowhere"),
    "nothing inside": ([], [], "no lines"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message_and_writes_nothing(rho1bench: Callable[..., Done], tmp_path: Path, case: str) -> None:
    rows, options, word = BAD[case]
    source = tmp_path / "in.jsonl"
    if rows is not None:
        write(source, *rows)
    before = sorted(tmp_path.iterdir())
    done = rho1bench("grade", source, "--output", tmp_path / "out.jsonl", *options)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert word in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_input_may_not_be_a_folder(rho1bench: Callable[..., Done], tmp_path: Path) -> None:
    done = rho1bench("grade", tmp_path, "--output", tmp_path / "out.jsonl")
    assert (done.code, "is a folder" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["in.jsonl", "link.jsonl", ".", "in.jsonl/below.jsonl", "/proc/out.jsonl"])
def test_output_that_cannot_be_is_told_before_grading(
    rho1bench: Callable[..., Done], tmp_path: Path, output: str
) -> None:
    source = write(tmp_path / "in.jsonl", GOOD)
    (tmp_path / "link.jsonl").symlink_to(source)
    before = source.read_text()
    done = rho1bench("grade", source, "--output", tmp_path / output)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert source.read_text() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_bench_prints_the_ratio(tmp_path: Path) -> None:
    """In a process of its own, as the naive way's workers import the program that starts them."""
    rows = [
        {"task": "math", "idx": place, "completion": answer.completion, "gold": answer.gold}
        for place, answer in enumerate(example_answers(12))
    ]
    source = write(tmp_path / "in.jsonl", *rows)
    command = [sys.executable, "-m", "rho1bench", "bench", "grade", "--input", str(source), "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["source"], result["answers"], result["differing"], result["hanging"]) == (
        "the files given",
        12,
        0,
        1,
    )
    assert result["ratio"] == pytest.approx(result["naive_seconds"] / result["grader_seconds"])
    assert "ratio" in done.stdout
