"""Samples of the hf engine: drawn from the model's distribution, repeatable, independent of their batch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import EngineSettings, Request
from rho1bench.evaluation.engines.hf import HFEngine, RowSampler
from rho1bench.evaluation.engines.vllm import whole_prompts
from rho1bench.evaluation.harness.lm_eval_model import engine_requests, sample_seed

PROMPT = "Question: Tom has 3 books and buys 4. How many books does Tom have?\nAnswer:"
LOGITS = torch.tensor([2.0, 0.0, 1.0, -1.0])


def shares(temperature: float, top_p: float, num_draws: int = 4000) -> list[float]:
    draws = RowSampler([(temperature, top_p, seed) for seed in range(num_draws)])
    ids_B1 = draws.choose(LOGITS.expand(num_draws, -1), range(num_draws))
    assert ids_B1.shape == (num_draws, 1)
    return [float((ids_B1 == token).float().mean()) for token in range(len(LOGITS))]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_distribution(temperature: float):
    expected = (LOGITS / temperature).softmax(-1).tolist()
    assert shares(temperature, 1.0) == pytest.approx(expected, abs=0.03)


def test_top_p_keeps_the_fewest_tokens_that_reach_it():
    one, _, two, _ = LOGITS.softmax(-1).tolist()
    assert shares(1.0, one - 0.01) == [1.0, 0.0, 0.0, 0.0]
    kept = [one / (one + two), 0.0, two / (one + two), 0.0]
    assert shares(1.0, one + 0.01) == pytest.approx(kept, abs=0.03)


def test_greedy_rows_in_a_mixed_batch_stay_greedy():
    draws = RowSampler([None, (5.0, 1.0, 3), None])
    chosen = [draws.choose(LOGITS.expand(3, -1), [0, 1, 2]).flatten().tolist() for _ in range(20)]
    assert {row[0] for row in chosen} == {row[2] for row in chosen} == {0}
    assert len({row[1] for row in chosen}) > 2


def test_samples_can_be_repeated_in_any_batch(checkpoints: dict[str, Path], tmp_path: Path):
    engine = HFEngine(EngineSettings(max_model_len=128, batch_size=8, log=tmp_path / "log"))
    engine.load(Checkpoint("late", checkpoints["late"], "late"))

    def texts(requests: list[Request]) -> list[str]:
        found = dict(engine.stream(requests))
        return [found[place].text for place in range(len(requests))]

    asked = [Request(PROMPT, ("\n\n",), 12, temperature=0.8, top_p=0.95, seed=seed) for seed in range(6)]
    greedy = Request(PROMPT, ("\n\n",), 12)
    first = texts([*asked, greedy])
    assert len(set(first)) > 3
    assert texts([greedy, *reversed(asked)]) == list(reversed(first))
    cold = Request(PROMPT, ("\n\n",), 12, temperature=1e-4, seed=5)
    assert texts([cold]) == first[-1:]


def test_each_sample_of_a_document_gets_its_own_seed():
    options: dict[str, Any] = {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "until": ["x"]}
    instance = SimpleNamespace(task_name="t", doc_id=0, idx=0, args=("prompt", options))
    other = SimpleNamespace(task_name="t", doc_id=1, idx=0, args=("prompt 2", {"until": "x"}))
    requests = engine_requests([instance, instance, other, instance])
    assert [r.seed for r in requests] == [
        sample_seed("prompt", 0),
        sample_seed("prompt", 1),
        0,
        sample_seed("prompt", 2),
    ]
    assert len({r.sampling for r in requests}) == 4
    assert requests[2].sampling is None
    assert requests[0].sampling == (0.8, 0.95, sample_seed("prompt", 0))


@pytest.mark.vllm
def test_vllm_draws_repeatable_samples(vllm_answers: dict[str, Any]):
    first, again = vllm_answers["samples"], vllm_answers["samples again"]
    assert len(set(first)) > 3
    assert again == list(reversed(first))


@pytest.mark.vllm
def test_vllm_draws_more_samples_than_one_step_holds(vllm_answers: dict[str, Any]):
    texts, lengths = zip(*vllm_answers["many samples"], strict=True)
    assert sum(lengths) > 4096
    assert len(set(texts)) > 3
    assert texts[-1] == vllm_answers["last of many"]


@given(st.lists(st.integers(0, 50)), st.integers(1, 60))
def test_batches_hold_whole_prompts(lengths: list[int], budget: int):
    batches = whole_prompts(lengths, budget)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    assert all(batches)
    for batch in batches:
        counted = [lengths[place] for place in batch]
        assert not any(counted) or (all(counted) and (len(batch) == 1 or sum(counted) + len(batch) <= budget))
