"""One request after the other to one folder: each shows what it asked for, and the folder keeps all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from eval_cli import CommandLine

from rho1bench.evaluation.engines.hf import HFEngine
from rho1bench.system.files import read_json, read_jsonl


@pytest.fixture
def rho1bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def no_model(*_: Any) -> None:
    raise AssertionError("a model was loaded")


def test_a_folder_keeps_the_results_of_every_request(
    checkpoints: dict[str, Path], rho1bench: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def ask(names: str, limit: int) -> str:
        options = ["--engine", "hf", "--output", tmp_path, "--tasks", names, "--limit", limit]
        ended = rho1bench("eval", checkpoints["late"], *options)
        assert ended.code == 0, ended.err
        return ended.out

    def results() -> Any:
        return read_json(tmp_path / "late" / "results.json")["rho1bench"]

    first, second = ask("mini_sat", 2), ask("mini_boolq", 2)
    assert ("mini_sat" in first, "mini_boolq" in first) == (True, False)
    assert ("mini_sat" in second, "mini_boolq" in second) == (False, True)
    both = results()
    assert set(both["suites"]) == set(both["tasks"]) == {"mini_sat", "mini_boolq"}
    monkeypatch.setattr(HFEngine, "load", no_model)
    assert ask("mini_sat", 2) == first
    assert results() == both
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", [])
    ask("mini_sat", 3)
    assert {name: task["n"] for name, task in results()["tasks"].items()} == {"mini_sat": 3, "mini_boolq": 2}
    assert results()["limits"] == {"mini_sat": 3, "mini_boolq": 2}
    monkeypatch.setattr("rho1bench.evaluation.engines.hf.HFEngine.answers_version", 99)
    ask("mini_boolq", 2)
    assert set(results()["suites"]) == {"mini_boolq"}  # what another engine answered cannot stand beside it


def test_samples_with_another_limit_take_the_place_of_the_former(
    checkpoints: dict[str, Path], rho1bench: CommandLine, tmp_path: Path
):
    def ask(option: str, name: str, limit: int) -> str:
        ended = rho1bench(
            "eval", checkpoints["late"], "--engine", "hf", "--output", tmp_path, option, name, "--limit", limit
        )
        assert ended.code == 0, ended.err
        return ended.err

    def counts() -> dict[str, int]:
        tasks = read_json(tmp_path / "late" / "results.json")["rho1bench"]["tasks"]
        for name, task in tasks.items():
            assert len(read_jsonl(tmp_path / "late" / f"samples_{name}.jsonl")) == task["n"]
        return {name: task["n"] for name, task in tasks.items()}

    ask("--suite", "mini_tir7", 2)
    assert set(counts().values()) == {2}
    assert "replaces samples of mini_tir7" in ask("--tasks", "mini_svamp_tir", 1)
    assert counts() == {"mini_svamp_tir": 1}
    assert "0 were computed now" in ask("--suite", "mini_tir7", 2)
    assert len(counts()) == 7
