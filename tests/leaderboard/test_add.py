"""``leaderboard add`` packs only what an evaluation or a run has left, and a refused one leaves nothing behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from fake_evaluations import SUITE, evaluated, rehashed
from fake_records import write_results
from small_recipe import SMALL

from rho1bench.errors import DataError, RunError
from rho1bench.leaderboard.pages.build import add_and_build, check_results, write_pages
from rho1bench.leaderboard.records.add import add
from rho1bench.leaderboard.records.from_run import Run, check_run, find_runs
from rho1bench.pipeline.fingerprint import Fingerprint, stage_fingerprint
from rho1bench.pipeline.manifest import Attempt
from rho1bench.pipeline.runner import preview
from rho1bench.recipe import Recipe, references
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.system.files import read_json, write_json


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = write_results(tmp_path / "results", [])
    write_pages(folder)
    return folder


def test_an_evaluation_is_added_and_the_pages_follow(tmp_path: Path, results: Path) -> None:
    written = add_and_build(evaluated(tmp_path, "tiny"), results)
    assert {path.relative_to(results).as_posix() for path in written} == {
        f"records/{SUITE}/tiny.json", "LEADERBOARD.md", "leaderboard.html",
    }  # fmt: skip
    assert check_results(results) == []
    record = read_json(results / f"records/{SUITE}/tiny.json")
    assert record["code"] == {"training": None, "evaluation": "c" * 64}
    assert f"evaluation {'c' * 12}" in (results / "leaderboard.html").read_text()
    assert add_and_build(tmp_path / "tiny", results) == []
    assert not list(tmp_path.rglob(".adding-*"))


def edit_results(folder: Path, key: str, value: object) -> None:
    data = read_json(folder / "results.json")
    data["rho1bench"][key] = value
    write_json(folder / "results.json", data)


def swap_answers(folder: Path) -> None:
    """One answer more and one fewer: the mean stays."""
    path = folder / "samples_mini_svamp_tir.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    right = next(row for row in rows if row["score"] == 1.0)
    wrong = next(row for row in rows if row["score"] == 0.0)
    right["score"], wrong["score"] = 0.0, 1.0
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder: edit_results(folder, "num_parameters", 7), r"results\.json: was changed"),
        (lambda folder: edit_results(folder, "weights_sha256", "9" * 64), r"results\.json: was changed"),
        (lambda folder: edit_results(folder, "sha256", None), r"results\.json: says nothing of"),
        (swap_answers, r"samples_mini_svamp_tir\.jsonl: is missing or was changed"),
    ],
)
def test_a_changed_evaluation_is_refused(
    tmp_path: Path, results: Path, change: Callable[[Path], None], expected: str
) -> None:
    folder = evaluated(tmp_path, "tiny")
    change(folder)
    before = tree(results)
    with pytest.raises(DataError, match=expected):
        add_and_build(folder, results)
    assert tree(results) == before


def test_records_that_do_not_fit_leave_nothing_behind_and_block_nothing(tmp_path: Path, results: Path) -> None:
    add_and_build(evaluated(tmp_path, "tiny"), results)
    other = evaluated(tmp_path, "other", seed=1)
    data = read_json(other / "results.json")
    for task in data["rho1bench"]["tasks"].values():
        task["prompts_sha256"] = "0" * 64
    write_json(other / "results.json", rehashed(data))
    before = tree(results)
    with pytest.raises(DataError, match="the pages are not built") as caught:
        add_and_build(other, results)
    assert str(results) in str(caught.value)
    assert ".adding" not in str(caught.value)
    assert tree(results) == before
    assert len(add_and_build(evaluated(tmp_path, "third", seed=2), results)) == 3


@pytest.mark.parametrize("fails_at", range(4))
def test_a_full_disk_leaves_everything_as_it_was(
    tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    add_and_build(evaluated(tmp_path, "tiny"), results)
    folder, before = evaluated(tmp_path, "other", seed=1), tree(results)
    replace, calls = os.replace, iter(range(100))

    def full(source: Path, target: Path) -> None:
        if str(target).startswith(str(results)) and ".adding-" not in str(target) and next(calls) == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    if fails_at < 3:
        with pytest.raises(RunError, match="is full"):
            add_and_build(folder, results)
        assert tree(results) == before
    else:
        assert len(add_and_build(folder, results)) == 3


def test_a_refused_add_makes_no_results_folder(tmp_path: Path) -> None:
    folder = evaluated(tmp_path, "tiny")
    swap_answers(folder)
    with pytest.raises(DataError):
        add(folder, tmp_path / "none" / "results")
    assert not (tmp_path / "none").exists()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A finished run of the small recipe whose stages hold a few bytes each, one of them more than a megabyte."""
    shutil.copyfile(SMALL, tmp_path / "recipe.yaml")
    recipe = load_recipe(str(tmp_path / "recipe.yaml"))
    for stage in recipe.stages:
        folder = tmp_path / "stages" / stage.name
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(f'"{stage.name}"')
        (folder / "model.safetensors").write_bytes(b"w" * (3 * 2**20 if stage.name == "slm" else 10))
    for name, fingerprint in fingerprints(recipe):
        folder = tmp_path / "stages" / name
        Attempt(folder, fingerprint).finish(name, recipe.stage(name).kind)
    return Run(recipe, tmp_path)


def fingerprints(recipe: Recipe) -> Iterator[tuple[str, Fingerprint]]:
    known: dict[str, Fingerprint] = {}
    for stage in recipe.stages:
        inputs = dict(known) if stage.spec.reads_all else {name: known[name] for _, name, _ in references(stage)}
        known[stage.name] = stage_fingerprint(stage, recipe.seed, inputs)
        yield stage.name, known[stage.name]


def test_a_run_as_it_was_left_is_sound(run: Run) -> None:
    assert {decision.action for _, decision in preview(run.recipe, run.folder)} == {"skip"}
    check_run(run)


def test_a_report_is_not_asked_for(run: Run) -> None:
    shutil.rmtree(run.folder / "stages/report")
    (run.folder / "summary.json").unlink(missing_ok=True)
    assert len(find_runs(run.folder)) == 1
    check_run(run)


def test_a_run_that_evaluates_nothing_says_so(run: Run, tmp_path: Path) -> None:
    data = yaml.safe_load((run.folder / "recipe.yaml").read_text())
    data["stages"] = [stage for stage in data["stages"] if stage["kind"] not in ("eval", "compare", "report")]
    (run.folder / "recipe.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(DataError, match="has no stage of the kind eval, and records are of evaluated checkpoints"):
        add(run.folder, tmp_path / "elsewhere")


def flip_a_byte(run: Run) -> None:
    path = run.folder / "stages/slm/model.safetensors"
    data = bytearray(path.read_bytes())
    data[2**21] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (flip_a_byte, r"stages/slm: model\.safetensors has another content"),
        (lambda run: (run.folder / "stages/eval/result.json").write_text('"best"'), "stages/eval: "),
        (lambda run: (run.folder / "stages/clm/result.json").unlink(), "stages/clm: .*is missing"),
        (
            lambda run: (run.folder / "stages/eval/more.json").write_text("1"),
            r"more\.json was not written by the stage",
        ),
        (lambda run: (run.folder / "stages/slm/manifest.json").unlink(), "stages/slm: not run yet"),
        (lambda run: shutil.rmtree(run.folder / "stages/slm"), "1 of 8 stages are missing: slm"),
    ],
)
def test_a_changed_run_is_refused(run: Run, change: Callable[[Run], object], expected: str) -> None:
    change(run)
    with pytest.raises(DataError, match=expected):
        check_run(run)


def test_a_changed_recipe_is_refused(run: Run) -> None:
    data = yaml.safe_load((run.folder / "recipe.yaml").read_text())
    stage = next(stage for stage in data["stages"] if stage["name"] == "slm")
    stage["max_steps"] = 2 * stage.get("max_steps", 1)
    (run.folder / "recipe.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(DataError, match="stages/slm: max_steps has changed"):
        check_run(Run(load_recipe(str(run.folder / "recipe.yaml")), run.folder))


def test_results_may_lie_behind_a_link_but_hold_none(tmp_path: Path, results: Path) -> None:
    (tmp_path / "link").symlink_to(results)
    add_and_build(evaluated(tmp_path, "tiny"), tmp_path / "link")
    assert (results / f"records/{SUITE}/tiny.json").is_file()
    assert check_results(tmp_path / "link") == []
    shutil.move(results / "records", tmp_path / "elsewhere")
    (results / "records").symlink_to(tmp_path / "elsewhere")
    before = tree(tmp_path / "elsewhere"), tree(results)
    other = evaluated(tmp_path, "other")
    with pytest.raises(DataError, match=r"results/records: is a link; results are files of their own"):
        add_and_build(other, results)
    assert (tree(tmp_path / "elsewhere"), tree(results)) == before
