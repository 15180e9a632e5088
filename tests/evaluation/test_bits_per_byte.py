"""Bits per byte of packed corpora and gold answers: against the model's own losses, resumed, and named to users."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from vllm_worker import TOKEN_PAIRS

from rho1bench import mini_world
from rho1bench.comparison.eval_results import read_label
from rho1bench.corpus.tokenizer import load_raw_tokenizer, tokenizer_sha256
from rho1bench.errors import CheckpointError, DataError
from rho1bench.evaluation import cached_model
from rho1bench.evaluation import stage as stage_module
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.command import EvalOptions, evaluate, print_evaluations
from rho1bench.evaluation.engines import EngineSettings
from rho1bench.evaluation.engines.hf import HFEngine
from rho1bench.evaluation.harness.lm_eval_internals import token_loglikelihoods
from rho1bench.pipeline.stage import RunOptions, StageContext
from rho1bench.recipe import EvalStage
from rho1bench.system.files import read_json, read_jsonl, write_json
from rho1bench.system.progress import SilentProgress

SUITES = ["mini_gsm8k", "mini_svamp_tir", "mini_boolq", "mini_winogrande", "mini_humaneval"]
TEXTS = [*(f"gold_answers:{suite}" for suite in SUITES), "corpus:clean", "corpus:masked"]
BLOCKS, BLOCK_SIZE = 6, 40


@pytest.fixture(scope="module")
def inputs(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a trained stage and of two packed corpora, one of which keeps documents apart."""
    root = tmp_path_factory.mktemp("inputs")
    shutil.copytree(checkpoints["late"], root / "slm" / "checkpoint")
    write_json(root / "slm" / "training.json", {"max_steps": 90, "tokens": 9000, "selected_tokens": 5400})
    tokenizer = load_raw_tokenizer(checkpoints["late"])
    documents = [tokenizer.encode(document.text).ids for document in mini_world.clean_documents(40, 0, 900)]
    ids = [token for document in documents for token in [*document, 1]]
    owners = [number for number, document in enumerate(documents) for _ in [*document, 1]]
    for name in ("clean", "masked"):
        folder = root / name
        folder.mkdir()
        arrays = {"blocks": ids, "kinds": [0] * len(ids), "documents": owners}
        for part, values in arrays.items():
            array = np.array(values[: BLOCKS * BLOCK_SIZE], dtype=np.uint16).reshape(BLOCKS, BLOCK_SIZE)
            np.save(folder / f"{part}-00000.npy", array)
        meta = {"num_blocks": BLOCKS, "block_size": BLOCK_SIZE, "num_tokens": BLOCKS * BLOCK_SIZE, "num_documents": 40}
        meta |= {"tokenizer_sha256": tokenizer_sha256(checkpoints["late"]), "kinds": ["text"], "fingerprint": name}
        write_json(folder / "corpus.json", meta | {"document_masking": name == "masked"})
    return {"slm": root / "slm", "clean": root / "clean", "masked": root / "masked"}


def context_for(inputs: dict[str, Path], folder: Path, suites: list[str], limit: int | None = 3) -> StageContext:
    folder.mkdir(exist_ok=True)
    item: dict[str, Any] = {"checkpoints": ["slm"], "suites": suites, "limit": limit}
    stage = EvalStage(name="eval", kind="eval", evaluations=[item], max_model_len=256, engine="hf")  # type: ignore[list-item]
    return StageContext(None, stage, folder, inputs, 0, SilentProgress(), RunOptions(num_threads=1))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measured(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    stage_module.run(context_for(inputs, folder, [*SUITES, *TEXTS]))
    return folder


@pytest.fixture(scope="module")
def model(checkpoints: dict[str, Path]) -> Any:
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(checkpoints["late"]).eval()


def bits_of(model: Any, context: list[int], continuation: list[int]) -> float:
    """The loss of the continuation after its context, in bits, from the model's logits."""
    import torch

    with torch.no_grad():
        logits_TV = model(torch.tensor([[*context, *continuation]])).logits[0].double()
    chances_TV = logits_TV[len(context) - 1 : -1].log_softmax(dim=-1)
    return -sum(float(chances_TV[place, token]) for place, token in enumerate(continuation)) / math.log(2)


def test_a_block_costs_what_the_models_losses_say_over_the_bytes_of_its_text(
    measured: Path, inputs: dict[str, Path], model: Any, checkpoints: dict[str, Path]
) -> None:
    tokenizer = load_raw_tokenizer(checkpoints["late"])
    blocks = np.load(inputs["clean"] / "blocks-00000.npy").tolist()
    rows = read_jsonl(measured / "slm" / "bits_corpus_clean.jsonl")
    assert [row["doc_id"] for row in rows] == ["0", "2", "5"], "three of six blocks, evenly spread"
    for row in rows:
        block = blocks[int(row["doc_id"])]
        assert row["bits"] == pytest.approx(bits_of(model, block[:1], block[1:]), rel=1e-4)
        assert row["num_bytes"] == len(tokenizer.decode(block[1:]).encode())
        assert row["num_tokens"] == BLOCK_SIZE - 1
    found = read_label(measured, "slm").results.corpora["clean"]
    total, num_bytes = (sum(row[key] for row in rows) for key in ("bits", "num_bytes"))
    assert (found.bits_per_byte, found.num_bytes) == (pytest.approx(total / num_bytes), num_bytes)
    assert 0.3 < found.bits_per_byte < 8.0


def test_documents_that_training_keeps_apart_are_predicted_apart(
    measured: Path, inputs: dict[str, Path], model: Any
) -> None:
    rows = read_jsonl(measured / "slm" / "bits_corpus_masked.jsonl")
    blocks, owners = (np.load(inputs["masked"] / f"{part}-00000.npy").tolist() for part in ("blocks", "documents"))
    several = [int(row["doc_id"]) for row in rows if len(set(owners[int(row["doc_id"])])) > 1]
    assert several
    for row in rows:
        block, owner = (part[int(row["doc_id"])] for part in (blocks, owners))
        pieces = [[token for token, one in zip(block, owner, strict=True) if one == wanted] for wanted in set(owner)]
        expected = sum(bits_of(model, piece[:1], piece[1:]) for piece in pieces if len(piece) > 1)
        assert row["bits"] == pytest.approx(expected, rel=1e-4)
        assert row["num_tokens"] == BLOCK_SIZE - len(pieces)


GOLD = {
    "mini_gsm8k": lambda row: f" {row['doc']['solution']}",
    "mini_boolq": lambda row: f" {row['doc']['choices'][row['doc']['target']]}",
    "mini_humaneval": lambda row: row["doc"]["solution"],
}


@pytest.mark.parametrize("task", GOLD)
def test_a_gold_answer_costs_what_the_models_losses_say(
    task: str, measured: Path, model: Any, checkpoints: dict[str, Path]
) -> None:
    tokenizer = load_raw_tokenizer(checkpoints["late"])
    rows = read_jsonl(measured / "slm" / f"bits_gold_answers_{task}.jsonl")
    samples = {str(row["doc_id"]): row for row in read_jsonl(measured / "slm" / f"samples_{task}.jsonl")}
    assert list(samples) == [row["doc_id"] for row in rows]
    for row in rows:
        sample = samples[row["doc_id"]]
        prompt = sample["prompt"].rstrip()
        answer = sample["prompt"][len(prompt) :] + GOLD[task](sample)
        whole, context = tokenizer.encode(prompt + answer).ids, tokenizer.encode(prompt).ids
        assert row["num_bytes"] == len(answer.encode())
        assert row["truncated"] == (len(whole) > 255)
        if not row["truncated"]:
            expected = bits_of(model, whole[: len(context)], whole[len(context) :])
            assert row["bits"] == pytest.approx(expected, rel=1e-4)
    assert not all(row["truncated"] for row in rows)


def test_every_kind_of_task_has_gold_answers(measured: Path) -> None:
    results = read_label(measured, "slm").results
    assert sorted(results.gold_answers) == sorted(SUITES)
    assert all(entry.n == 3 and entry.bits_per_byte > 0 for entry in results.gold_answers.values())
    rows = read_jsonl(measured / "slm" / "bits_gold_answers_mini_svamp_tir.jsonl")
    assert all(row["num_bytes"] > 20 for row in rows), "the turn with the program"


def test_a_killed_measurement_goes_on_and_ends_with_the_same_bytes(
    measured: Path, inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suites = ["mini_gsm8k", "gold_answers:mini_gsm8k", "corpus:clean"]
    asked: list[int] = []
    real = cached_model.token_loglikelihoods

    def dying(lm: Any, pairs: Any) -> list[float]:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(len(pairs))
        return real(lm, pairs)

    monkeypatch.setattr(cached_model, "LOGLIKELIHOOD_BATCH", 1)
    monkeypatch.setattr(cached_model, "token_loglikelihoods", dying)
    with pytest.raises(KeyboardInterrupt):
        stage_module.run(context_for(inputs, tmp_path, suites))
    assert not (tmp_path / "slm" / "results.json").exists()
    asked.clear()
    stage_module.run(context_for(inputs, tmp_path, suites))
    assert asked == [1], "two of three blocks were answered before"
    for name in ("bits_corpus_clean.jsonl", "bits_gold_answers_mini_gsm8k.jsonl", "samples_mini_gsm8k.jsonl"):
        assert (tmp_path / "slm" / name).read_bytes() == (measured / "slm" / name).read_bytes()


def test_texts_are_added_to_finished_results_and_nothing_is_asked_twice(
    measured: Path, inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "eval"
    stage_module.run(context_for(inputs, folder, ["mini_gsm8k"]))
    assert read_label(folder, "slm").results.gold_answers == {}
    stage_module.run(context_for(inputs, folder, ["mini_gsm8k", "gold_answers:mini_gsm8k"]))
    expected = read_label(measured, "slm").results.gold_answers["mini_gsm8k"]
    assert read_label(folder, "slm").results.gold_answers == {"mini_gsm8k": expected}

    def no_engine(*_: Any) -> Any:
        raise AssertionError("loaded")

    monkeypatch.setattr(cached_model.CachedModel, "_load", no_engine)
    (folder / "slm" / "results.json").unlink()
    stage_module.run(context_for(inputs, folder, ["mini_gsm8k", "gold_answers:mini_gsm8k"]))
    assert list(read_label(folder, "slm").results.gold_answers) == ["mini_gsm8k"]


def test_what_was_changed_or_does_not_fit_is_named(measured: Path, inputs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(measured, tmp_path / "eval")
    path = tmp_path / "eval" / "slm" / "bits_corpus_clean.jsonl"
    path.write_text(path.read_text().replace('"bits":', '"bits":1'))
    with pytest.raises(DataError, match="bits_corpus_clean"):
        read_label(tmp_path / "eval", "slm")
    meta = read_json(inputs["clean"] / "corpus.json")
    other = tmp_path / "other"
    shutil.copytree(inputs["clean"], other)
    write_json(other / "corpus.json", meta | {"tokenizer_sha256": "0" * 64})
    with pytest.raises(CheckpointError, match="need the tokenizer that they were packed with"):
        stage_module.run(context_for(inputs | {"clean": other}, tmp_path / "eval", ["mini_gsm8k", "corpus:clean"]))


def test_the_command_measures_them_too(
    measured: Path, inputs: dict[str, Path], checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    suites = ["gold_answers:mini_gsm8k", f"corpus:{inputs['clean']}"]
    place = str(checkpoints["late"])
    options = EvalOptions([place], tmp_path, suites, limit=3, engine="hf", max_model_len=256, num_threads=1)
    printed = StringIO()
    paths = evaluate(options, Console(file=StringIO()))
    print_evaluations(paths, options, Console(file=printed, width=120))
    found, expected = (read_label(*at).results for at in ((tmp_path, "late"), (measured, "slm")))
    for ours, theirs in (
        (found.corpora["clean"], expected.corpora["clean"]),
        (found.gold_answers["mini_gsm8k"], expected.gold_answers["mini_gsm8k"]),
    ):
        assert ours.bits_per_byte == pytest.approx(theirs.bits_per_byte, rel=1e-5)
        assert ours.data_sha256 == theirs.data_sha256
        assert f"{ours.bits_per_byte:.4f}" in printed.getvalue()
    assert "clean (corpus)" in printed.getvalue()
    with pytest.raises(DataError, match="holds no packed corpus"):
        evaluate(replace(options, suites=[f"corpus:{tmp_path}"]), Console(file=StringIO()))


@pytest.mark.vllm
@pytest.mark.sweep
def test_vllm_and_transformers_give_one_number(
    checkpoints: dict[str, Path], vllm_answers: dict[str, Any], tmp_path: Path
) -> None:
    """``early`` is vLLM's first boot, ``late`` a weight swap."""
    for name in ("early", "late"):
        engine = HFEngine(EngineSettings(max_model_len=256, batch_size=64, log=tmp_path / "log", num_threads=1))
        engine.load(Checkpoint(name, checkpoints[name], name))
        ours = token_loglikelihoods(engine.lm, TOKEN_PAIRS)
        assert ours == pytest.approx(vllm_answers[f"{name} tokens"], abs=1e-3)
        assert all(value < -1.0 for value in ours)
