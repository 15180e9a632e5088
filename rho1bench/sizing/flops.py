"""Floating-point operations of training and scoring, and the share of a GPU's peak that is reached (MFU).

Operations are the model's own, counted as matrix products, as in appendix B of the PaLM paper (Chowdhery et al. 2022,
arXiv 2204.02311). With B weights in the layers' matrices, V * D in the output head, L layers of H heads of width Q, and
sequences of T tokens, a forward pass takes

    2 B + 4 L H Q T      for each token (attention is counted whole, its causal half is not taken off)
    2 V D                for each row of the head: a position whose logits are made

and a backward pass twice as much. Embeddings are looked up, norms and biases are not counted. The selective loss sends
K of N rows backward (paper section 2.2): its head takes ``6 V D K + 2 V D S``, where S rows have logits without a
gradient. S = N if the ranking needs the current losses (they are made first, and again for the K rows), else N - K (the
losses of the others, for the metrics). Every token takes part in the layers' backward pass, selected or not. The tests
hold all of this against torch's own counter.

Work done twice to save memory (gradient checkpointing) does not count, nor do padding and measurements (validation,
probes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rho1bench.sizing.gpus import gpu_of_device

FORWARD = 1 / 3
"""Share of a training step's operations that a forward pass has."""


class ModelSize(Protocol):
    """What the operations depend on; a :class:`~rho1bench.sizing.shapes.ModelShape` tells it, and so does a model."""

    @property
    def num_parameters(self) -> int:
        """Number of weights; tied embeddings count once."""

    @property
    def matrix_parameters(self) -> int:
        """Weights of the layers' matrices that a token is multiplied with; neither embeddings nor head."""

    @property
    def head_parameters(self) -> int:
        """Weights of the output head, vocabulary times hidden size; tied to the input embedding or not."""

    @property
    def attention_width(self) -> int:
        """Width of all heads of all layers."""


@dataclass(frozen=True)
class Work:
    """What a stage does to a model, in tokens and rows of the output head."""

    trained_tokens: float = 0
    """Tokens through the layers, forward and backward."""
    trained_rows: float = 0
    """Rows of the head, forward and backward: those whose loss is trained on."""
    forward_tokens: float = 0
    """Tokens through the layers, forward only."""
    forward_rows: float = 0
    """Rows of the head, forward only."""


def flops_of(size: ModelSize, length: float, work: Work) -> float:
    """Return the operations of ``work`` on sequences of ``length`` tokens."""
    token = 2.0 * size.matrix_parameters + 4.0 * size.attention_width * length
    row = 2.0 * size.head_parameters
    return token * (3 * work.trained_tokens + work.forward_tokens) + row * (3 * work.trained_rows + work.forward_rows)


def flops_per_token(size: ModelSize, length: float) -> float:
    """Return the operations of forward and backward pass a token that is trained on."""
    return flops_of(size, length, Work(trained_tokens=1, trained_rows=1))


def mfu(tokens_per_second: float, size: ModelSize, length: float, peak_flops: float) -> float:
    """Return the share of the peak that training at ``tokens_per_second`` on one GPU reaches."""
    return tokens_per_second * flops_per_token(size, length) / peak_flops


def gpu_seconds(tokens: float, size: ModelSize, length: float, reached_flops: float, share: float = 1.0) -> float:
    """Return the seconds that ``tokens`` take on one GPU which reaches ``reached_flops``; ``share`` of the work."""
    return tokens * flops_per_token(size, length) * share / reached_flops


def peak_flops(device_name: str, precision: str) -> float | None:
    """Return the peak FLOP/s of a device for ``bf16`` or ``fp32``; None for one that ``sizing.gpus`` does not have."""
    gpu = gpu_of_device(device_name)
    return None if gpu is None else gpu.peak(precision)


def peak_of_run(precision: str, num_processes: int) -> float | None:
    """Return the peak FLOP/s of all ranks' GPUs together; None without a GPU that is known."""
    import torch

    if not torch.cuda.is_available():
        return None
    peak = peak_flops(torch.cuda.get_device_name(), precision)
    return None if peak is None else peak * num_processes
