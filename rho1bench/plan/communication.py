"""What the processes of a training stage send each other, in seconds of an optimizer step on stated links.

Of S bytes, all-gather and reduce-scatter send (P - 1) / P of S through each of P processes, all-reduce twice as much.
NCCL's rings use every adapter of a node: the rate is that of one GPU's link inside a node, or of all links out of it
together, whichever is less. With N weights, R of them outside of the layers, w bytes of the products:

    ddp         all-reduces 4N (float32 gradients) once a step
    fsdp2       gathers w (N - R) twice (forward and backward) and 4R once, and scatters 4N, in every micro-batch;
                with ``shard_over: node`` among the processes of a node, and all-reduces 4N / P between nodes
    deepspeed   scatters wN of gradients in every micro-batch and gathers wN of weights once a step

Forward passes that only score (a ranking over several micro-batches, say) are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from rho1bench.recipe import TrainStage
from rho1bench.sizing.gpus import GPU
from rho1bench.sizing.shapes import ModelShape

BETWEEN_NODES = 50e9
"""Bytes a second out of a node for each of its GPUs: one adapter of 400 Gbit/s each, as in a DGX H100."""


@dataclass(frozen=True)
class Links:
    """How the GPUs of a launch reach each other; ``between`` nodes in bytes a second for each GPU."""

    gpu: GPU
    nodes: int
    per_node: int
    between: float = BETWEEN_NODES

    @property
    def rate(self) -> float:
        """Bytes a second of a ring over all GPUs."""
        return self.gpu.link if self.nodes == 1 else min(self.gpu.link, self.per_node * self.between)


def step_seconds(shape: ModelShape, stage: TrainStage, micro_batches: int, links: Links) -> float:
    """Return the seconds of an optimizer step's collectives, of ``micro_batches`` in each process."""
    number = links.nodes * links.per_node
    if stage.distributed is None or number == 1:
        return 0.0
    weights, width = shape.num_parameters, 2 if stage.precision == "bf16" else 4
    if stage.distributed.strategy == "ddp":
        return 2 * _ring(4 * weights, number, links.rate)
    if stage.distributed.strategy == "deepspeed":
        return _ring(width * weights * (micro_batches + 1), number, links.rate)
    layers = shape.num_hidden_layers * shape.layer_parameters
    sent = 2 * width * layers + 4 * (weights - layers) + 4 * weights
    if stage.distributed.shard_over == "all" or links.nodes == 1:
        return micro_batches * _ring(sent, number, links.rate)
    within = _ring(sent, links.per_node, links.gpu.link)
    return micro_batches * (within + 2 * _ring(4 * weights / links.per_node, links.nodes, links.between))


def _ring(size: float, number: int, rate: float) -> float:
    return size * (number - 1) / number / rate
