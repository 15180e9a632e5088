"""A, B, A in one folder: every request shows its own results, and the folder keeps those of all."""

from __future__ import annotations

from pathlib import Path

import pytest
from eval_cli import CommandLine

from rho1bench.errors import DataError
from rho1bench.evaluation.kept_results import select_settings
from rho1bench.leaderboard.records.add import add
from rho1bench.system.files import read_json, read_jsonl, write_json


@pytest.fixture
def rho1bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def suites(folder: Path) -> set[str]:
    return set(read_json(folder / "results.json")["rho1bench"]["suites"])


def test_a_folder_keeps_the_results_of_all_requests(
    checkpoints: dict[str, Path], rho1bench: CommandLine, tmp_path: Path
) -> None:
    def ask(task: str, limit: int) -> str:
        options = ["--engine", "hf", "--output", tmp_path, "--limit", limit, "--tasks", task]
        ended = rho1bench("eval", checkpoints["late"], *options)
        assert ended.code == 0, ended.err
        return ended.out

    folder = tmp_path / "late"
    first = ask("mini_sat", 2)
    assert "mini_sat" not in ask("mini_boolq", 2)
    assert suites(folder) == {"mini_sat", "mini_boolq"}
    before = (folder / "results.json").read_bytes()
    assert ask("mini_sat", 2) == first
    assert (folder / "results.json").read_bytes() == before

    assert ask("mini_sat", 3) != first
    assert suites(folder) == {"mini_sat"}
    assert len(read_jsonl(folder / "samples_mini_sat.jsonl")) == 3
    written = {path.relative_to(tmp_path / "results").as_posix() for path in add(folder, tmp_path / "results")}
    assert written == {
        "records/mini_sat/late.limit3.json",
        "records/mini_sat/late.limit2.json",
        "records/mini_boolq/late.limit2.json",
    }

    assert ask("mini_sat", 2) == first
    assert (folder / "results.json").read_bytes() == before
    assert len(read_jsonl(folder / "samples_mini_sat.jsonl")) == 2
    assert len(list((folder / "earlier").iterdir())) == 1


def test_a_move_that_was_killed_is_completed(tmp_path: Path) -> None:
    one, other = {"limit": 1}, {"limit": None}
    names = ("samples_a.jsonl", "unit_a.json", "results.json")
    select_settings(tmp_path, one)
    for name in names:
        (tmp_path / name).write_text("one")
    select_settings(tmp_path, other)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["settings.json"]
    (place,) = (tmp_path / "earlier").iterdir()
    assert place.name.startswith("limit1-")

    write_json(tmp_path / "settings.json", one)  # as after a kill between the two moves
    (place / "unit_a.json").rename(tmp_path / "unit_a.json")
    select_settings(tmp_path, one)
    assert {name: (tmp_path / name).read_text() for name in names} == dict.fromkeys(names, "one")
    assert not place.exists()

    (tmp_path / "settings.json").unlink()  # as an older version leaves a folder
    select_settings(tmp_path, other)
    assert {path.name for path in (tmp_path / "earlier/unknown").iterdir()} == set(names)


def test_damaged_settings_are_told_by_their_name(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"limit": ')
    with pytest.raises(DataError, match=r"settings\.json: was written whole, and is damaged now"):
        select_settings(tmp_path, {"limit": 1})
