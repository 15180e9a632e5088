"""How long training and scoring take: operations a token, and the share of a GPU's peak that is reached (MFU).

Operations are the model's own, as in appendix B of the PaLM paper (Chowdhery et al. 2022, arXiv 2204.02311):
6 for each weight that a token meets, and ``12 * L * H * Q * T`` for attention (L layers, H heads of width Q, sequences
of T tokens; the causal half is not taken off). The input embedding is looked up, not multiplied, and is left out. A
third of it is the forward pass. Work done twice (gradient checkpointing) does not count, so an MFU tells what reaches
the model.
"""

from __future__ import annotations

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
    def idle_parameters(self) -> int:
        """Those of them that a token is not multiplied with: an input embedding that is not the head too, for one."""

    @property
    def attention_width(self) -> int:
        """Width of all heads of all layers."""


def flops_per_token(size: ModelSize, length: float) -> float:
    """Return the operations of forward and backward pass a token, in sequences of ``length`` tokens."""
    return float(6 * (size.num_parameters - size.idle_parameters) + 12 * size.attention_width * length)


def mfu(tokens_per_second: float, size: ModelSize, length: float, peak_flops: float) -> float:
    """Return the share of the peak that training at ``tokens_per_second`` on one GPU reaches."""
    return tokens_per_second * flops_per_token(size, length) / peak_flops


def gpu_seconds(tokens: float, size: ModelSize, length: float, reached_flops: float, share: float = 1.0) -> float:
    """Return the seconds that ``tokens`` take on one GPU which reaches ``reached_flops``; ``share`` of the work."""
    return tokens * flops_per_token(size, length) * share / reached_flops


def peak_flops(device_name: str, precision: str) -> float | None:
    """Return the peak FLOP/s of a device for ``bf16`` or ``fp32``; None for one that ``sizing.gpus`` does not have."""
    gpu = gpu_of_device(device_name)
    if gpu is None:
        return None
    return gpu.peak_flops if precision == "bf16" else gpu.fp32_flops


def peak_of_run(precision: str, num_processes: int) -> float | None:
    """Return the peak FLOP/s of all ranks' GPUs together; None without a GPU that is known."""
    import torch

    if not torch.cuda.is_available():
        return None
    peak = peak_flops(torch.cuda.get_device_name(), precision)
    return None if peak is None else peak * num_processes
