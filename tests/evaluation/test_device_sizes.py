"""What a GPU has in work at once, by its memory, and the order of prompts that share a prefix."""

from __future__ import annotations

from pathlib import Path

import pytest

from rho1bench.evaluation.engines.device_sizes import EngineSizes, by_prefix, engine_sizes

GIB = 2**30
SMOLLM2_135M = {"weights": 270 * 2**20, "kv_token": 2 * 30 * 3 * 64 * 2}
LLAMA_7B = {"weights": 13 * GIB, "kv_token": 2 * 32 * 32 * 128 * 2}


@pytest.mark.parametrize(
    ("memory", "model", "sizes"),
    [
        (80 * GIB, SMOLLM2_135M, EngineSizes(1024, 16384)),
        (141 * GIB, SMOLLM2_135M, EngineSizes(1024, 16384)),
        (80 * GIB, LLAMA_7B, EngineSizes(118, 16384)),  # (72 - 13) GiB of 512 MiB for 1,024 tokens
        (24 * GIB, LLAMA_7B, EngineSizes(64, 4096)),
        (24 * GIB, SMOLLM2_135M, EngineSizes(971, 4096)),  # (21.6 GiB - 270 MiB) of 22.5 MiB
        (4 * GIB, LLAMA_7B, EngineSizes(64, 2048)),  # vLLM itself says that it does not fit
    ],
)
def test_sizes_follow_memory_and_model(memory: int, model: dict[str, int], sizes: EngineSizes):
    assert engine_sizes(memory, max_model_len=2048, **model) == sizes


def test_what_is_asked_for_holds_and_a_step_takes_the_longest_sequence():
    assert engine_sizes(80 * GIB, max_model_len=4096, batch_size=7, **LLAMA_7B) == EngineSizes(7, 16384)
    assert engine_sizes(8 * GIB, max_model_len=32768, **SMOLLM2_135M).max_num_batched_tokens == 32768
    short = engine_sizes(24 * GIB, max_model_len=256, **LLAMA_7B)
    assert short.max_num_seqs == int(24 * GIB * 0.9 - LLAMA_7B["weights"]) // (256 * LLAMA_7B["kv_token"])


def test_prompts_of_one_prefix_follow_each_other_whatever_came_between():
    shots = {"a": [1, 5, 5, 5], "b": [1, 5, 6], "c": [2]}
    asked = [("a", 9), ("b", 3), ("a", 2), ("c", 1), ("b", 1), ("a", 2), ("a", 7)]
    order = by_prefix([[*shots[name], number] for name, number in asked])
    assert sorted(order) == list(range(len(asked)))
    assert [asked[place][0] for place in order] == ["a"] * 4 + ["b"] * 2 + ["c"]
    assert order[:2] == [2, 5]  # samples of one prompt stay in their order


def test_a_cpu_has_what_it_had(checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    """Records of the CPU engine name these; the memory of its KV cache goes by them."""
    pytest.importorskip("vllm", reason="no vLLM here")
    from rho1bench.evaluation.engines import EngineSettings, vllm, vllm_internals

    settings = EngineSettings(max_model_len=256, batch_size=None, log=Path("log"))
    monkeypatch.setattr(vllm_internals, "gpu_memory", lambda: None)
    assert vllm.scheduler_sizes(checkpoints["late"], settings, "float32") == EngineSizes(256, 4096)
    monkeypatch.setattr(vllm_internals, "gpu_memory", lambda: 24 * GIB)
    assert vllm.scheduler_sizes(checkpoints["late"], settings, "auto") == EngineSizes(1024, 4096)
