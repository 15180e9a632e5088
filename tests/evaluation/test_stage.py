"""The eval stage: plan, files, resume, limits, what a user is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rho1bench.errors import CheckpointError, DataError, RunError
from rho1bench.evaluation import stage as stage_module
from rho1bench.evaluation.engines import EngineSettings, Generation, Request, hf
from rho1bench.evaluation.engines.hf import HFEngine
from rho1bench.pipeline.stage import RunOptions, StageContext
from rho1bench.recipe import EvalStage
from rho1bench.system.files import read_json, read_jsonl
from rho1bench.system.progress import SilentProgress


class Messages(SilentProgress):
    def __init__(self) -> None:
        super().__init__("eval")
        self.lines: list[str] = []
        self.updates: list[dict[str, Any]] = []

    def message(self, text: str) -> None:
        self.lines.append(text)

    def update(self, done: int, **fields: Any) -> None:
        self.updates.append({"done": done, **fields})


class Parrot:
    """An engine whose answers depend on the checkpoint and the prompt; counts loads and requests, may be killed."""

    name, version, dtype, boots, answers_version = "parrot", "1", "float32", 1, 1
    settings = EngineSettings(max_model_len=384, batch_size=8, log=Path("parrot.log"))

    def __init__(self, die_after: int | None = None) -> None:
        self.loaded: list[str] = []
        self.asked: list[str] = []
        self.die_after = die_after
        self.closed = 0
        self.max_length = 10_000

    @property
    def lm(self) -> Parrot:
        return self

    def load(self, checkpoint: Any) -> None:
        self.loaded.append(checkpoint.label)

    def facts(self) -> dict[str, Any]:
        return {"max_num_seqs": 8}

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        for place, request in reversed(list(enumerate(requests))):
            if self.die_after is not None and len(self.asked) >= self.die_after:
                raise KeyboardInterrupt
            self.asked.append(request.prompt)
            number = (len(request.prompt) + len(self.loaded[-1])) % 7
            yield place, Generation(f" The answer is {number}.", "stop", 9, 5)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def run_folder(checkpoints: dict[str, Path], tmp_path: Path) -> Path:
    for name in ("clm", "slm"):
        folder = tmp_path / name
        shutil.copytree(checkpoints["late"], folder / "checkpoint")
        for step in (30, 60):
            shutil.copytree(checkpoints["early"], folder / "checkpoints" / f"step-{step:06d}")
        counts = {"max_steps": 90, "tokens": 9000, "selected_tokens": 5400}
        (folder / "training.json").write_text(json.dumps(counts))
        rows = [{"step": s, "tokens": 100 * s, "selected_tokens": 60 * s} for s in (10, 20, 30, 40, 90)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "eval").mkdir()
    return tmp_path


def context_for(root: Path, evaluations: list[dict[str, Any]], **more: Any) -> tuple[StageContext, Messages]:
    progress = Messages()
    stage = EvalStage(name="eval", kind="eval", evaluations=evaluations, max_model_len=256, batch_size=32, **more)
    recipe: Any = None
    inputs = {"clm": root / "clm", "slm": root / "slm"}
    return StageContext(recipe, stage, root / "eval", inputs, 0, progress, RunOptions(num_threads=1)), progress


def use(monkeypatch: pytest.MonkeyPatch, engine: Any) -> Any:
    monkeypatch.setattr(stage_module, "make_engine", lambda *_: engine)
    return engine


def test_files_follow_the_contract_with_a_real_engine(run_folder: Path):
    evaluations = [{"checkpoints": ["slm"], "suites": ["mini_math9", "mini_tir7"], "limit": 3}]
    context, progress = context_for(run_folder, evaluations, engine="hf")
    stage_module.run(context)
    record = read_json(run_folder / "eval" / "slm" / "results.json")
    ours = record["rho1bench"]
    assert ours["label"] == ours["stage"] == "slm"
    assert (ours["step"], ours["tokens"], ours["selected_tokens"]) == (90, 9000, 5400)
    assert (ours["engine"], ours["dtype"]) == ("hf", "float32")
    settings = {"batch_size": 32, "attention_backend": "sdpa", "max_num_seqs": hf.BATCH_SIZE}
    assert ours["engine_settings"].items() >= settings.items()
    assert set(ours["suites"]) == {"mini_math9", "mini_tir7"}
    assert len(ours["tasks"]) == len(record["results"]) == 16
    for name, summary in ours["tasks"].items():
        rows = read_jsonl(run_folder / "eval" / "slm" / f"samples_{name}.jsonl")
        assert [row["doc_id"] for row in rows] == [0, 1, 2]
        assert summary["n"] == 3
        assert summary["score"] == pytest.approx(record["results"][name]["exact_match,none"])
        assert summary["score"] == pytest.approx(sum(row["score"] for row in rows) / 3)
        assert sum(summary["verdicts"]["paper"].values()) == 3
        for row in rows:
            assert {"task", "doc", "target", "prompt", "completion", "pred", "paper", "verified"} <= set(row)
            assert row["finish_reason"] in ("stop", "length")
            assert row["score"] == float(row["paper"] == "correct")
    average = ours["suites"]["mini_math9"]["average"]
    assert average == pytest.approx(sum(ours["tasks"][t]["score"] for t in ours["suites"]["mini_math9"]["tasks"]) / 9)
    assert progress.updates[-1]["done"] == 16 * 3
    assert "slm" in progress.updates[-1]["checkpoint"]


def test_trajectory_labels_counts_and_the_wider_limit(run_folder: Path, monkeypatch: pytest.MonkeyPatch):
    engine = use(monkeypatch, Parrot())
    evaluations = [
        {"checkpoints": ["clm", "slm"], "suites": ["mini_math9"], "limit": 4},
        {"checkpoints": ["slm"], "suites": ["mini_math9"], "trajectory": True, "limit": 2},
    ]
    context, _ = context_for(run_folder, evaluations)
    stage_module.run(context)
    assert engine.loaded == ["clm", "slm", "slm@000030", "slm@000060"]
    records = {label: read_json(run_folder / "eval" / label / "results.json") for label in engine.loaded}
    ours = {label: record["rho1bench"] for label, record in records.items()}
    assert (ours["slm@000030"]["tokens"], ours["slm@000030"]["selected_tokens"]) == (3000, 1800)
    assert ours["slm@000060"]["tokens"] == 6000
    assert ours["slm"]["tasks"]["mini_sat"]["n"] == 4
    assert ours["slm@000060"]["tasks"]["mini_sat"]["n"] == 2
    assert ours["clm"]["eval_fingerprint"] == ours["slm"]["eval_fingerprint"] != ours["slm@000030"]["eval_fingerprint"]
    assert engine.closed == 1


def test_a_kill_between_units_repeats_nothing_finished(run_folder: Path, monkeypatch: pytest.MonkeyPatch):
    evaluations = [{"checkpoints": ["clm", "slm"], "suites": ["mini_math9", "mini_tir7"], "limit": 2}]
    context, _ = context_for(run_folder, evaluations)
    killed = use(monkeypatch, Parrot(die_after=9 * 2 + 7 * 2))
    with pytest.raises(KeyboardInterrupt):
        stage_module.run(context)
    assert (run_folder / "eval" / "clm" / "results.json").exists()
    before = {path: path.stat().st_mtime_ns for path in (run_folder / "eval" / "clm").iterdir()}
    again = use(monkeypatch, Parrot())
    stage_module.run(context)
    assert again.loaded == ["slm"]
    assert len(killed.asked) == len(again.asked) == 32
    assert before == {path: path.stat().st_mtime_ns for path in (run_folder / "eval" / "clm").iterdir()}
    straight_root = run_folder / "straight"
    straight_root.mkdir()
    (straight_root / "eval").mkdir()
    for name in ("clm", "slm"):
        (straight_root / name).symlink_to(run_folder / name)
    straight, _ = context_for(straight_root, evaluations)
    use(monkeypatch, Parrot())
    stage_module.run(straight)
    for label in ("clm", "slm"):
        for path in sorted((run_folder / "eval" / label).glob("samples_*")):
            assert path.read_bytes() == (straight_root / "eval" / label / path.name).read_bytes()


def test_nothing_to_do_asks_no_model(run_folder: Path, monkeypatch: pytest.MonkeyPatch):
    context, _ = context_for(run_folder, [{"checkpoints": ["slm"], "suites": ["mini_gsm8k"], "limit": 2}])
    use(monkeypatch, Parrot())
    stage_module.run(context)
    idle = use(monkeypatch, Parrot())
    (run_folder / "eval" / "slm" / "results.json").unlink()
    stage_module.run(context)
    assert (idle.loaded, idle.asked) == ([], [])
    assert (run_folder / "eval" / "slm" / "results.json").exists()


def test_a_unit_does_not_depend_on_what_ran_before(checkpoints: dict[str, Path], run_folder: Path, tmp_path: Path):
    alone, _ = context_for(run_folder, [{"checkpoints": ["slm"], "suites": ["mini_svamp"], "limit": 6}], engine="hf")
    stage_module.run(alone)
    path = run_folder / "eval" / "slm" / "samples_mini_svamp.jsonl"
    first = path.read_bytes()
    shutil.rmtree(run_folder / "eval")
    (run_folder / "eval").mkdir()
    evaluations = [{"checkpoints": ["clm", "slm"], "suites": ["mini_sat", "mini_svamp"], "limit": 6}]
    after, _ = context_for(run_folder, evaluations, engine="hf")
    stage_module.run(after)
    assert path.read_bytes() == first


def test_prompts_that_do_not_fit_are_counted_and_told(run_folder: Path):
    evaluations = [{"checkpoints": ["slm"], "suites": ["mini_gsm8k", "mini_boolq"], "limit": 3}]
    context, progress = context_for(run_folder, evaluations, engine="hf")
    short = context.config(EvalStage).model_copy(update={"max_model_len": 24})
    stage_module.run(StageContext(context.recipe, short, context.folder, context.inputs, 0, progress))
    tasks = read_json(run_folder / "eval" / "slm" / "results.json")["rho1bench"]["tasks"]
    assert tasks["mini_gsm8k"]["truncated"] == tasks["mini_gsm8k"]["prompts_too_long"] == 3
    assert tasks["mini_boolq"]["truncated"] == 3
    assert sum("longer than the context" in line for line in progress.lines) == 2


def test_bad_checkpoints_and_suites_stop_before_an_engine_boots(run_folder: Path, monkeypatch: pytest.MonkeyPatch):
    def no_engine(*_: Any) -> Any:
        raise AssertionError("booted")

    monkeypatch.setattr(stage_module, "make_engine", no_engine)
    context, _ = context_for(run_folder, [{"checkpoints": ["slm"], "suites": ["mini_mth9"]}])
    with pytest.raises(RunError, match="mini_math9"):
        stage_module.run(context)
    (run_folder / "slm" / "checkpoint" / "model.safetensors").unlink()
    context, _ = context_for(run_folder, [{"checkpoints": ["slm"], "suites": ["mini_math9"]}])
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        stage_module.run(context)


def test_faulty_data_stop_before_a_model_is_loaded(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    engine = use(monkeypatch, Parrot())
    monkeypatch.setenv("RHO1BENCH_DATA", str(tmp_path))
    context, _ = context_for(run_folder, [{"checkpoints": ["slm"], "suites": ["mini_math9", "rho1_tir7"], "limit": 2}])
    with pytest.raises(DataError, match=r"math/gsm8k/test\.jsonl: no such file"):
        stage_module.run(context)
    assert (engine.loaded, engine.asked) == ([], [])


def test_the_option_on_the_command_line_wins(run_folder: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    parrot = Parrot()

    def make(name: str, *_: Any) -> Any:
        asked.append(name)
        return parrot

    monkeypatch.setattr(stage_module, "make_engine", make)
    context, _ = context_for(
        run_folder, [{"checkpoints": ["slm"], "suites": ["mini_gsm8k"], "limit": 1}], engine="vllm"
    )
    options = RunOptions(engine="hf")
    stage_module.run(StageContext(None, context.stage, context.folder, context.inputs, 0, context.progress, options))  # type: ignore[arg-type]
    assert asked == ["hf"]
    assert HFEngine.name == "hf"


@pytest.mark.parametrize(
    ("said", "gpus", "copies"),
    [(None, 8, (1, 4)), (None, 0, (1, 0)), (None, 2, (1, 2)), (2, 8, (2, 0)), (1, 8, (1, 0))],
)
def test_copies_of_a_model_take_the_gpus_of_the_launch_or_as_many_as_the_recipe_says(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, said: int | None, gpus: int, copies: tuple[int, int]
):
    found: list[EngineSettings] = []

    def make(name: str, settings: EngineSettings, *_: Any) -> Any:
        found.append(settings)
        return Parrot()

    monkeypatch.setattr(stage_module, "make_engine", make)
    monkeypatch.setattr(stage_module, "num_gpus", lambda: gpus)
    evaluations = [{"checkpoints": ["slm"], "suites": ["mini_gsm8k"], "limit": 1}]
    context, _ = context_for(run_folder, evaluations, data_parallel_size=said)
    stage_module.run(replace(context, options=RunOptions(gpus_per_node=4)))
    assert [(settings.data_parallel_size, settings.spare_gpus) for settings in found] == [copies]
