"""``rho1bench bench stages``: what training stages take besides their steps, and which attention kernels they run.

A recipe goes through ``rho1bench run`` as any other does: a reference from fresh weights, its scores, CLM and SLM that
continue it; bf16, layers compiled. ``cuda``: the shape of TinyLlama-1.1B, blocks of 2,048; ``cpu``: a tiny one, to see
that everything runs. The text is random words, which cost what any text costs. Afterwards a few forward and backward
passes of the trained model are profiled in a process of their own (``attention``).
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rho1bench.bench.attention import AttentionProfile
from rho1bench.bench.train_matrix import PACKAGES, default_device
from rho1bench.errors import TrainingError
from rho1bench.sizing.shapes import KNOWN_MODELS, ModelShape
from rho1bench.system.files import read_json, write_json
from rho1bench.system.provenance import git_state, versions

Float8 = Literal["tensorwise", "rowwise"]
TRAINING = ("reference", "clm", "slm")
PROFILED = "slm"
TINYLLAMA = "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T"


@dataclass(frozen=True)
class StageSize:
    """A model's shape, whose whole context a block fills, and how much it reads, in blocks."""

    shape: ModelShape
    num_blocks: int
    batch_size: int
    micro_batch_size: int


SIZES = {
    "cuda": StageSize(KNOWN_MODELS[TINYLLAMA], num_blocks=160, batch_size=16, micro_batch_size=8),
    "cpu": StageSize(ModelShape(600, 32, 64, 2, 2, 2, 64), num_blocks=16, batch_size=4, micro_batch_size=2),
}


@dataclass(frozen=True)
class StageSeconds:
    """One training stage: ``wall`` from the runner's start of it to its end, the rest as ``training.json`` has them.

    ``steady`` is what all steps would take at the speed of those after the first, which compiles.
    """

    wall: float
    start: float
    first_step: float
    steps: float
    end: float
    steady: float
    tokens_per_second: float


@dataclass(frozen=True)
class StagesBench:
    """What was measured, and on what; ``run_seconds`` are those of the whole command, text and tokenizer included."""

    device: str
    versions: dict[str, str]
    git: dict[str, str | bool] | None
    parameters: int
    max_steps: int
    float8: Float8 | None
    tokens_a_step: int
    stages: dict[str, StageSeconds]
    score_seconds: float
    run_seconds: float
    attention: AttentionProfile


def recipe_of(size: StageSize, max_steps: int, text: Path, float8: Float8 | None = None) -> dict[str, Any]:
    """Return the recipe that is run, as YAML would hold it; ``float8`` is a setting of its training stages."""
    source = [{"type": "local", "path": str(text)}]
    training = {
        "kind": "pretrain",
        "corpus": "text",
        "optimizer": {"learning_rate": 1e-4},
        "batch_size": size.batch_size,
        "micro_batch_size": size.micro_batch_size,
        "max_steps": max_steps,
        "save_steps": max_steps,
        "precision": "bf16",
        "float8": float8,
        "compile": True,
        "fused": True,
    }
    selection = {"score": "excess_loss", "ratio": 0.6, "scope": "micro_batch", "token_scores": "scores"}
    model = {name: value for name, value in asdict(size.shape).items() if name != "vocab_size"}
    blocks = {"block_size": size.shape.max_position_embeddings, "num_blocks": size.num_blocks}
    stages = [
        {"name": "tokenizer", "kind": "tokenizer", "vocab_size": size.shape.vocab_size, "sources": source},
        {"name": "text", "kind": "corpus", "tokenizer": "tokenizer", "sources": source, **blocks},
        {"name": "reference", "init": model, **training},
        {
            "name": "scores",
            "kind": "score",
            "reference": "reference",
            "corpus": "text",
            "precision": "bf16",
            "batch_size": size.micro_batch_size,
        },
        {"name": "clm", "init": "reference", **training},
        {"name": "slm", "init": "reference", "selection": selection, **training},
    ]
    return {"name": "bench_stages", "description": "What stages take besides their steps", "seed": 0, "stages": stages}


def write_text(path: Path, size: StageSize) -> None:
    """Write random words, at least as many as there are tokens, so common that the vocabulary is filled."""
    draw = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(draw.choice(letters, length)) for length in draw.integers(3, 10, 2 * size.shape.vocab_size)]
    num = size.num_blocks * size.shape.max_position_embeddings
    ranks = np.minimum(draw.zipf(1.2, num) - 1, len(words) - 1)
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as file:
        for rows in np.array_split(ranks, max(1, num // 500)):
            file.write(json.dumps({"text": " ".join(words[rank] for rank in rows)}) + "\n")


def run(
    device: str | None = None, max_steps: int = 40, folder: Path | None = None, float8: Float8 | None = None
) -> StagesBench:
    """Carry the recipe out, in ``folder`` (new or empty; default: a temporary one), and profile.

    Raises TrainingError where there is no such device, for a folder that holds something, or if one of both fails.
    """
    device = _device(device)
    if folder is not None and folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise TrainingError(f"bench stages: {folder} is not empty; expected a new folder: every stage is timed anew.")
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place.mkdir(parents=True, exist_ok=True)
        return _measured(place, device, max_steps, float8)


def _device(wanted: str | None) -> str:
    found = default_device()
    if wanted == "cuda" and found is None:
        raise TrainingError("bench stages: torch sees no GPU here; `--device cpu` tries the same at a tiny size.")
    return wanted or found or "cpu"


def _measured(place: Path, device: str, max_steps: int, float8: Float8 | None) -> StagesBench:
    size, text, recipe, output = SIZES[device], place / "text.jsonl.gz", place / "bench_stages.yaml", place / "run"
    write_text(text, size)
    write_json(recipe, recipe_of(size, max_steps, text, float8))  # every JSON file is YAML
    began = time.monotonic()
    _call("the run", ["rho1bench", "run", str(recipe), "--output", str(output)], device)
    run_seconds = time.monotonic() - began
    _call("the profile", ["rho1bench.bench.attention", str(output), PROFILED, str(place / "attention.json")], device)
    attention = AttentionProfile(**read_json(place / "attention.json"))
    tokens = size.batch_size * size.shape.max_position_embeddings
    return StagesBench(
        attention.device,
        versions((*PACKAGES, *(("torchao",) if float8 else ()))),
        git_state(),
        int(read_json(output / "stages" / PROFILED / "training.json")["num_parameters"]),
        max_steps,
        float8,
        tokens,
        {name: _seconds(output / "stages" / name, max_steps, tokens) for name in TRAINING},
        float(read_json(output / "stages" / "scores" / "manifest.json")["seconds"]),
        round(run_seconds, 3),
        attention,
    )


def _call(name: str, module: Sequence[str], device: str) -> None:
    """Run ``python -m MODULE ARGUMENTS``; what it tells goes to standard error, which leaves the result alone."""
    environment = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", **os.environ}
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    done = subprocess.run([sys.executable, "-m", *module], stdout=sys.stderr, env=environment)
    if done.returncode:
        raise TrainingError(
            f"bench stages: {name} ended with code {done.returncode}; its own message stands above. If a GPU's memory "
            "ran out, another program holds some of it."
        )


def _seconds(folder: Path, max_steps: int, tokens_a_step: int) -> StageSeconds:
    parts = read_json(folder / "training.json")["seconds"]
    steady = (parts["steps"] - parts["first_step"]) * max_steps / max(max_steps - 1, 1)
    return StageSeconds(
        wall=float(read_json(folder / "manifest.json")["seconds"]),
        **parts,
        steady=round(steady, 3),
        tokens_per_second=max_steps * tokens_a_step / steady if steady > 0 else 0.0,
    )


def report(result: StagesBench) -> str:
    """Return the measurement as text."""
    packages = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    columns = ("wall", "start", "first step", "steps", "end", "steady", "wall/steady")
    lines = [
        f"{result.device}; {packages}",
        f"{result.parameters / 1e6:,.1f}M weights, {result.max_steps} steps of {result.tokens_a_step} tokens, bf16"
        f"{f' with float8 ({result.float8})' if result.float8 else ''}, layers compiled; seconds",
        f"{'':12}" + "".join(f"{word:>12}" for word in columns) + f"{'tokens/s':>12}",
    ]
    for name, one in result.stages.items():
        values = (one.wall, one.start, one.first_step, one.steps, one.end, one.steady)
        ratio = f"{one.wall / one.steady:12.2f}" if one.steady > 0 else f"{'':12}"
        row = "".join(f"{value:12.1f}" for value in values)
        lines.append(f"{name:12}{row}{ratio}{one.tokens_per_second:12.0f}")
    lines.append(f"{'scores':12}{result.score_seconds:12.1f}")
    lines.append(
        "first step is a part of steps; steady: all steps at the speed of those after the first, which compiles"
    )
    lines.append(f"the whole run: {result.run_seconds:.1f} s")
    return "\n".join([*lines, result.attention.text()])
