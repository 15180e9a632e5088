"""Replay: what counts as the same, why a difference is one, and the released transcripts of the paper."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rho1bench.errors import DataError
from rho1bench.evaluation.tools.replay import Replay, error_type, explain, programs_of, read_recorded, replay_file
from rho1bench.evaluation.tools.tool_loop import TIMED_OUT, ToolSettings
from rho1bench.mini_world import sft_samples
from rho1bench.sandbox import ProgramResult


def block(program: str, output: str) -> str:
    return f"```python\n{program}\n```\n```output\n{output}\n```\n"


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_programs_and_their_outputs_are_found():
    text = block("x = 2\nprint(x)", "2") + "so\n" + block("print(x + 1)", "3\n4") + "\nReach max function call limit."
    assert list(programs_of(text)) == [("x = 2\nprint(x)\n", "2"), ("x = 2\n\nprint(x + 1)\n", "3\n4")]
    assert list(programs_of("```python\nprint(1)\n```")) == []


def test_both_kinds_of_lines_are_read(tmp_path: Path):
    path = lines(tmp_path / "a.jsonl", {"code": [block("a", "1"), block("b", "2")]}, {"completion": block("c", "3")})
    assert [(record.line, record.program, record.output) for record in read_recorded(path)] == [
        (1, "a\n", "1"),
        (1, "b\n", "2"),
        (2, "c\n", "3"),
    ]


@pytest.mark.parametrize("line", ["{", "[]", '{"text": "x"}', '{"code": "x"}', '{"code": [1]}', '{"completion": null}'])
def test_other_lines_are_named(tmp_path: Path, line: str):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"completion": ""}\n' + line + "\n")
    with pytest.raises(DataError, match=r"bad\.jsonl, line 2"):
        replay_file(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.jsonl: cannot be read"):
        replay_file(tmp_path / "none.jsonl")


def test_the_counts_and_the_list_of_differences(tmp_path: Path):
    path = lines(
        tmp_path / "a.jsonl",
        {"completion": block("print(1)", "1")},
        {"completion": block("print(1)", "2")},
        {"completion": block("1/0", "ZeroDivisionError: by zero")},
        {"completion": block("while True: pass", "Timeout Error")},
        {"completion": block("print(3)", "TypeError: no")},
        {"completion": "no program"},
    )
    found = replay_file(path, tmp_path / "out.jsonl", ToolSettings(timeout=0.5))
    assert (found.programs, found.matched, found.same_text, found.mismatched) == (5, 3, 1, 2)
    listed = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["line"], row["matched"]) for row in listed] == [(2, False), (3, True), (4, True), (5, False)]
    assert listed[0]["recorded"] == "2"
    assert listed[0]["replayed"] == "1"
    assert set(found.summary()) == {"programs", "matched", "same_text", "mismatched", "seconds"}
    assert sum(count for _, count in found.reasons()) == 4


def test_a_program_that_is_late_gets_a_second_chance_if_it_was_not_late_then(tmp_path: Path):
    late = "import time\ntime.sleep(2)\nprint(1)"
    path = lines(tmp_path / "a.jsonl", {"completion": block(late, "1")}, {"completion": block(late, "Timeout Error")})
    found = replay_file(path, settings=ToolSettings(timeout=1.5))
    assert (found.programs, found.matched, found.same_text) == (2, 2, 1)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ValueError: x", "ValueError"),
        ("KeyError", "KeyError"),
        ("sympy.polys.polyerrors.PolynomialError: x", "PolynomialError"),
        (TIMED_OUT, "TimeoutError"),
        ("Timeout Error", "TimeoutError"),
        ("The error is 5", None),
        ("5\nValueError: x", None),
        ("", None),
    ],
)
def test_error_types(text: str, kind: str | None):
    assert error_type(text) == kind


@pytest.mark.parametrize(
    ("recorded", "replayed", "matched", "reason"),
    [
        ("Timeout Error", TIMED_OUT, True, "both ran out of time"),
        ("NameError: a", "NameError: b", True, "worded by another version"),
        ("E1Error: <A at 0x7f>", "E1Error: <A at 0x8e>", True, "address"),
        ("NameError: a", "KeyError: a", False, "another error"),
        ("5", TIMED_OUT, False, "near the time limit"),
        (TIMED_OUT, "5", False, "out of time then"),
        ("ValueError: a", "5", False, "ends well now"),
        ("5", "ValueError: a", False, "ended well then"),
        ("{a, b}", "{b, a}", False, "another order"),
        ("<A at 0x7f>", "<A at 0x8e>", False, "address"),
        ("2.0000", "1.99999", False, "slightly"),
        ("2.0", "3.0", False, "other numbers"),
        ("x + 1", "1 + y", False, "prints or computes"),
        ("Done", "5", False, "shows nothing"),
    ],
)
def test_every_difference_has_its_reason(recorded: str, replayed: str, matched: bool, reason: str):
    found = explain(recorded, replayed, ProgramResult("ok", replayed, "", 0.1), ToolSettings())
    assert found[0] is matched
    assert reason in found[1]


def test_the_mini_worlds_dialogues_replay_to_the_letter(tmp_path: Path):
    samples = sft_samples("sft_tir", 30, seed=3)
    found = replay_file(lines(tmp_path / "mini.jsonl", *({"completion": sample.text} for sample in samples)))
    assert (found.programs, found.same_text) == (30, 30)


def test_the_command_ends_with_one_line_of_json(tmp_path: Path):
    path = lines(tmp_path / "a.jsonl", {"completion": block("print(1)", "1")}, {"completion": block("print(1)", "2")})
    command = [sys.executable, "-m", "rho1bench", "replay", str(path), "--output", str(tmp_path / "out.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)
    assert (summary["programs"], summary["mismatched"]) == (2, 1)
    assert "1 x mismatch" in done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1


def released(shared_data: Path, name: str, rows: int | None, folder: Path) -> Replay:
    source = shared_data / "data" / "released_outputs" / "rho-math-1b-interpreter-v0.1" / name
    (path,) = source.glob("*.jsonl")
    part = folder / f"{name}.jsonl"
    part.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:rows]), encoding="utf-8")
    return replay_file(part)


def assert_rates(replays: list[Replay], programs: int) -> None:
    assert sum(found.programs for found in replays) == programs
    assert sum(found.matched for found in replays) >= 0.99 * programs
    assert sum(found.same_text for found in replays) >= 0.985 * programs


def test_released_transcripts_in_part(shared_data: Path, tmp_path: Path):
    replays = [released(shared_data, name, rows, tmp_path) for name, rows in (("gsm8k", 50), ("minerva_math", 10))]
    assert_rates(replays, 60)


@pytest.mark.sweep
def test_released_transcripts(shared_data: Path, tmp_path: Path):
    replays = [released(shared_data, name, None, tmp_path) for name in ("gsm8k", "minerva_math")]
    assert_rates(replays, 1819)
    assert replays[0].matched == replays[0].programs
