"""One model shape of ``rho1bench bench train --device``: every way to train it, eager and compiled, in one process.

A cell is a way and a mode. Ways: the loss of transformers (``clm``); the same over head and loss in one compiled
function (``clm_fused``); naive SLM, whose reference runs in every step; this package's SLM at 60% with stored scores
(``ours``). Compiled are the layers, one by one, as the recipes' ``compile: true`` does; bf16 autocast over float32
weights. The head and the loss are measured alone besides. All ways share one model and optimizer and take turns; a peak
of memory is that of a way's own steps, with the naive way's reference counted for the naive way only.
Prints a line of JSON a cell, and ends early, with a line that says so, when its time is up.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rho1bench.bench.train_variants import RATIO, Loss, Workload, clm_loss, fresh_model, naive_loss, our_loss
from rho1bench.modeling.build import layers
from rho1bench.sizing.flops import mfu, peak_flops

MODES = ("eager", "compiled")
WAYS = ("clm", "clm_fused", "naive", "ours")
HEAD = "head and loss alone"
KEPT_ON_CPU = 2**30
"""Bytes of logits that ours keeps where the bench is tried on a CPU: the way of accelerators is what it measures."""


@dataclass(frozen=True)
class Job:
    """What a process measures."""

    work: Workload
    modes: Sequence[str] = MODES
    rounds: int = 2
    steps: int = 4
    seconds: float = 150.0
    """When they are over, no further cell begins."""


@dataclass(frozen=True)
class Cell:
    """One measurement; ``seconds`` is the median of the rounds for one step (micro-batch, backward, optimizer)."""

    mode: str
    way: str
    seconds: float
    tokens_per_second: float
    peak_bytes: int | None
    mfu: float | None
    loss: float


class Measurement:
    """A model, its reference, AdamW, and the ways to make a loss."""

    def __init__(self, work: Workload) -> None:
        self.work, self.is_cuda = work, work.device == "cuda"
        torch.manual_seed(0)
        torch.set_num_threads(work.threads)
        self.reference = fresh_model(work.shape, work.device).eval().requires_grad_(False)
        self.model = fresh_model(work.shape, work.device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, fused=self.is_cuda or None)
        kept = None if self.is_cuda else KEPT_ON_CPU
        self.losses: dict[str, Loss] = {
            "clm": clm_loss,
            "clm_fused": _fused_clm(torch.compile(_head_loss)),
            "naive": naive_loss(self.reference),
            "ours": our_loss(self.model, kept),
        }
        self._reference_bytes = sum(weight.numel() * weight.element_size() for weight in self.reference.parameters())

    def compile(self) -> None:
        """Compile the layers of both models."""
        for model in (self.model, self.reference):
            for layer in layers(model):
                layer.compile()

    def step(self, way: str) -> Tensor:
        """Train on one batch of random blocks; return its loss."""
        work = self.work
        ids_BT = torch.randint(work.vocab_size, (work.batch_size, work.block_size), device=work.device)
        with torch.autocast(work.device, torch.bfloat16):
            loss = self.losses[way](self.model, ids_BT)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def seconds(self, function: Callable[[], Tensor], steps: int) -> tuple[float, Tensor]:
        """Return how long one of ``steps`` calls takes, and what the last one returned."""
        self.wait()
        began = time.perf_counter()
        for _ in range(steps):
            found = function()
        self.wait()
        return (time.perf_counter() - began) / steps, found

    def wait(self) -> None:
        """Return when the device has done all that it was told."""
        if self.is_cuda:
            torch.cuda.synchronize()

    def forget_peak(self) -> None:
        """Begin a measurement of memory."""
        if self.is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak(self, way: str) -> int | None:
        """Return the most bytes that were in use since; None on a CPU, whose processes share one peak."""
        if not self.is_cuda:
            return None
        return int(torch.cuda.max_memory_allocated()) - (0 if way == "naive" else self._reference_bytes)

    def cell(self, mode: str, way: str, seconds: Sequence[float], peak: int | None, loss: float) -> Cell:
        """Return the figures of a way."""
        work, median = self.work, statistics.median(seconds)
        rate, peak_rate = work.batch_size * work.block_size / median, None
        if self.is_cuda:
            peak_rate = peak_flops(torch.cuda.get_device_name(), "bf16")
        share = None if peak_rate is None else mfu(rate, work.shape, work.block_size, peak_rate)
        return Cell(mode, way, median, rate, peak, None if mode == HEAD else share, loss)


def cells(job: Job) -> Iterator[Cell | str]:
    """Yield each cell as it is measured; in place of one that failed or came too late, a word about it."""
    began = time.monotonic()
    measured = Measurement(job.work)
    for mode in (HEAD, *job.modes):
        if mode == "compiled":
            measured.compile()
        run = _head_ways(measured) if mode == HEAD else {way: _step_of(measured, way) for way in WAYS}
        yield from _mode(measured, job, mode, run, began)


def _step_of(measured: Measurement, way: str) -> Callable[[], Tensor]:
    return lambda: measured.step(way)


def _mode(
    measured: Measurement, job: Job, mode: str, run: dict[str, Callable[[], Tensor]], began: float
) -> Iterator[Cell | str]:
    """Yield the cells of one mode: each way is warmed up, then they take turns."""
    seconds: dict[str, list[float]] = {}
    peaks: dict[str, int | None] = {}
    last: dict[str, float] = {}
    for way, function in run.items():
        if time.monotonic() - began > job.seconds:
            yield f"{mode}, {way}: not measured, the time was up"
            continue
        try:
            measured.seconds(function, 2)
            measured.forget_peak()
            taken, loss = measured.seconds(function, job.steps)
        except torch.OutOfMemoryError:
            measured.optimizer.zero_grad(set_to_none=True)
            measured.forget_peak()
            yield f"{mode}, {way}: out of memory"
            continue
        seconds[way], peaks[way], last[way] = [taken], measured.peak(way), float(loss)
    for _ in range(job.rounds - 1):
        for way in reversed(seconds):
            seconds[way].append(measured.seconds(run[way], job.steps)[0])
    for way, taken_of in seconds.items():
        yield measured.cell(mode, way, taken_of, peaks[way], last[way])


def _head_loss(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(hidden_ND, weight_VD).float(), targets_N)


def _fused_clm(head_loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Loss:
    def loss(model: object, ids_BT: Tensor) -> Tensor:
        hidden_BTD = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state  # type: ignore[attr-defined]
        weight_VD = model.lm_head.weight  # type: ignore[attr-defined]
        return head_loss(hidden_BTD[:, :-1].flatten(0, 1), weight_VD, ids_BT[:, 1:].flatten())

    return loss


def _head_ways(measured: Measurement) -> dict[str, Callable[[], Tensor]]:
    """Return forward and backward pass of head and loss alone, on hidden states that are random."""
    from rho1bench.modeling.chunked_logits import OutputHead
    from rho1bench.selection.kept_logits import KeptLogits, first_rows
    from rho1bench.selection.loss import summed_loss, token_measures
    from rho1bench.selection.top_k import top_k

    work = measured.work
    num = work.batch_size * (work.block_size - 1)
    hidden_ND = torch.randn(num, work.hidden_size, device=work.device).bfloat16().requires_grad_()
    weight_VD = torch.randn(work.vocab_size, work.hidden_size, device=work.device) / work.hidden_size**0.5
    weight_VD.requires_grad_()
    targets_N = torch.randint(work.vocab_size, (num,), device=work.device)
    eligible_1N, kept_num = torch.ones(1, num, dtype=torch.bool, device=work.device), int(RATIO * num)

    def chosen(losses_N: Tensor) -> Tensor:
        return first_rows(top_k(losses_N.unsqueeze(0), eligible_1N, RATIO, "micro_batch")[0], kept_num)

    def chunked() -> Tensor:
        measures = token_measures(hidden_ND.detach(), weight_VD, targets_N)
        rows_K = chosen(measures.losses_N)
        return summed_loss(hidden_ND[rows_K], weight_VD, targets_N[rows_K], lse_K=measures.lse_N[rows_K])[0] / kept_num

    def kept() -> Tensor:
        logits = KeptLogits(hidden_ND, OutputHead(weight_VD), targets_N)
        rows_K = chosen(logits.measures.losses_N)
        return logits.loss_sum(hidden_ND, rows_K, torch.ones_like(rows_K, dtype=torch.float32)) / kept_num

    def passes(loss_of: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            hidden_ND.grad = weight_VD.grad = None
            with torch.autocast(work.device, torch.bfloat16):
                loss = loss_of()
            loss.backward()
            return loss.detach()

        return run

    fused = torch.compile(_head_loss)
    return {
        "clm": passes(lambda: _head_loss(hidden_ND, weight_VD, targets_N)),
        "clm_fused": passes(lambda: fused(hidden_ND, weight_VD, targets_N)),
        "ours_chunked": passes(chunked),
        "ours": passes(kept),
    }


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    for found in cells(Job(**given | {"work": Workload(**given["work"])})):
        print(json.dumps(asdict(found) if isinstance(found, Cell) else found), flush=True)
