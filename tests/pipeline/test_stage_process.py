"""Stages side by side: same results as one after the other, errors and kills included."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from small_recipe import SMALL

from rho1bench.errors import MissingPackageError, RunError, TrainingError
from rho1bench.pipeline import runner, stage_children
from rho1bench.pipeline.launch import Launch
from rho1bench.pipeline.runner import groups, run_recipe
from rho1bench.pipeline.stage import RunOptions, StageContext
from rho1bench.pipeline.stage_children import Children
from rho1bench.recipe import Recipe
from rho1bench.recipe.loading.json_schema import stage_models
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.system.files import read_json, read_jsonl
from rho1bench.system.progress import SilentProgress

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def fake_stages_in_children(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE.parent), str(HERE.parents[1])]))


def recipe(*overrides: str) -> Recipe:
    return load_recipe(str(SMALL), overrides, None)


def go(folder: Path, *overrides: str):
    return run_recipe(recipe(*overrides), folder, console=Console(quiet=True))


def test_only_neighbours_that_do_not_need_each_other_share_a_group():
    names = [[stage.name for stage in group] for group in groups(recipe("jobs=2"))]
    assert ["clm", "slm"] in names
    assert [name for group in names for name in group] == [stage.name for stage in recipe().stages]
    assert all(len(group) == 1 for group in groups(recipe("jobs=1")))
    assert max(len(group) for group in groups(recipe("jobs=5"))) == 2


def test_side_by_side_gives_the_files_of_one_after_the_other(tmp_path, calls):
    go(tmp_path / "one")
    go(tmp_path / "two", "jobs=2")
    for stage in ("clm", "slm"):
        ours, theirs = (read_jsonl(tmp_path / run / "stages" / stage / "metrics.jsonl") for run in ("one", "two"))
        assert ours == theirs != []
        manifest = read_json(tmp_path / "two" / "stages" / stage / "manifest.json")
        assert (
            manifest["fingerprint"] == read_json(tmp_path / "one" / "stages" / stage / "manifest.json")["fingerprint"]
        )
    summary = read_json(tmp_path / "two" / "summary.json")
    assert summary["stages"]["slm"]["seconds"] > 0
    calls()
    go(tmp_path / "two", "jobs=2")
    assert calls() == []


def test_children_run_at_the_same_time(tmp_path, calls, monkeypatch):
    monkeypatch.setenv("FAKE_SLEEP", "0.2")
    steps = recipe().stage("clm").max_steps
    go(tmp_path / "run", "jobs=2")
    stages = tmp_path / "run" / "stages"
    begun = {name: (stages / name / "metrics.jsonl").stat().st_mtime - 0.2 * steps for name in ("clm", "slm")}
    assert abs(begun["clm"] - begun["slm"]) < 0.2 * steps


@pytest.mark.parametrize(
    ("what", "error"), [("user", TrainingError), ("full", RunError), ("module", MissingPackageError)]
)
def test_a_childs_error_reaches_the_user_as_itself(tmp_path, calls, monkeypatch, what, error):
    monkeypatch.setenv("FAKE_RAISE", f"slm:{what}")
    with pytest.raises(error):
        go(tmp_path / "run", "jobs=2")
    assert not (tmp_path / "run" / "stages" / "slm" / "manifest.json").exists()
    assert not (tmp_path / "run" / "summary.json").exists()
    monkeypatch.delenv("FAKE_RAISE")
    go(tmp_path / "run", "jobs=2")
    assert (tmp_path / "run" / "summary.json").exists()


def test_no_child_outlives_a_killed_run(tmp_path):
    environment = os.environ | {"FAKE_SLEEP": "0.5", "FAKE_CALLS": str(tmp_path / "calls.txt")}
    command = [
        sys.executable,
        str(HERE.parent / "fake_stages.py"),
        "run",
        str(SMALL),
        "--output",
        str(tmp_path / "run"),
    ]
    process = subprocess.Popen([*command, "--set", "jobs=2"], env=environment, stderr=subprocess.DEVNULL)
    logs = [tmp_path / "run" / "stages" / name / "metrics.jsonl" for name in ("clm", "slm")]
    deadline = time.monotonic() + 60
    while not all(log.exists() for log in logs):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.0)
    sizes = [log.stat().st_size for log in logs]
    time.sleep(1.2)
    assert [log.stat().st_size for log in logs] == sizes
    done = subprocess.run([*command, "--set", "jobs=2"], env=environment | {"FAKE_SLEEP": "0"}, check=False)
    assert done.returncode == 0
    assert len(read_jsonl(logs[0])) == recipe().stage("clm").max_steps


def test_what_fills_a_gpu_runs_in_a_process_of_its_own(tmp_path, calls, monkeypatch):
    model = stage_models()["eval"]
    monkeypatch.setattr(model, "spec", replace(model.spec, packages=("torch",)))
    in_children: list[str] = []
    run_stage = Children.run_stage

    def noted(children: Children, context: StageContext, target: str) -> None:
        in_children.append(context.stage.name)
        assert context.options.gpus_per_node == 1
        run_stage(children, context, target)

    monkeypatch.setattr(Children, "run_stage", noted)
    go(tmp_path / "without")
    assert in_children == []
    monkeypatch.setattr(runner, "num_gpus", lambda: 1)
    go(tmp_path / "with")
    assert in_children == [stage.name for stage in recipe().stages if stage.kind == "eval"]
    assert (tmp_path / "with" / "summary.json").exists()


def test_stages_of_one_process_hear_how_many_gpus_the_launch_has(tmp_path, monkeypatch):
    heard: list[RunOptions] = []
    monkeypatch.setattr(runner, "_run_stages", lambda recipe, output, options, *_: heard.append(options))
    run_recipe(recipe(), tmp_path, RunOptions(num_threads=1), Console(quiet=True), launch=Launch(1, 8))
    assert heard == [RunOptions(num_threads=1, gpus_per_node=8)]


def test_only_training_runs_in_parallel():
    assert {kind for kind, model in stage_models().items() if model.spec.parallel_safe} == {"pretrain", "sft"}


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_a_process_that_ends_before_it_reads_its_job_is_told_by_its_code(tmp_path, monkeypatch, size):
    """Smaller and larger than a pipe holds: what nobody reads must not be told as a broken pipe."""
    monkeypatch.setattr(stage_children, "may_fork", lambda: True)
    monkeypatch.setattr(stage_children.StageForks, "start", lambda *_: None)
    monkeypatch.setattr(stage_children, "_job", lambda *_: "x" * size)
    small = recipe()
    context = StageContext(small, small.stage("clm"), tmp_path, {}, 0, SilentProgress(), RunOptions())
    with Children() as children, pytest.raises(RuntimeError, match="of stage 'clm' ended with code None"):
        children.run_stage(context, "json:dumps")
