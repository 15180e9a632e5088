"""Results that are there: set aside, pruned, adopted, kept under other versions of packages, explained."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from small_recipe import SMALL
from typer.testing import CliRunner

from rho1bench.cli.app import app
from rho1bench.errors import RunError, TrainingError
from rho1bench.leaderboard.records.from_run import Run, check_run
from rho1bench.pipeline import fingerprint
from rho1bench.pipeline.adoption import Keeping, read_adoptions
from rho1bench.pipeline.runner import preview, run_recipe
from rho1bench.pipeline.set_aside import old_stages, prune
from rho1bench.recipe import PretrainStage
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.system.files import read_json, read_jsonl, write_json

SHORT = ("stages.base.max_steps=4", "stages.clm.max_steps=4", "stages.slm.max_steps=4")
AFTER_SLM = ["slm", "eval", "compare", "report"]
DEEPER = ["scores", "clm", *AFTER_SLM]


def go(folder: Path, *overrides: str, recipe: Path = SMALL, console: Console | None = None, **keeping) -> None:
    loaded = load_recipe(str(recipe), [*SHORT, *overrides])
    run_recipe(loaded, folder, console=console or Console(quiet=True), keeping=Keeping(**keeping))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def results(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(folder).items() if name != "manifest.json"}


def decisions(folder: Path, *overrides: str) -> dict:
    recipe = load_recipe(str(SMALL), [*SHORT, *overrides])
    return {stage.name: decision for stage, decision in preview(recipe, folder)}


@pytest.fixture
def run(tmp_path, calls) -> Path:
    """A finished run."""
    go(tmp_path / "run")
    calls()
    return tmp_path / "run"


@pytest.fixture
def other_code(monkeypatch):
    """The stages carried out by other code from now on."""

    def change() -> None:
        monkeypatch.setattr(fingerprint, "code_states", lambda entry, shipped: {"training/loss.py": "other"})

    return change


@pytest.fixture
def numpy_is(monkeypatch):
    """Training depends on numpy, whose version is set."""
    monkeypatch.setattr(PretrainStage, "spec", replace(PretrainStage.spec, packages=("numpy",)))
    return lambda version: monkeypatch.setattr(fingerprint, "_version", lambda name: version)


# --- set aside and pruned -------------------------------------------------------------------------------------------


def test_runs_of_earlier_versions_are_set_aside(run, calls):
    """Their manifests have the hash of another kind of fingerprint, and no parts."""
    for path in (run / "stages").glob("*/manifest.json"):
        found = read_json(path)
        kept = {key: found[key] for key in ("stage", "kind", "seconds", "attempts", "files", "sizes")}
        write_json(path, {**kept, "fingerprint": "f" * 64, "inputs": {}})
    (run / "stages/slm/manifest.json").rename(run / "stages/slm/started.json")
    write_json(run / "stages/slm/started.json", {"fingerprint": "f" * 64, "seconds_so_far": 1.0, "attempts": 1})
    assert "earlier version" in decisions(run)["slm"].reason
    before = {path.name: contents(path) for path in (run / "stages").iterdir()}
    go(run)
    names = [stage.name for stage in load_recipe(str(SMALL)).stages]
    assert calls() == names
    assert {old.stage: contents(old.folder) for old in old_stages(run)} == before
    assert {old.stage: old.state for old in old_stages(run)} == {
        name: "stopped" if name == "slm" else "finished" for name in names
    }


def test_a_stopped_stage_is_resumed_or_set_aside_with_what_it_has(tmp_path, calls, monkeypatch):
    monkeypatch.setenv("FAKE_RAISE", "clm:user")
    with pytest.raises(TrainingError):
        go(tmp_path / "run")
    monkeypatch.delenv("FAKE_RAISE")
    found = decisions(tmp_path / "run", "stages.clm.save_steps=3")["clm"]
    assert (found.action, found.operational) == ("resume", ("save_steps: 50 -> 3",))
    go(tmp_path / "run", "stages.clm.max_steps=5")
    (old,) = old_stages(tmp_path / "run")
    assert (old.folder.name, old.state) == ("clm.old-1", "stopped")
    assert {"half.txt", "started.json"} == set(contents(old.folder))


def test_files_that_no_stage_has_left_are_set_aside(tmp_path, calls):
    places = {name: tmp_path / "run/stages" / name for name in ("clm", "scores", "slm")}
    for place in places.values():
        place.mkdir(parents=True)
        (place / "mine.npy").write_text("work of days")
    (places["slm"] / "mine.npy").rename(places["slm"] / ".mine.npy.7.tmp")
    go(tmp_path / "run")
    assert [old.folder.name for old in old_stages(tmp_path / "run")] == ["clm.old-1"]
    assert (tmp_path / "run/stages/clm.old-1/mine.npy").read_text() == "work of days"
    assert (places["scores"] / "mine.npy").read_text() == "work of days"  # the stage checks itself whose they are
    assert not (places["clm"] / "mine.npy").exists()


def test_old_results_are_listed_and_pruned(run, calls, tmp_path):
    go(run, "stages.slm.seed=7")
    go(run, "stages.slm.seed=8")
    kept = contents(run / "stages/slm")
    command = CliRunner()
    listed = command.invoke(app, ["runs", "list", str(tmp_path)]).output
    assert re.search(r"stages/slm.old-2 +finished +\d", listed)
    pruned = command.invoke(app, ["runs", "prune", str(run), "slm", "comp*"]).output
    assert "4 old results deleted" in pruned
    assert [old.folder.name for old in old_stages(run)] == ["eval.old-1", "eval.old-2", "report.old-1", "report.old-2"]
    assert "4 old results deleted" in command.invoke(app, ["runs", "prune", str(run)]).output
    assert not list((run / "stages").glob("*.old-*"))
    assert contents(run / "stages/slm") == kept
    calls()
    go(run, "stages.slm.seed=8")
    assert calls() == []
    with pytest.raises(RunError, match="has no stage 'slmm'; it has base, clm"):
        prune(run, ["slmm"])
    refused = command.invoke(app, ["runs", "prune", str(tmp_path)])
    assert "is no run folder" in str(refused.exception)


# --- versions of packages -------------------------------------------------------------------------------------------


def test_other_versions_are_asked_about_once(run, calls, numpy_is):
    numpy_is("1.0")
    with pytest.raises(RunError, match=r"numpy absent, here 1\.0: base, clm, slm\n.*--accept-versions.*--output"):
        go(run)
    before = results(run / "stages/base")
    go(run, accept_versions=True)
    go(run)
    assert calls() == []
    assert results(run / "stages/base") == before
    made = read_json(run / "stages/base/manifest.json")
    assert (made["made_of"]["packages"], made["accepted"]) == ({}, {"numpy": "1.0"})
    numpy_is("1.1")
    assert decisions(run)["clm"].versions == ("numpy absent, here 1.1",)
    with pytest.raises(RunError, match="--accept-versions"):
        go(run)
    go(run, "stages.base.seed=5", "stages.clm.seed=5", "stages.slm.seed=5")  # nothing is kept of what was made
    assert calls() == ["base", *DEEPER]
    assert read_json(run / "stages/base/manifest.json")["made_of"]["packages"] == {"numpy": "1.1"}


def test_a_stopped_stage_asks_too(tmp_path, calls, monkeypatch, numpy_is):
    numpy_is("1.0")
    monkeypatch.setenv("FAKE_RAISE", "clm:user")
    with pytest.raises(TrainingError):
        go(tmp_path / "run")
    monkeypatch.delenv("FAKE_RAISE")
    numpy_is("1.1")
    calls()
    with pytest.raises(RunError, match=r"numpy 1\.0, here 1\.1: base, clm\n"):
        go(tmp_path / "run")
    go(tmp_path / "run", accept_versions=True)
    assert calls() == ["clm", *AFTER_SLM]
    made = read_json(tmp_path / "run/stages/clm/manifest.json")
    assert (made["made_of"]["packages"], made["accepted"], made["attempts"]) == ({"numpy": "1.0"}, {"numpy": "1.1"}, 2)


# --- adopted --------------------------------------------------------------------------------------------------------


def test_a_result_of_another_run_is_taken_in(run, calls, tmp_path, other_code):
    other_code()
    told = Console(record=True, quiet=False, file=(tmp_path / "told.txt").open("w"), width=200)
    sources = {"base": run / "stages/base", "slm": run / "stages/slm"}
    before = contents(run)
    go(tmp_path / "other", console=told, adopt=sources)
    assert calls() == ["tokenizer", "web", "scores", "clm", "eval", "compare", "report"]
    for name, source in sources.items():
        assert results(tmp_path / "other/stages" / name) == results(source)
        assert f"{name}: taken from {source}; other code made it" in told.export_text(clear=False)
    go(tmp_path / "other", adopt=sources)
    assert calls() == []
    assert contents(run) == before
    with pytest.raises(Exception, match=r"base: it was adopted from .*run/stages/base, and other code than this made"):
        check_run(Run(load_recipe(str(SMALL), SHORT), tmp_path / "other"))


def test_what_other_code_made_may_stay_where_it_is(run, calls, other_code):
    other_code()
    (run / "stages/slm").rename(run / "elsewhere")
    (run / "stages/slm").symlink_to(run / "elsewhere")
    linked = contents(run / "elsewhere")
    go(run, adopt={name: run / "stages" / name for name in ("tokenizer", "web", "base", "scores", "clm", "slm")})
    assert calls() == ["eval", "compare", "report"]
    assert {old.stage for old in old_stages(run)} == {"slm", "eval", "compare", "report"}
    assert contents(run / "elsewhere") == linked  # what a link leads to may be others'
    assert not (run / "stages/slm").is_symlink()


def test_an_old_result_comes_back_by_the_command_line(run, calls):
    before = results(run / "stages/slm")
    go(run, "stages.slm.max_steps=3")
    calls()
    options = [part for item in SHORT for part in ("--set", item)]
    options += ["--only", "slm", "--accept-versions", "--adopt", f"slm={run}/stages/slm.old-1"]
    shown = CliRunner().invoke(app, ["run", str(SMALL), "--output", str(run), *options]).output
    assert f"old results kept: 5 ({sum(old.bytes for old in old_stages(run)) / 1000:.3g} kB)" in shown
    assert f"`rho1bench runs prune {run}` deletes them" in shown
    assert results(run / "stages/slm") == before
    assert len(read_jsonl(run / "stages/slm.old-2/metrics.jsonl")) == 3
    assert calls() == []
    go(run)
    assert calls() == ["eval", "compare", "report"]


def test_scores_made_beforehand_are_taken_in_for_the_stage_to_check(run, calls, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store/scores-00000.npy").write_text("scores")
    go(tmp_path / "other", adopt={"scores": tmp_path / "store"})
    assert "scores" in calls()
    assert (tmp_path / "other/stages/scores/scores-00000.npy").read_text() == "scores"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("stages.slm.selection.ratio=0.5", r"does not fit .*:\n  selection.ratio: 0.6 -> 0.5"),
        ("stages.slm.seed=8", r"does not fit .*:\n  seed: 3 -> 8"),
        ("stages.base.seed=8", r"does not fit .*:\n  a stage that it reads was set otherwise"),
    ],
)
def test_what_was_asked_for_otherwise_is_refused(run, calls, tmp_path, override, expected):
    with pytest.raises(RunError, match=expected):
        go(tmp_path / "other", override, adopt={"slm": run / "stages/slm"})
    assert calls() == []


def test_what_cannot_be_adopted_is_told(run, calls, tmp_path):
    shutil.copytree(run / "stages/slm", tmp_path / "damaged")
    (tmp_path / "damaged/weights.bin").write_bytes(b"x")
    for adopt, expected in {
        f"slm={tmp_path}/damaged": "weights.bin is missing or was changed",
        f"slm={tmp_path}": "there is no finished stage",
        f"slim={run}/stages/slm": "--adopt slim=.*there is no such stage; expected one of tokenizer, web",
    }.items():
        with pytest.raises(RunError, match=expected):
            go(tmp_path / "other", adopt=read_adoptions([adopt]))
    with pytest.raises(RunError, match="--adopt slm: expected STAGE=FOLDER"):
        read_adoptions(["slm"])
    assert calls() == []


# --- explained ------------------------------------------------------------------------------------------------------


def test_every_reason_is_explained(tmp_path, calls, monkeypatch):
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "a"}\n')
    start = [*SHORT, f"stages.web.sources=[{{type: local, path: {data}}}]"]
    run_recipe(load_recipe(str(SMALL), start), tmp_path / "run", console=Console(quiet=True))
    data.write_text('{"text": "b"}\n')
    monkeypatch.setattr(fingerprint, "code_states", lambda entry, shipped: {} if "plain" in entry else {"loss.py": "x"})
    changed = [*start, "stages.slm.selection.ratio=0.5", "stages.slm.logging_steps=7", "stages.clm.seed=5"]
    options = [part for item in changed for part in ("--set", item)]
    shown = (
        CliRunner().invoke(app, ["run", str(SMALL), "--output", str(tmp_path / "run"), "--explain", *options]).output
    )
    lines = {block.partition(":")[0]: block for block in re.split(r"\n(?! )", shown)}
    file = r"sources\.0\.path\.data\.jsonl"
    assert re.fullmatch(rf"web: redo \({file} has changed\)\n    {file}: sha256 \w+\.\.\. -> sha256 .*", lines["web"])
    assert lines["tokenizer"] == "tokenizer: skip (nothing changed)"
    assert "\n    selection.ratio: 0.6 -> 0.5\n" in lines["slm"]
    assert "\n    input web: is another one\n" in lines["slm"]
    assert "\n    code loss.py: is new" in lines["slm"]
    assert "\n    seed: 3 -> 5\n" in lines["clm"]
    assert "logging_steps" not in shown
    calls()


def test_what_changes_no_result_is_told(run):
    (line,) = decisions(run, "stages.slm.logging_steps=7")["slm"].operational
    assert line == "logging_steps: 10 -> 7"
