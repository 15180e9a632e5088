"""The runner, in process, with fake stages: what is skipped, resumed, set aside, published."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from fake_stages import train
from rich.console import Console
from small_recipe import SMALL

from rho1bench.errors import MissingPackageError, RunError, TrainingError
from rho1bench.pipeline import fingerprint
from rho1bench.pipeline.folder_lock import run_lock
from rho1bench.pipeline.runner import preview, run_recipe
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.system.files import read_json, read_jsonl, write_json

ALL = ["tokenizer", "web", "base", "scores", "clm", "slm", "eval", "compare", "report"]


def go(folder: Path, *overrides: str, recipe: Path = SMALL, seed: int | None = None):
    return run_recipe(load_recipe(str(recipe), overrides, seed), folder, console=Console(quiet=True))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(tmp_path, calls):
    """A finished run."""
    go(tmp_path / "run")
    assert calls() == ALL
    return tmp_path / "run"


def test_a_finished_run_holds_what_the_contract_says(run):
    assert {path.name for path in run.iterdir()} == {
        "recipe.yaml", "run.lock", "summary.json", "report.md", "figures", "stages",
    }  # fmt: skip
    assert sorted(path.name for path in (run / "stages").iterdir()) == sorted(ALL)
    slm = read_json(run / "stages" / "slm" / "manifest.json")
    assert (slm["stage"], slm["kind"], slm["attempts"]) == ("slm", "pretrain", 1)
    assert set(slm["made_of"]["inputs"]) == {"base", "web", "scores"}
    for name, found in slm["made_of"]["inputs"].items():
        assert found == read_json(run / "stages" / name / "manifest.json")["fingerprint"]
    assert set(slm["files"]) == {"metrics.jsonl", "weights.bin"}
    assert set(read_json(run / "stages" / "report" / "manifest.json")["made_of"]["inputs"]) == set(ALL) - {"report"}
    assert not list(run.rglob("started.json"))
    assert not list(run.rglob(".*.tmp"))


def test_the_summary_tells_the_seconds_of_every_stage(run):
    stages = read_json(run / "summary.json")["stages"]
    assert list(stages) == ALL
    assert all(stage["seconds"] >= 0 and stage["attempts"] == 1 for stage in stages.values())


def test_a_second_run_does_nothing_and_changes_no_byte(run, calls):
    before = tree(run)
    result = go(run)
    assert calls() == []
    assert not result.changed
    assert tree(run) == before


@pytest.mark.parametrize(
    ("override", "again"),
    [
        ("stages.slm.selection.ratio=0.5", ["slm", "eval", "compare", "report"]),
        ("stages.clm.max_steps=21", ["clm", "eval", "compare", "report"]),
        ("stages.compare.num_resamples=3", ["compare", "report"]),
        ("stages.report.curves=[slm]", ["report"]),
        ("stages.base.max_steps=19", ["base", "scores", "clm", "slm", "eval", "compare", "report"]),
        ("seed=4", ALL),
        ("description=other", []),
    ],
)
def test_a_change_runs_the_stages_that_depend_on_it(run, calls, override, again):
    go(run, override)
    assert calls() == again


def test_changed_code_runs_again(run, calls, monkeypatch):
    monkeypatch.setattr(fingerprint, "code_states", lambda entry, shipped: {"training/loss.py": "other"})
    go(run)
    assert calls() == ALL


def test_a_local_file_counts_by_its_content(tmp_path, calls):
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "a"}\n')
    override = f"stages.web.sources=[{{type: local, path: {data}}}]"
    go(tmp_path / "run", override)
    calls()
    os.utime(data, (1, 1))
    go(tmp_path / "run", override)
    assert calls() == []
    data.write_text('{"text": "b"}\n')
    go(tmp_path / "run", override)
    assert calls() == [name for name in ALL if name != "tokenizer"]


@pytest.mark.parametrize("damage", ["missing", "size", "content"])
def test_a_damaged_stage_is_run_again_with_a_word_why(run, calls, damage, capsys):
    before = tree(run / "stages" / "slm")
    log = run / "stages" / "slm" / "metrics.jsonl"
    text = log.read_text()
    words = {"missing": "is missing", "size": "has another size", "content": "has another content"}
    if damage == "missing":
        log.unlink()
    else:
        log.write_text(text + "\n" if damage == "size" else text.replace("0", "1", 1))
    decisions = {stage.name: decision for stage, decision in preview(load_recipe(str(SMALL)), run)}
    assert words[damage] in decisions["slm"].reason
    run_recipe(load_recipe(str(SMALL)), run, console=Console(width=200))
    assert calls() == ["slm"]
    assert f"slm: starting over (its result is damaged: metrics.jsonl {words[damage]}; what" in capsys.readouterr().out
    after = tree(run / "stages" / "slm")
    assert {name: data for name, data in after.items() if name != "manifest.json"} == {
        name: data for name, data in before.items() if name != "manifest.json"
    }


def test_a_broken_manifest_is_none(run, calls):
    (run / "stages" / "clm" / "manifest.json").write_text('{"stage": "cl')
    go(run)
    assert calls() == ["clm"]


def test_a_stopped_stage_resumes_and_counts_its_seconds(tmp_path, calls, monkeypatch):
    folder = tmp_path / "run"

    def stops(context):
        train(context)
        if context.stage.name == "clm":
            lines = (context.folder / "metrics.jsonl").read_text().splitlines(keepends=True)
            (context.folder / "metrics.jsonl").write_text("".join(lines[:7]) + '{"torn')
            (context.folder / ".half.1.tmp").write_text("x")
            raise KeyboardInterrupt

    monkeypatch.setattr("fake_stages.train", stops)
    with pytest.raises(KeyboardInterrupt):
        go(folder)
    monkeypatch.setattr("fake_stages.train", train)
    assert calls() == ALL[:5]
    started = read_json(folder / "stages" / "clm" / "started.json")
    assert started["attempts"] == 1
    write_json(folder / "stages" / "clm" / "started.json", {**started, "seconds_so_far": 100.0})
    go(folder)
    assert calls() == ["clm", "slm", "eval", "compare", "report"]
    done = read_json(folder / "stages" / "clm" / "manifest.json")
    assert done["attempts"] == 2
    assert 100 <= done["seconds"] < 160
    assert [row["step"] for row in read_jsonl(folder / "stages" / "clm" / "metrics.jsonl")] == list(range(20))
    assert ".half.1.tmp" not in done["files"]
    assert not list(folder.rglob("*.tmp"))


def test_a_stopped_stage_that_has_changed_starts_over(tmp_path, calls, monkeypatch):
    monkeypatch.setenv("FAKE_RAISE", "clm:user")
    with pytest.raises(TrainingError, match="nan at step 7"):
        go(tmp_path / "run")
    assert (tmp_path / "run/stages/clm/half.txt").exists()
    monkeypatch.delenv("FAKE_RAISE")
    go(tmp_path / "run", "stages.clm.max_steps=5")
    assert not (tmp_path / "run/stages/clm/half.txt").exists()
    assert len(read_jsonl(tmp_path / "run/stages/clm/metrics.jsonl")) == 5


def test_results_are_withdrawn_before_a_stage_changes(run, calls, monkeypatch):
    monkeypatch.setenv("FAKE_RAISE", "slm:user")
    with pytest.raises(TrainingError):
        go(run, "stages.slm.max_steps=5")
    assert not (run / "summary.json").exists()
    monkeypatch.delenv("FAKE_RAISE")
    go(run, "stages.slm.max_steps=5")
    assert len(read_json(run / "summary.json")["losses"]["slm"]) == 5


def test_a_stage_folder_that_is_a_link_is_read_and_never_written(run, calls, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(run / "stages" / "slm", elsewhere)
    (run / "stages" / "slm").symlink_to(elsewhere)
    assert not go(run).changed
    before = tree(elsewhere), tree(run)
    with pytest.raises(RunError, match=r"slm: is a symbolic link to .*elsewhere.* Remove the link"):
        go(run, "stages.slm.max_steps=5")
    assert calls() == []
    assert tree(elsewhere) == before[0]
    assert (run / "summary.json").read_bytes() == before[1]["summary.json"]
    (elsewhere / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"symbolic link .*\(not run yet"):
        go(run)
    shutil.rmtree(elsewhere)
    with pytest.raises(RunError, match="symbolic link"):
        go(run)
    (run / "stages" / "slm").unlink()
    go(run)
    assert "slm" in calls()


def test_a_run_folder_and_its_stages_may_lie_behind_links(run, calls, tmp_path):
    (tmp_path / "link").symlink_to(run)
    shutil.move(run / "stages", tmp_path / "large")
    (run / "stages").symlink_to(tmp_path / "large")
    assert not go(tmp_path / "link").changed
    go(tmp_path / "link", "stages.slm.max_steps=5")
    assert calls() == ["slm", "eval", "compare", "report"]
    assert len(read_jsonl(tmp_path / "large/slm/metrics.jsonl")) == 5
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    with pytest.raises(RunError, match=r"cannot write to the run folder .*nowhere"):
        go(tmp_path / "nowhere")


def test_published_files_that_were_removed_come_back(run, calls):
    (run / "summary.json").unlink()
    (run / "report.md").unlink()
    go(run)
    assert calls() == []
    assert (run / "summary.json").exists()
    assert (run / "report.md").read_text() == "report\n"


def test_a_folder_of_another_recipe_is_refused(run, tmp_path, recipe_file):
    other = recipe_file(lambda data: data.update(name="other"))
    before = tree(run)
    with pytest.raises(RunError, match=r"holds a run of the recipe 'small'.*'other'.*--output"):
        go(run, recipe=other)
    assert tree(run).keys() == before.keys()
    assert tree(run)["summary.json"] == before["summary.json"]


def test_seeds_run_one_after_the_other_and_are_summarised(tmp_path, calls, recipe_file):
    path = recipe_file(lambda data: data.update(seeds=[5, 6]))
    result = go(tmp_path / "run", recipe=path)
    assert calls() == ALL + ALL
    assert read_json(tmp_path / "run/summary.json") == {"seeds": [5, 6], "tuning_seeds": []}
    assert [read_json(tmp_path / f"run/seed-{seed}/summary.json")["seed"] for seed in (5, 6)] == [5, 6]
    assert len(result.stages) == 2 * len(ALL)
    assert result.stages[0].name == "seed-5/tokenizer"
    assert not go(tmp_path / "run", recipe=path).changed
    assert calls() == []
    go(tmp_path / "one", recipe=path, seed=5)
    assert tree(tmp_path / "one/stages/slm").keys() == tree(tmp_path / "run/seed-5/stages/slm").keys()
    assert (tmp_path / "one/stages/slm/metrics.jsonl").read_bytes() == (
        tmp_path / "run/seed-5/stages/slm/metrics.jsonl"
    ).read_bytes()


def test_which_seeds_count_changes_the_summary_and_no_stage(tmp_path, calls, recipe_file):
    go(tmp_path / "run", recipe=recipe_file(lambda data: data.update(seeds=[5, 6])))
    calls()
    tuned = recipe_file(lambda data: data.update(seeds=[5, 6], tuning_seeds=[5]))
    assert not go(tmp_path / "run", recipe=tuned).changed
    assert calls() == []
    assert read_json(tmp_path / "run/summary.json") == {"seeds": [5, 6], "tuning_seeds": [5]}


def test_preview_writes_nothing_and_knows_what_would_run(run, calls, tmp_path):
    before = tree(run)
    actions = [decision.action for _, decision in preview(load_recipe(str(SMALL), ["stages.slm.max_steps=5"]), run)]
    assert actions == ["skip"] * 5 + ["run"] * 4
    assert tree(run) == before
    assert {decision.action for _, decision in preview(load_recipe(str(SMALL)), tmp_path / "none")} == {"run"}
    assert not (tmp_path / "none").exists()


# --- errors of the disk and of packages -----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["full", "words", "array"])
def test_a_full_disk_is_one_clear_error_however_it_is_wrapped(tmp_path, calls, monkeypatch, what):
    monkeypatch.setenv("FAKE_RAISE", f"slm:{what}")
    with pytest.raises(RunError, match=r"is full \(\d+ MB left\).*same command"):
        go(tmp_path / "run")
    monkeypatch.delenv("FAKE_RAISE")
    go(tmp_path / "run")
    assert (tmp_path / "run/summary.json").exists()


def test_a_missing_package_gives_its_install_line(tmp_path, calls, monkeypatch):
    monkeypatch.setenv("FAKE_RAISE", "report:module")
    with pytest.raises(MissingPackageError, match="pip install matplotlib"):
        go(tmp_path / "run")


@pytest.mark.parametrize(("what", "error"), [("bug", ZeroDivisionError), ("foreign", PermissionError)])
def test_a_bug_stays_a_bug(tmp_path, calls, monkeypatch, what, error):
    monkeypatch.setenv("FAKE_RAISE", f"base:{what}")
    with pytest.raises(error):
        go(tmp_path / "run")


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_file_in_place_of_the_folder_is_told(tmp_path, calls, below):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(RunError, match=r"cannot write to the run folder .*taken.*--output"):
        go(tmp_path / "taken" / below)
    assert (tmp_path / "taken").read_text() == "x"


def test_a_second_run_in_the_same_process_is_refused(run):
    with run_lock(run), pytest.raises(RunError, match=f"in use by process {os.getpid()}"):
        go(run)
    go(run)


def test_a_run_folder_can_be_moved(run, calls, tmp_path):
    shutil.move(run, tmp_path / "moved")
    assert not go(tmp_path / "moved").changed
    assert calls() == []
    assert json.loads((tmp_path / "moved/summary.json").read_text())
