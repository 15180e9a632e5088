"""``rho1bench bench train``: SLM at 60% with stored scores beside SLM written down naively, and beside plain CLM.

Each way (``train_ways``) trains in a process of its own, so that its peak memory is its own; they take turns, each the
first one in every third round, and the ratios are those of the medians. The memory is that of further processes, in
which malloc gives every freed tensor back at once: else the peak holds what it keeps for later, which differs from run
to run by hundreds of MiB. On a GPU ``bench train`` measures more, see ``train_matrix``.
``python -m rho1bench.bench.train`` runs the same from a checkout with nothing but torch, transformers and pydantic.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rho1bench.bench.train_variants import WAYS, Workload
from rho1bench.errors import TrainingError
from rho1bench.system.files import write_json

GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
"""Makes glibc's malloc map each tensor of a MiB or more by itself, and unmap it when it is freed."""
WORDS = {
    "naive": "naive SLM (reference forward, whole logits)",
    "clm": "CLM (the loss of transformers)",
    "ours": "rho1bench at 60%, stored scores",
}


@dataclass(frozen=True)
class WayResult:
    """Medians of one way; memory in bytes, ``extra`` is what the peak has above the state of training."""

    tokens_per_second: float
    peak: int
    state: int
    extra: int


@dataclass(frozen=True)
class TrainBench:
    """Ratios: speeds of ours over the other way's; ``extra_of_naive`` is ours over naive, the less the better."""

    device: str
    torch: str
    workload: dict[str, Any]
    body_parameters: int
    rounds: int
    ways: dict[str, WayResult]
    speed_over_naive: float
    speed_over_clm: float
    extra_of_naive: float


class Worker:
    """A process that trains one way when it is told to."""

    def __init__(self, way: str, work: Workload, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "rho1bench.bench.train_variants", way, json.dumps(asdict(work))]
        self.way = way
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, **environment},
        )

    def ask(self, line: str) -> Any:
        """Send a line and return the answer; raises TrainingError if the process has died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self._process.stdout.readline()
        if not answer:
            raise TrainingError(
                f"bench train: the process of {WORDS[self.way]!r} ended with code {self._process.wait()}; its own "
                "message stands above. If memory ran out, lower the batch size (--batch-size)."
            )
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def workers(ways: tuple[str, ...], work: Workload, environment: dict[str, str] | None = None) -> Iterator[list[Worker]]:
    """Give a process for each way, warmed up, and end them all."""
    started: list[Worker] = []
    try:
        for way in ways:
            started.append(Worker(way, work, environment or {}))
        for worker in started:
            worker.ask("steps 1")
        yield started
    finally:
        for worker in started:
            worker.close()


def default_workload() -> Workload:
    """Return a small model with TinyLlama's vocabulary."""
    import torch

    return Workload(threads=torch.get_num_threads())


def run(work: Workload | None = None, rounds: int = 7) -> TrainBench:
    """Measure the three ways in ``rounds`` rounds of one optimizer step."""
    import torch

    work = work or default_workload()
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    memory: dict[str, dict[str, int]] = {}
    with workers(WAYS, work) as ready:
        for number in range(rounds):
            for worker in ready[number % 3 :] + ready[: number % 3]:
                seconds[worker.way].append(worker.ask("steps 1"))
    for way in WAYS:
        with workers((way,), work, GIVE_BACK) as (worker,):
            memory[way] = worker.ask("end")
    tokens = work.batch_size * work.block_size
    ways = {
        way: WayResult(
            tokens / statistics.median(seconds[way]), found["peak"], found["state"], found["peak"] - found["state"]
        )
        for way, found in memory.items()
    }
    speed = {way: found.tokens_per_second for way, found in ways.items()}
    return TrainBench(
        f"CPU, {work.threads} threads",
        torch.__version__,
        asdict(work),
        work.shape.body_parameters,
        rounds,
        ways,
        speed["ours"] / speed["naive"],
        speed["ours"] / speed["clm"],
        ways["ours"].extra / ways["naive"].extra,
    )


def report(result: TrainBench) -> str:
    """Return the measurement as text."""
    work, mib = result.workload, 2**20
    lines = [
        f"{result.device}, torch {result.torch}; {result.body_parameters / 1e6:.1f}M parameters in the body, vocabulary"
        f" {work['vocab_size']}, {work['batch_size']} x {work['block_size']} tokens a step, "
        f"{result.rounds} rounds",
        f"{'':46}{'tokens/s':>10}{'peak MiB':>10}{'state MiB':>11}{'extra MiB':>11}",
    ]
    for way, found in result.ways.items():
        sizes = f"{found.peak / mib:10.0f}{found.state / mib:11.0f}{found.extra / mib:11.0f}"
        lines.append(f"{WORDS[way]:46}{found.tokens_per_second:10.0f}{sizes}")
    return "\n".join(
        (
            *lines,
            "peak: highest memory of the process, less what it had before the model; state: weights, gradients and",
            "optimizer; extra = peak - state: activations, logits, and the reference model of the naive way",
            "(in processes whose malloc gives every freed tensor back at once)",
            f"ours / naive: speed {result.speed_over_naive:.2f}, extra memory {result.extra_of_naive:.2f}",
            f"ours / CLM:   speed {result.speed_over_clm:.2f}",
        )
    )


def measure(rounds: int, batch_size: int | None, threads: int | None) -> TrainBench:
    """Measure the default workload, with another batch or other threads where these are given."""
    work = default_workload()
    return run(replace(work, batch_size=batch_size or work.batch_size, threads=threads or work.threads), rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure selective training beside a naive version and CLM.")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    measured = measure(options.rounds, options.batch_size, options.threads)
    if options.json is not None:
        write_json(options.json, asdict(measured))
    print(report(measured))
