"""Scoring by a server's prompt log-probabilities: what the store then holds, and servers that stop or cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scoring_world import BLOCKS, SIZE, World
from small_server import Reply, small_server

from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.errors import EngineError, ScoreStoreError
from rho1bench.selection.score_store import TokenScores
from rho1bench.selection.stage import score
from rho1bench.system import openai_client
from rho1bench.system.files import read_json, sha256_file
from rho1bench.system.progress import SilentProgress


def logprobs(body: dict[str, Any]) -> Reply:
    """Log-probabilities that tell their token: minus its number in thousandths."""
    values = [None, *(-token / 1000 for token in body["prompt"][1:])]
    choice = {"index": 0, "text": "", "finish_reason": "length"}
    choice["logprobs"] = {"token_logprobs": values, "tokens": [""] * len(values), "top_logprobs": None}
    return 200, {"id": "1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}


def test_scores_from_a_server_have_losses_only(world: World, tmp_path: Path) -> None:
    with small_server(logprobs) as (base_url, asked):
        score(world.served(tmp_path, base_url), SilentProgress())
    store, corpus = TokenScores(tmp_path), PackedCorpus(world.corpus)
    assert len(asked) == BLOCKS
    assert {(body["model"], body["max_tokens"], body["echo"], body["logprobs"]) for body in asked} == {
        ("model", 0, True, 0)
    }
    for index in range(BLOCKS):
        np.testing.assert_allclose(store.block(index)[1:, 0], corpus.block(index)[1:] / 1000, rtol=1e-3)
        assert np.isnan(store.block(index)[:, 1]).all()
    assert (store.meta["reference"], store.meta["reference_sha256"]) == (f"model at {base_url}", None)
    with pytest.raises(ScoreStoreError, match=r"model at http.*no entropies.*'reference_entropy'"):
        store.check_entropies()
    TokenScores(world.store).check_entropies()


def test_a_server_that_stops_costs_no_finished_shard(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_client, "NUM_RETRIES", 0)
    monkeypatch.setattr(openai_client, "CONCURRENCY", 2)
    asked: list[Any] = []

    def failing(body: dict[str, Any]) -> Reply:
        asked.append(body["prompt"])
        return (500, {}) if 10 <= len(asked) < 13 else logprobs(body)

    with small_server(failing) as (base_url, _):
        with pytest.raises(EngineError, match="same command"):
            score(world.served(tmp_path, base_url), SilentProgress())
        kept = [path.name for path in tmp_path.glob("scores-*.npy")]
        assert len(kept) == 2
        assert not (tmp_path / "scores.json").exists()
        failing_calls = len(asked)
        asked.extend([None] * 3)
        score(world.served(tmp_path, base_url), SilentProgress())
    assert len(asked) - failing_calls - 3 == BLOCKS - 2 * 4
    finished = read_json(tmp_path / "scores.json")
    cost = finished.pop("cost")
    shards = {path.name: sha256_file(path) for path in tmp_path.glob("scores-*.npy")}
    assert finished == {**read_json(tmp_path / "scoring.json"), "sha256": shards}
    assert cost["flops"] is None  # of a model that nobody here knows
    assert cost["seconds"] > 0
    with pytest.raises(ScoreStoreError, match="reference_sha256"):
        score(world.options(tmp_path), SilentProgress())


def test_servers_that_cannot_score_get_a_clear_word(world: World, tmp_path: Path) -> None:
    silent = {"index": 0, "text": "", "finish_reason": "length", "logprobs": None}
    body = {"id": "1", "object": "text_completion", "created": 1, "model": "m", "choices": [silent]}
    with small_server(lambda _: (200, body)) as (base_url, _):
        with pytest.raises(EngineError, match="gives 0 log-probabilities for a prompt of 16 tokens"):
            score(world.served(tmp_path, base_url), SilentProgress())
        with pytest.raises(EngineError, match="does not serve 'other'; it serves 'model'"):
            score(replace(world.served(tmp_path, base_url), model="other"), SilentProgress())
    models = {"object": "list", "data": [{"id": "model", "object": "model", "max_model_len": SIZE}]}
    with small_server(logprobs, models) as (base_url, _), pytest.raises(EngineError, match="--max-model-len 17"):
        score(world.served(tmp_path, base_url), SilentProgress())
