"""The pinned test sets are those that the tasks give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from make_pins import ALL_TASKS, all_pins

from rho1bench.leaderboard.records.pins import PINS_FILE
from rho1bench.paper.suites import SUITES

PINS = json.loads(PINS_FILE.read_text())


def test_every_task_of_every_suite_is_pinned() -> None:
    assert tuple(PINS) == ALL_TASKS
    whole = [name for name, versions in PINS.items() for pin in versions.values() if pin["data_sha256"]]
    assert set(SUITES["rho1_math9"]) | set(SUITES["rho1_tir7"]) <= set(whole)
    assert len(PINS_FILE.read_bytes()) < 32_000


def test_pins_of_the_mini_world_are_those_of_its_tasks() -> None:
    names = ["mini_sat", "mini_gsm8k_tir", "mini_boolq"]
    assert all_pins(names) == {name: PINS[name] for name in names}


@pytest.mark.sweep
def test_all_pins_are_those_of_the_tasks(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHO1BENCH_DATA", str(shared_data / "data"))
    for name, versions in all_pins().items():
        for version, pin in versions.items():
            assert PINS[name][version] == pin, name
