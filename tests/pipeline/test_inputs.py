"""A changed byte in what a stage reads stops the run by name, before anything is begun; with fake stages."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_stages import train
from rich.console import Console
from small_recipe import SMALL

from rho1bench.errors import DataError
from rho1bench.pipeline import inputs, manifest
from rho1bench.pipeline.inputs import check_made_by_stage
from rho1bench.pipeline.runner import RunResult, run_recipe
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.system.files import changed_files, read_json

WEIGHTS, STEP = "checkpoint/model.safetensors", "checkpoints/step-000010/model.safetensors"
FINAL = "{checkpoints: [clm, slm], suites: [mini_math9]}"
TRAJECTORY = f"stages.eval.evaluations=[{FINAL}, {{checkpoints: [slm], suites: [mini_sat], trajectory: true}}]"


def go(folder: Path, *overrides: str) -> RunResult:
    return run_recipe(load_recipe(str(SMALL), overrides), folder, console=Console(quiet=True))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def run(tmp_path, calls, monkeypatch) -> Path:
    """A finished run whose training stages have checkpoints; no file is small enough to be hashed before a skip."""

    def trains(context):
        train(context)
        for name in (WEIGHTS, STEP):
            (context.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (context.folder / name).write_bytes(context.stage.name.encode() * 100)

    monkeypatch.setattr("fake_stages.train", trains)
    monkeypatch.setattr(manifest, "CHECKED_BYTES", -1)
    go(tmp_path / "run")
    calls()
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("damaged", "override", "reader"),
    [
        (f"base/{WEIGHTS}", "stages.clm.max_steps=21", "clm"),
        (f"base/{WEIGHTS}", "stages.scores.precision=bf16", "scores"),
        (f"slm/{WEIGHTS}", "stages.eval.engine=hf", "eval"),
        (f"slm/{STEP}", TRAJECTORY, "eval"),
        ("tokenizer/result.json", "stages.web.block_size=8", "web"),
        ("tokenizer/result.json", "stages.clm.max_steps=21", "clm"),
        ("eval/result.json", "stages.compare.num_resamples=3", "compare"),
        ("compare/result.json", "stages.report.curves=[slm]", "report"),
        ("base/metrics.jsonl", "stages.report.curves=[slm]", "report"),
    ],
)
def test_a_flipped_byte_stops_the_stage_that_reads_it(run, calls, damaged, override, reader):
    path = run / "stages" / damaged
    flip(path)
    go(run)
    assert calls() == [], "nothing reads it"
    before = (run / "summary.json").read_bytes()
    with pytest.raises(DataError) as caught:
        go(run, override)
    owner = damaged.partition("/")[0]
    for words in (
        f"{path}: was changed after stage {owner!r} wrote it",
        f"stage {reader!r} reads it",
        "Remove the folder",
    ):
        assert words in str(caught.value)
    assert calls() == []
    assert (run / "summary.json").read_bytes() == before, "the results of the run before are still there"
    flip(path)
    go(run, override)
    assert reader in calls()


@pytest.mark.parametrize(
    ("damaged", "override"),
    [(f"base/{STEP}", "stages.clm.max_steps=21"), (f"slm/{STEP}", "stages.eval.engine=hf")],
)
def test_what_no_stage_reads_stops_none(run, calls, damaged, override):
    flip(run / "stages" / damaged)
    go(run, override)
    assert calls()


def test_every_file_is_hashed_once_a_run_and_none_that_was_just_made(run, calls, monkeypatch):
    seen: list[str] = []

    def listed(folder, hashes):
        seen.extend(hashes)
        return changed_files(folder, hashes)

    monkeypatch.setattr(inputs, "changed_files", listed)
    go(run, "stages.clm.max_steps=21", "stages.slm.max_steps=21")
    assert calls() == ["clm", "slm", "eval", "compare", "report"]
    assert len(seen) == len(set(seen))
    assert {f"base/{WEIGHTS}", "tokenizer/result.json"} <= set(seen)
    assert not [name for name in seen if name.startswith(("clm/", "slm/", "eval/"))]
    seen.clear()
    go(run, "stages.clm.max_steps=21", "stages.slm.max_steps=21")
    assert seen == []


def test_files_of_any_size_have_a_hash(run, calls, monkeypatch):
    monkeypatch.setattr("rho1bench.system.files.PIECE_BYTES", 64)
    go(run, "stages.base.max_steps=19")
    found = read_json(run / "stages/base/manifest.json")
    assert found["sizes"].keys() == found["files"].keys()
    assert all(len(value) == 64 for value in found["files"].values())
    flip(run / "stages/base" / WEIGHTS)
    with pytest.raises(DataError, match="was changed"):
        go(run, "stages.base.max_steps=19", "stages.clm.max_steps=21")


def test_a_folder_of_a_stage_is_checked_wherever_a_command_finds_it(run, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(run / "stages/slm/checkpoint")
    places = {WEIGHTS: ["checkpoint", "."], STEP: ["checkpoints/step-000010", "."]}
    for name, folders in places.items():
        flip(run / "stages/slm" / name)
        for folder in (*(run / "stages/slm" / place for place in folders), *([tmp_path / "link"] * (name == WEIGHTS))):
            with pytest.raises(DataError, match=rf"stages/slm/{name}: was changed after stage 'slm' wrote it"):
                check_made_by_stage(folder)
        others = {place for group in places.values() for place in group} - set(folders)
        for folder in (*(run / "stages/slm" / place for place in others), run / "stages/clm", tmp_path / "elsewhere"):
            check_made_by_stage(folder)
        flip(run / "stages/slm" / name)
