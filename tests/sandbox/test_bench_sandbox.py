"""The sandbox bench: both ways run the same programs to the same output, and the report ends with one line of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rho1bench.bench import sandbox
from rho1bench.bench.sandbox import example_programs, report, run
from rho1bench.errors import DataError


def test_both_ways_agree(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sandbox, "ROUNDS", 1)
    result = run((), programs=6, workers=2)
    assert (result.programs, result.workers, result.differing) == (6, 2, 0)
    assert result.ratio > 1
    assert json.loads(report(result).splitlines()[-1])["programs"] == 6


def test_example_programs_are_plain_and_algebra():
    programs = example_programs(9)
    assert len(programs) == len(set(programs)) == 9
    assert sum("sympy" in program for program in programs) >= 3


def test_a_file_without_programs_is_named(tmp_path: Path):
    (tmp_path / "none.jsonl").write_text('{"completion": "no program"}\n')
    with pytest.raises(DataError, match=r"none\.jsonl: no program"):
        run([tmp_path / "none.jsonl"])
