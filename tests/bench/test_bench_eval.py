"""The evaluation bench: two command lines that ask for the same, and what becomes of one that fails."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rho1bench.bench import evaluate
from rho1bench.bench.evaluate import EvalBench, EvalWork
from rho1bench.errors import CheckpointError, EngineError

WORK = EvalWork(Path("model"), "mini_gsm8k", limit=3, batch_size=4, max_model_len=256)


def test_both_ways_are_asked_for_the_same() -> None:
    plain, ours = evaluate.plain_command(WORK, Path("out")), evaluate.our_command(WORK, Path("out"))
    for command in (plain, ours):
        assert command[0] == sys.executable
        assert command[command.index("--tasks") + 1] == "mini_gsm8k"
        assert command[command.index("--limit") + 1] == "3"
    assert plain[plain.index("--model_args") + 1] == "pretrained=model,dtype=float32,max_length=256"
    assert ours[ours.index("--max-model-len") + 1] == "256"
    gpu = evaluate.plain_command(EvalWork(Path("model"), engine="vllm"), Path("out"))
    assert gpu[gpu.index("--model") + 1] == "vllm"
    assert "max_model_len=512" in gpu[gpu.index("--model_args") + 1]


def test_one_that_fails_is_named_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; print('no such model'); sys.exit(3)"
    monkeypatch.setattr(evaluate, "plain_command", lambda work, output: [sys.executable, "-c", script])
    with pytest.raises(EngineError, match="plain lm-eval ended with code 3:\nno such model"):
        evaluate.run(replace(WORK, checkpoint=tmp_path))
    with pytest.raises(CheckpointError, match="model: no such folder"):
        evaluate.run(WORK)


def test_the_report_has_both_times_and_scores() -> None:
    versions = {"torch": "2"}
    result = EvalBench("cpu", versions, None, "model", "mini_gsm8k", "hf", 3, 4, 30.0, 20.0, 0.25, 0.5, 1.5)
    text = evaluate.report(result)
    assert "plain lm-eval        30.0 s   score 0.2500" in text
    assert "ratio                1.50" in text
