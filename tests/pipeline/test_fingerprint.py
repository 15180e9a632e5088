"""Fingerprints: no code that carries out a stage is missed, local files count by what they hold, wherever they lie."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rho1bench.pipeline import code_closure, fingerprint
from rho1bench.pipeline.code_closure import code_files
from rho1bench.pipeline.fingerprint import code_states, stage_fingerprint
from rho1bench.recipe import PretrainedModel, ScoreStage, StageBase, TokenizerStage
from rho1bench.recipe.loading.json_schema import stage_models
from rho1bench.recipe.models.corpus import CorpusStage, LocalSource, named_files
from rho1bench.system.paths import PACKAGE, shipped

KINDS = stage_models()
ENTRIES = {
    "tokenizer": "rho1bench.corpus.tokenizer:run",
    "corpus": "rho1bench.corpus.stage:run",
    "pretrain": "rho1bench.training.pretrain:run",
    "score": "rho1bench.selection.stage:run",
    "sft": "rho1bench.training.sft:run",
    "eval": "rho1bench.evaluation.stage:run",
    "benchmark_texts": "rho1bench.evaluation.benchmark_texts:run",
    "compare": "rho1bench.comparison.stage:run",
    "analysis": "rho1bench.analysis.stage:run",
    "atlas": "rho1bench.atlas.stage:run",
    "report": "rho1bench.report.stage:run",
}


def test_every_kind_of_stage_has_its_entry():
    assert {kind: model.spec.entry for kind, model in KINDS.items()} == ENTRIES


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its tasks."""
    top = tmp_path_factory.mktemp("copy")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, top / "rho1bench", ignore=ignore)
    shutil.copytree(shipped("tasks"), top / "tasks", ignore=ignore)
    return top


@pytest.fixture
def copy(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The copy, of which closures are taken."""
    for module in (code_closure, fingerprint):
        monkeypatch.setattr(module, "PACKAGE", copied / "rho1bench")
    monkeypatch.setattr(code_closure, "shipped", lambda name: copied / name)
    return copied


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.sweep)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_byte_makes_a_stage_stale_if_and_only_if_the_stage_can_reach_it(
    copy: Path, kind: str, every: int, monkeypatch
):
    """Byte by byte in every ninth file, in every file in the sweep; the files out of reach all at once."""
    spec = KINDS[kind].spec

    def digest() -> dict[str, str]:
        return code_states.__wrapped__(spec.entry, spec.shipped)

    before, inside = digest(), code_files(spec.entry, spec.shipped)
    assert len(inside) > 20
    with monkeypatch.context() as patch:
        patch.setattr(fingerprint, "code_files", lambda entry, shipped: inside)  # a new last line reaches nothing new
        for path in inside[::every]:
            content = path.read_bytes()
            path.write_bytes(content + b"\n")
            assert digest() != before, path
            path.write_bytes(content)
    assert digest() == before
    outside = {path for path in copy.rglob("*") if path.is_file()} - set(inside)
    assert {path for path in outside if path.parts[-2:] == ("cli", "app.py")}
    contents = {path: path.read_bytes() for path in outside}
    for path, content in contents.items():
        path.write_bytes(content + b"\n")
    assert digest() == before
    for path, content in contents.items():
        path.write_bytes(content)


def test_a_new_or_renamed_file_beside_the_code_counts(copy: Path):
    spec = KINDS["report"].spec
    before = code_states.__wrapped__(spec.entry, spec.shipped)
    template = copy / "rho1bench" / "report" / "templates" / "more.j2"
    template.write_text("x")
    first = code_states.__wrapped__(spec.entry, spec.shipped)
    template.rename(template.with_name("other.j2"))
    second = code_states.__wrapped__(spec.entry, spec.shipped)
    template.with_name("other.j2").unlink()
    assert [set(second) - set(first), len(first) - len(before)] == [{"report/templates/other.j2"}, 1]


@pytest.mark.parametrize("kind", ["corpus", "compare", "report", "eval"])
def test_the_closure_holds_every_module_that_importing_the_entry_loads(kind: str):
    spec = KINDS[kind].spec
    code = (
        f"import {spec.entry.partition(':')[0]}, sys\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.partition('.')[0] == 'rho1bench' and m.__file__))"
    )
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    loaded = {Path(name) for name in done.stdout.split()}
    assert len(loaded) > 10
    assert loaded <= set(code_files(spec.entry, spec.shipped))


def test_code_that_is_reached_by_name_only_is_found():
    """Processes of their own, functions that lm-eval's YAML names, and imports inside functions."""
    files = code_files(ENTRIES["eval"], ("tasks",))
    found = {path.relative_to(PACKAGE).as_posix() for path in files if path.is_relative_to(PACKAGE)}
    assert {
        "grading/worker.py",
        "sandbox/inside/server_main.py",
        "evaluation/tasks/mini_tasks.py",
        "evaluation/data/line_hashes.json",
        "paper/suites.py",
        "system/openai_client.py",
    } <= found
    assert not any(place.startswith(("cli/", "training/", "leaderboard/", "bench/")) for place in found)


# --- local files ----------------------------------------------------------------------------------------------------


def corpus(path: Path) -> StageBase:
    source = LocalSource(type="local", path=str(path))
    return CorpusStage(name="web", kind="corpus", tokenizer="t", block_size=16, sources=[source])


def reading(folder: Path) -> list[StageBase]:
    """Stages that read a folder, each by another field."""
    reference = PretrainedModel(pretrained=str(folder))
    return [
        ScoreStage(name="scores", kind="score", reference=reference, corpus="web"),
        TokenizerStage(name="tokenizer", kind="tokenizer", pretrained=str(folder)),
    ]


def test_a_project_may_be_renamed(tmp_path: Path):
    before, after = tmp_path / "before", tmp_path / "after"
    (before / "deep").mkdir(parents=True)
    (before / "deep" / "a.jsonl").write_text("{}\n")
    named = [corpus(before), corpus(before / "deep" / "a.jsonl"), corpus(before / "deep" / "*.jsonl"), *reading(before)]
    hashes = [stage_fingerprint(stage, 0, {}).sha256 for stage in named]
    before.rename(after)
    moved = [corpus(after), corpus(after / "deep" / "a.jsonl"), corpus(after / "deep" / "*.jsonl"), *reading(after)]
    assert [stage_fingerprint(stage, 0, {}).sha256 for stage in moved] == hashes
    (after / "deep" / "a.jsonl").write_text("{} \n")
    changed = [stage_fingerprint(stage, 0, {}).sha256 for stage in moved]
    assert not set(changed) & set(hashes)


def test_replaced_weights_are_seen(tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(b"one")
    stage = reading(tmp_path)[0]
    before = stage_fingerprint(stage, 0, {}).sha256
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert stage_fingerprint(stage, 0, {}).sha256 != before


def test_brackets_in_the_names_of_folders_are_letters(tmp_path: Path):
    folder = tmp_path / "set [1]"
    folder.mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        (folder / name).write_text("{}\n")
    assert named_files(str(folder / "*.jsonl")) == [folder / "a.jsonl", folder / "b.jsonl"]
    assert named_files(str(folder / "[ab].jsonl")) == [folder / "a.jsonl", folder / "b.jsonl"]
    assert named_files(str(folder)) == [folder / "a.jsonl", folder / "b.jsonl"]


def test_folders_are_searched_through_links_but_not_in_circles(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    folder = tmp_path / "text"
    for file in (elsewhere / "b.jsonl", folder / "a.jsonl"):
        file.parent.mkdir()
        file.write_text('{"text": "a"}\n')
    (folder / "linked").symlink_to(elsewhere)
    (folder / "circle").symlink_to(folder)
    found = [folder / "a.jsonl", folder / "linked" / "b.jsonl"]
    assert named_files(str(folder)) == found
    assert named_files(str(folder / "**" / "*.jsonl")) == found
