"""The sandbox bench: both ways run the same programs to the same output, and the report ends with one line of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soak_worker

from rho1bench.bench import sandbox
from rho1bench.bench.sandbox import example_programs, report, run
from rho1bench.bench.soak import Sample, soak_table
from rho1bench.errors import DataError
from rho1bench.system.paths import PACKAGE


def test_both_ways_agree(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sandbox, "ROUNDS", 1)
    monkeypatch.setattr(sandbox, "TIMEOUT", 60.0)  # a fresh interpreter takes its time on a busy machine
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


def samples_of(folder: Path, *arguments: str) -> list[Sample]:
    """Soak in a process of its own, whose temporary files go to ``folder``."""
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent), "TMPDIR": str(folder)}
    command = [sys.executable, soak_worker.__file__, *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    return [Sample(**sample) for sample in json.loads(ended.stdout)]


@pytest.mark.parametrize("programs", [20, pytest.param(60, marks=pytest.mark.sweep)])
def test_a_soak_leaves_processes_descriptors_and_files_where_they_were(programs: int, tmp_path: Path) -> None:
    samples = samples_of(tmp_path, str(programs))
    assert [sample.programs for sample in samples] == list(range(programs // 10, programs + 1, programs // 10))
    first, last = samples[0], samples[-1]
    assert (last.not_ok, last.temporary) == (0, 0)
    assert {(sample.processes, sample.descriptors) for sample in samples} == {(first.processes, first.descriptors)}
    assert last.memory < first.memory + 20
    assert str(last.programs) in soak_table(samples)


@pytest.mark.sweep
@pytest.mark.parametrize("place", ["here", "server"])
def test_a_soak_shows_a_leak_of_one_descriptor_in_ten_programs(place: str, tmp_path: Path) -> None:
    samples = samples_of(tmp_path, "30", place)
    assert samples[-1].descriptors - samples[0].descriptors in (2, 3)
