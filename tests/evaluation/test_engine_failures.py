"""Whatever an engine fails with is one message with its log and a way out."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from eval_cli import CommandLine
from pydantic import AfterValidator, BaseModel

from rho1bench.errors import CheckpointError, EngineError
from rho1bench.evaluation.answer_cache import AnswerCache
from rho1bench.evaluation.cached_model import CachedModel
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import EngineFacts, EngineSettings, Request, vllm, vllm_server
from rho1bench.evaluation.engines.failures import one_message
from rho1bench.evaluation.engines.hf import HFEngine

FAILURES: dict[str, tuple[BaseException, str]] = {
    "a missing sampler": (ImportError("cannot import flashinfer.sampling"), "VLLM_USE_FLASHINFER_SAMPLER=0"),
    "a missing package": (ModuleNotFoundError("No module named 'einops'"), "pip install einops"),
    "a head size": (NotImplementedError("Head size 16 is not supported by CPU attention"), "use --engine hf"),
    "memory": (RuntimeError("CUDA out of memory. Tried to allocate"), "Lower --batch-size or --max-model-len"),
    "no words": (KeyError("lm_head"), "Try --engine hf"),
    "an exit": (SystemExit(1), "Try --engine hf"),
    "a broken assertion": (AssertionError(), "Try --engine hf"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_any_failure_is_one_message(failure: str, tmp_path: Path):
    error, advice = FAILURES[failure]
    log = tmp_path / "deep" / "engine.log"
    with pytest.raises(EngineError) as told, one_message("vllm", "load FOLDER", log):
        raise error
    message = str(told.value)
    assert message.startswith("vllm cannot load FOLDER: ")
    assert len(message.splitlines()) == 2
    assert f"Its log is {log}. " in message
    assert advice in message
    assert (type(error).__name__ in message) or (str(error).splitlines()[0] in message)
    assert "Traceback (most recent call last)" in log.read_text()


def test_the_cause_behind_a_pointer_is_told(tmp_path: Path):
    def fail() -> None:
        try:
            raise ValueError("no flashinfer here")
        except ValueError as cause:
            raise RuntimeError("Engine core initialization failed. See root cause above.") from cause

    with (
        pytest.raises(EngineError, match=r"no flashinfer here[\s\S]*FLASHINFER_SAMPLER=0"),
        one_message("vllm", "load X", tmp_path / "log"),
    ):
        fail()


def test_the_words_of_a_refused_setting_are_told(tmp_path: Path):
    def refuse(value: str) -> str:
        raise ValueError(f"architecture {value} is not supported anymore")

    class Settings(BaseModel):
        architecture: Annotated[str, AfterValidator(refuse)]

    message = r"vllm cannot load X: architecture Old is not supported anymore\nIts log .*--engine hf"
    with pytest.raises(EngineError, match=message), one_message("vllm", "load X", tmp_path / "log"):
        Settings(architecture="Old")


def test_the_cause_in_another_process_is_found_in_the_log(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("INFO attention backend\nImportError: libflashinfer.so is missing\n")
    with pytest.raises(EngineError, match="FLASHINFER_SAMPLER=0"), one_message("vllm", "load X", log):
        raise RuntimeError("worker died")


def test_messages_for_the_user_and_interrupts_pass_through(tmp_path: Path):
    for error in (CheckpointError("as it is"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as told, one_message("hf", "load X", tmp_path / "log"):
            raise error
        assert told.value is error
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("place", ["before", "engine"])
def test_a_model_that_cannot_be_loaded_ends_the_command_without_a_traceback(
    checkpoints: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    place: str,
):
    folder, log = tmp_path / "odd", tmp_path / "evals" / "odd" / "engine.log"
    shutil.copytree(checkpoints["early"], folder)
    if place == "before":
        change_config(folder, hidden_act="no such function")
    else:
        monkeypatch.setattr("rho1bench.evaluation.engines.hf.load_model", lambda *_: {}["no such function"])
    ended = CommandLine(monkeypatch, capsys)(
        "eval", folder, "--engine", "hf", "--tasks", "mini_sat", "--limit", "1", "--output", tmp_path / "evals"
    )
    assert ended.code == 2
    assert re.search("KeyError:? 'no such function'", ended.err)
    assert "Traceback" not in ended.err
    if place == "before":
        assert "these weights cannot be loaded" in ended.err
        assert not log.exists()
    else:
        assert "hf cannot load" in ended.err
        assert str(log) in ended.err
        assert "Traceback" in log.read_text()


def change_config(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def rename_weights(folder: Path, prefix: str) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = {f"{prefix}{name}": value for name, value in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})


class Booted(Exception):
    """The engine went on to start vLLM."""


@pytest.fixture(params=[vllm.VLLMEngine, vllm_server.ServedVLLM])
def vllm_that_only_boots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """An engine whose vLLM need not be installed: a boot raises ``Booted``."""

    def boot(*_: Any) -> None:
        raise Booted

    for module in (vllm, vllm_server):
        monkeypatch.setattr(module, "prepare_vllm", lambda: "0+cpu")
        monkeypatch.setattr(module, "one_message", lambda *_: nullcontext())
    monkeypatch.setattr(vllm.VLLMEngine, "_boot", boot)
    monkeypatch.setattr(vllm_server, "VLLMServer", boot)
    return request.param(EngineSettings(max_model_len=64, batch_size=8, log=tmp_path / "log"))


def test_vllm_is_not_booted_for_weights_of_another_model(
    checkpoints: dict[str, Path], vllm_that_only_boots: Any, tmp_path: Path
):
    folder = tmp_path / "model"
    shutil.copytree(checkpoints["early"], folder)
    checkpoint = Checkpoint("early", folder, "early", source="owner/tiny", revision="0123")
    with pytest.raises(Booted):
        vllm_that_only_boots.load(checkpoint)
    change_config(folder, num_hidden_layers=3)
    with pytest.raises(CheckpointError, match=r"^owner/tiny: .*9 of its weights are missing \(model\.layers\.2"):
        vllm_that_only_boots.load(checkpoint)
    change_config(folder, num_hidden_layers=2)
    rename_weights(folder, "_orig_mod.")
    with pytest.raises(CheckpointError, match=r"^owner/tiny: .*torch\.compile"):
        vllm_that_only_boots.load(checkpoint)
    for fields in ({"architectures": ["ModelThatVLLMAloneKnows"]}, {"quantization_config": {"quant_method": "fp8"}}):
        change_config(folder, **{"architectures": ["LlamaForCausalLM"], **fields})
        with pytest.raises(Booted):
            vllm_that_only_boots.load(checkpoint)


class Broken(HFEngine):
    """Loads, and then fails in every way it is asked."""

    @property
    def lm(self) -> Any:
        return self

    def facts(self) -> EngineFacts:
        return {}

    def loglikelihood(self, pairs: Sequence[Any], disable_tqdm: bool) -> list[tuple[float, bool]]:
        raise IndexError("index out of range in self")


def test_a_failure_in_the_middle_is_one_message_too(checkpoints: dict[str, Path], tmp_path: Path):
    engine = Broken(EngineSettings(max_model_len=64, batch_size=8, log=tmp_path / "log"))
    checkpoint = Checkpoint("early", checkpoints["early"], "early")
    model = CachedModel(engine, checkpoint, AnswerCache(tmp_path, {}))
    with pytest.raises(EngineError, match=r"hf cannot score the continuations: index out of range[\s\S]*log"):
        model.loglikelihoods([SimpleNamespace(args=("a", " b"), task_name="t", doc_id=0)], lambda _: None)
    with pytest.raises(EngineError, match="hf cannot complete the prompts"):
        model.complete([Request("a", (), 4)], lambda _: None)
