"""``rho1bench eval``: files, table, no repeated request, a kill in the middle, a clear message for bad input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import patient_eval
import pytest
from eval_cli import CommandLine, keys

from rho1bench.errors import CheckpointError, SandboxError
from rho1bench.evaluation.checkpoints import find_checkpoints
from rho1bench.evaluation.engines.hf import HFEngine
from rho1bench.system.files import read_json, read_jsonl


@pytest.fixture
def rho1bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def no_model(*_: Any) -> None:
    raise AssertionError("a model was loaded")


def test_one_command_evaluates_and_repeats_nothing(
    checkpoints: dict[str, Path], rho1bench: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    command = ["eval", checkpoints["early"], checkpoints["late"], "--engine", "hf", "--output", tmp_path]
    command += ["--suite", "mini_tir7", "--tasks", "mini_sat, mini_boolq", "--limit"]
    ended = rho1bench(*command, 2)
    assert ended.code == 0, ended.err
    for word in ("late: score in percent", "95% interval", "mini_tir7 (mean)", "mini_boolq", "at most 2 documents"):
        assert word in ended.out
    record = read_json(tmp_path / "late" / "results.json")
    ours = record["rho1bench"]
    assert len(ours["tasks"]) == len(record["results"]) == 9
    assert ours["weights_sha256"] != read_json(tmp_path / "early" / "results.json")["rho1bench"]["weights_sha256"]
    assert (ours["engine"], ours["model"]) == ("hf", str(checkpoints["late"]))
    assert set(ours["limits"].values()) == {2}
    assert "config_source" not in json.dumps(record)
    rows = read_jsonl(tmp_path / "late" / "samples_mini_sat.jsonl")
    assert len(rows) == 2
    needed = {"completion", "pred", "paper", "verified", "finish_reason", "truncated"}
    assert all(needed <= set(row) for row in rows)
    first = keys(tmp_path / "late")
    assert len(first) == len(set(first)) >= 7 * 2 + 2 + 2 * 2

    monkeypatch.setattr(HFEngine, "load", no_model)
    assert rho1bench(*command, 2).out == ended.out
    (tmp_path / "late" / "unit_mini_sat.json").unlink()
    again = rho1bench(*command, 2)
    assert (again.code, again.out) == (0, ended.out)
    assert "2 answers are from an earlier run, 0 were computed now" in again.err
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", [])
    assert rho1bench(*command, 3).code == 0
    wider = keys(tmp_path / "late")
    assert wider[: len(first)] == first
    assert len(wider) == len(set(wider)) > len(first)


def test_a_killed_evaluation_resumes_without_repeating_requests(
    checkpoints: dict[str, Path],
    process_environment: dict[str, str],
    rho1bench: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    monkeypatch.setattr("rho1bench.evaluation.tools.tool_loop.run_programs", patient_eval.run_patiently)
    options = ["--engine", "hf", "--suite", "mini_math9", "--suite", "mini_tir7", "--limit", "4", "--threads", "1"]
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    command = [sys.executable, patient_eval.__file__, "eval", str(checkpoints["late"]), *options]
    command += ["--output", str(killed)]
    process = subprocess.Popen(command, env=process_environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    cache = killed / "late" / "answers.jsonl"
    wait_for(lambda: cache.exists() and len(cache.read_bytes().splitlines()) >= 12, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = keys(killed / "late")
    assert 12 <= len(before) < 16 * 4
    assert not (killed / "late" / "results.json").exists()
    with cache.open("ab") as handle:
        handle.write(b'{"key": "to')  # what a write cut short leaves

    ended = rho1bench("eval", checkpoints["late"], *options, "--output", killed)
    assert ended.code == 0, ended.err
    after = keys(killed / "late")
    assert after[: len(before)] == before
    assert len(after) == len(set(after))
    assert f"{len(after) - len(before)} were computed now" in ended.err
    assert rho1bench("eval", checkpoints["late"], *options, "--output", straight).code == 0
    assert set(after) == set(keys(straight / "late"))
    for path in sorted((straight / "late").glob("samples_*.jsonl")):
        assert path.read_bytes() == (killed / "late" / path.name).read_bytes()
    assert without_seconds(killed) == without_seconds(straight)


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 240
    while not ready():
        assert process.poll() is None, process.communicate()[1].decode()[-3000:]
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.01)


def without_seconds(folder: Path) -> Any:
    record = read_json(folder / "late" / "results.json")
    del record["rho1bench"]["seconds"], record["rho1bench"]["sha256"]  # the hash of all that stands there
    return record


# --- bad input ------------------------------------------------------------------------------------------------------


def copy(checkpoint: Path, folder: Path) -> Path:
    shutil.copytree(checkpoint, folder)
    return folder


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def truncated(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def with_nan(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def missing_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (without_config, "config.json is missing"),
        (without_weights, "model.safetensors or model.safetensors.index.json is missing"),
        (only_pickle, "a pickle file, which can run code"),
        (truncated, "not a whole one"),
        (with_nan, "tensor model.norm.weight holds NaN"),
        (missing_shard, "1 of its 1 shards are missing"),
        (broken_config, "cannot be read as JSON"),
    ],
)
def test_what_is_no_checkpoint_stops_before_a_model_is_loaded(
    spoil: Callable[[Path], None], word: str, checkpoints: dict[str, Path], rho1bench: CommandLine, tmp_path: Path
):
    folder = copy(checkpoints["early"], tmp_path / "tiny")
    spoil(folder)
    ended = rho1bench("eval", folder, "--suite", "mini_math9", "--engine", "hf", "--output", tmp_path / "evals")
    assert (ended.code, ended.out) == (2, "")
    assert word in ended.err
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "evals").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["no/such/folder/here"], "no such folder"),
        (["./nothing"], "no such folder"),
        (["owner/model@main"], "the hub cannot be reached"),
        (["EARLY", "EARLY"], "named twice"),
        (["EARLY", "--suite", "mini_mth9"], "Did you mean 'mini_math9'"),
        (["EARLY", "--tasks", "mini_gsm8"], "'mini_gsm8k'"),
        (["EARLY", "--limit", "0"], "--limit"),
        (["EARLY", "--data-root", "nowhere"], "nowhere: no such folder"),
        (["EARLY", "--base-url", "http://localhost:1/v1"], "go with --engine openai"),
        (["EARLY", "--engine", "hf", "--suite", "mini_sat", "--data-parallel-size", "2"], "go with --engine vllm"),
        (["EARLY", "--engine", "openai"], "needs the server's address"),
        (["EARLY", "--engine", "openai", "--base-url", "localhost:1"], "expected an address"),
        (["EARLY", "--engine", "openai", "--suite", "mini_sat", "--base-url", "http://127.0.0.1:1/v1"], "no server"),
        (["EARLY", "--suite", "mini_sat", "--output", "FILE/evals", "--engine", "hf"], "cannot write"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    arguments: list[str],
    word: str,
    checkpoints: dict[str, Path],
    rho1bench: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RHO1BENCH_DATA", str(tmp_path))
    monkeypatch.setattr("rho1bench.system.openai_client.NUM_RETRIES", 0)
    Path("FILE").write_text("x")
    ended = rho1bench("eval", *(str(checkpoints["early"]) if part == "EARLY" else part for part in arguments))
    assert (ended.code, ended.out) == (2, "")
    assert word in ended.err
    assert "Traceback" not in ended.err
    assert not list(tmp_path.rglob("results.json"))


def test_a_folder_of_another_checkpoint_is_refused(
    checkpoints: dict[str, Path], rho1bench: CommandLine, tmp_path: Path
):
    folder = copy(checkpoints["early"], tmp_path / "tiny")
    options = ["--engine", "hf", "--tasks", "mini_sat", "--limit", "1", "--output", tmp_path / "evals"]
    assert rho1bench("eval", folder, *options).code == 0
    before = (tmp_path / "evals" / "tiny" / "results.json").read_bytes()
    shutil.copy(checkpoints["late"] / "model.safetensors", folder)
    ended = rho1bench("eval", folder, *options)
    assert ended.code == 2
    assert "holds the evaluation of another checkpoint" in ended.err
    assert (tmp_path / "evals" / "tiny" / "results.json").read_bytes() == before


def test_programs_that_nothing_isolates_are_refused_before_a_model_is_loaded(
    checkpoints: dict[str, Path], rho1bench: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def refuse() -> None:
        raise SandboxError("model-written programs would run without isolation here")

    monkeypatch.setattr("rho1bench.evaluation.evaluator.isolation_in_force", refuse)
    options = ["--engine", "hf", "--limit", "1", "--output", tmp_path, "--tasks"]
    with monkeypatch.context() as context:
        context.setattr(HFEngine, "load", no_model)
        for task in ("mini_gsm8k_tir", "mini_humaneval"):
            ended = rho1bench("eval", checkpoints["early"], *options, task)
            assert (ended.code, "without isolation" in ended.err) == (2, True)
    assert rho1bench("eval", checkpoints["early"], *options, "mini_sat").code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_an_unwritable_folder_is_told(checkpoints: dict[str, Path], rho1bench: CommandLine, tmp_path: Path):
    (tmp_path / "evals").mkdir(mode=0o500)
    ended = rho1bench("eval", checkpoints["early"], "--suite", "mini_sat", "--output", tmp_path / "evals")
    assert ended.code == 2
    assert "cannot write" in ended.err


def test_a_tokenizer_without_padding_and_prompts_that_do_not_fit(
    checkpoints: dict[str, Path], rho1bench: CommandLine, tmp_path: Path
):
    folder = copy(checkpoints["late"], tmp_path / "bare")
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    options = ["--engine", "hf", "--tasks", "mini_gsm8k,mini_boolq", "--limit", "2", "--output", tmp_path / "evals"]
    ended = rho1bench("eval", folder, *options, "--max-model-len", "24")
    assert ended.code == 0, ended.err
    assert "no padding token" in ended.err
    assert ended.err.count("2 of 2 prompts are longer than the context") == 2
    tasks = read_json(tmp_path / "evals" / "bare" / "results.json")["rho1bench"]["tasks"]
    assert tasks["mini_gsm8k"]["prompts_too_long"] == 2
    assert tasks["mini_boolq"]["truncated"] == 2


# --- names ----------------------------------------------------------------------------------------------------------


def test_labels_tell_checkpoints_apart(tmp_path: Path):
    names = ["a/slm/checkpoint", "a/clm/checkpoint", "b/tiny", "c/tiny", "step-000100"]
    for name in names:
        (tmp_path / name).mkdir(parents=True)
    found = find_checkpoints([str(tmp_path / name) for name in names])
    assert [c.label for c in found[:4]] == ["slm-checkpoint", "clm-checkpoint", "b-tiny", "c-tiny"]
    assert found[4].label == f"{tmp_path.name}-step-000100"
    assert [c.label for c in find_checkpoints(["owner/big-1b@v2", "solo"], served=True)] == ["big-1b@v2", "solo"]


def test_a_hub_id_is_read_from_the_cache_when_offline(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--owner--tiny"
    shutil.copytree(checkpoints["early"], repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "v1").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (checkpoint,) = find_checkpoints(["owner/tiny@v1"])
    checkpoint.check()
    assert (checkpoint.label, checkpoint.source, checkpoint.revision) == ("tiny@v1", "owner/tiny", commit)
    with pytest.raises(CheckpointError, match="not in the local cache"):
        find_checkpoints(["owner/tiny@v2"])
