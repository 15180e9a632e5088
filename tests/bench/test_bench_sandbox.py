"""The sandbox bench: both ways run the same programs to the same output, and the report ends with one line of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rho1bench.bench import sandbox
from rho1bench.bench.sandbox import example_programs, report, run
from rho1bench.bench.soak import soak, soak_table
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


def test_a_soak_leaves_processes_descriptors_and_files_where_they_were() -> None:
    samples = list(soak(60))
    assert [sample.programs for sample in samples] == list(range(6, 61, 6))
    first, last = samples[1], samples[-1]
    assert last.not_ok == 0
    assert last.processes <= first.processes + 1
    assert last.descriptors <= first.descriptors + 2
    assert last.memory < first.memory + 20
    assert str(last.programs) in soak_table(samples)
