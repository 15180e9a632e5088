"""``rho1bench bench train --device``: shapes x ways x modes, as on the GPU that the recipes are made for.

``cuda``: the shapes of TinyLlama-1.1B (vocabulary of 32,000) and of a 0.5B model with a vocabulary of 151,936, blocks
of 2,048. No measurement begins after ``minutes``, and what is missing then is named. ``cpu``: two tiny shapes, to see
that everything runs; its figures mean nothing. Each shape has a process of its own (``train_cells``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rho1bench.bench.train_cells import HEAD, MODES, Cell, Job
from rho1bench.bench.train_variants import Workload
from rho1bench.errors import TrainingError
from rho1bench.system.provenance import device as device_name
from rho1bench.system.provenance import git_state, versions

PACKAGES = ("rho1bench", "torch", "triton", "transformers", "accelerate")
SHAPES: Mapping[str, Mapping[str, Workload]] = {
    "cuda": {
        "1.1B, vocabulary 32,000": Workload(2048, 5632, 22, 32, 4, 32_000, 2048, 8, "cuda"),
        "0.5B, vocabulary 151,936": Workload(896, 4864, 24, 14, 2, 151_936, 2048, 8, "cuda", tie_word_embeddings=True),
    },
    "cpu": {
        "tiny, vocabulary 500": Workload(32, 64, 2, 2, 2, 500, 16, 2, "cpu"),
        "tiny, vocabulary 2,000": Workload(32, 64, 2, 2, 2, 2000, 16, 2, "cpu", tie_word_embeddings=True),
    },
}
WORDS = {
    "clm": "CLM (loss of transformers)",
    "clm_fused": "CLM, head and loss compiled",
    "naive": "naive SLM",
    "ours_chunked": "rho1bench at 60%, logits in chunks",
    "ours": "rho1bench at 60%, stored scores",
}


@dataclass
class ShapeResult:
    """The cells of one shape; ``missing`` says what is not among them, and why."""

    work: dict[str, Any]
    parameters: int
    cells: list[Cell] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def ratio(self, mode: str, way: str, over: str) -> float | None:
        """Return the speed of a way over another's; None where either is missing."""
        rates = {cell.way: cell.tokens_per_second for cell in self.cells if cell.mode == mode}
        return rates[way] / rates[over] if way in rates and over in rates else None


@dataclass(frozen=True)
class MatrixBench:
    """What ``bench train --device`` measured, and on what."""

    device: str
    driver: str | None
    versions: dict[str, str]
    git: dict[str, str | bool] | None
    precision: str
    shapes: dict[str, ShapeResult]
    ratios: dict[str, dict[str, float | None]]
    """By shape: ``MODE: ours / WAY``, speeds."""


def default_device() -> str | None:
    """Return what is measured where nobody says: ``cuda`` where there is a GPU; None: the bench of ``train``."""
    import torch

    return "cuda" if torch.cuda.is_available() else None


def run(
    device: str, minutes: float = 5.0, modes: Sequence[str] = MODES, rounds: int = 2, steps: int = 4
) -> MatrixBench:
    """Measure every cell; raises TrainingError where there is no such device or a process dies."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("bench train: torch sees no GPU here; `--device cpu` tries the same at a tiny size.")
    shapes = SHAPES[device]
    each = 60.0 * minutes / len(shapes)
    found = {}
    for name, work in shapes.items():
        found[name] = result = ShapeResult(asdict(work), work.shape.num_parameters)
        for cell in _cells(name, Job(work, modes, rounds, steps, each)):
            (result.missing if isinstance(cell, str) else result.cells).append(cell)  # type: ignore[arg-type]
    ratios = {
        name: {
            f"{mode}: ours / {over}": result.ratio(mode, "ours", over)
            for mode in modes
            for over in ("clm", "clm_fused", "naive")
        }
        for name, result in found.items()
    }
    cuda = torch.version.cuda if device == "cuda" else None
    words = "bf16 autocast over float32 weights, fused AdamW on a GPU"
    return MatrixBench(device_name(), cuda, versions(PACKAGES), git_state(), words, found, ratios)


def _cells(name: str, job: Job) -> Iterator[Cell | str]:
    command = [sys.executable, "-m", "rho1bench.bench.train_cells", json.dumps(asdict(job))]
    environment = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", **os.environ}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2], env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            found = json.loads(line)
            yield found if isinstance(found, str) else Cell(**found)
    if process.returncode:
        raise TrainingError(
            f"bench train: the process of {name!r} ended with code {process.returncode}; its own message stands above."
        )


def report(result: MatrixBench) -> str:
    """Return the measurement as text."""
    lines = [f"{result.device}, torch {result.versions.get('torch')}; {result.precision}"]
    for name, found in result.shapes.items():
        work = found.work
        lines.append(f"\n{name}: {found.parameters / 1e6:,.1f}M weights, {work['batch_size']} x {work['block_size']}")
        lines.append(f"{'':58}{'tokens/s':>10}{'ms':>9}{'peak GiB':>10}{'MFU':>7}")
        for cell in found.cells:
            peak = "" if cell.peak_bytes is None else f"{cell.peak_bytes / 2**30:.1f}"
            share = "" if cell.mfu is None else f"{cell.mfu:.3f}"
            rate = "" if cell.mode == HEAD else f"{cell.tokens_per_second:.0f}"
            words = f"{cell.mode:21}{WORDS[cell.way]}"
            lines.append(f"{words:58}{rate:>10}{cell.seconds * 1e3:9.2f}{peak:>10}{share:>7}")
        lines += found.missing
        lines += [f"{words:58}{value:10.3f}" for words, value in result.ratios[name].items() if value is not None]
    return "\n".join(lines)
