"""How long training and scoring take: operations a token, and the share of a GPU's peak that is reached (MFU).

Operations are the model's own, as in appendix B of the PaLM paper (Chowdhery et al. 2022, arXiv 2204.02311):
6 for each weight that a token is multiplied with, and ``12 * L * H * Q * T`` for attention (L layers, H heads of width
Q, sequences of T tokens; the causal half is not taken off). The input embedding is looked up, not multiplied, and is
left out. A third of it is the forward pass. Work done twice (gradient checkpointing) does not count, so an MFU tells
what reaches the model.
"""

from __future__ import annotations

from typing import Any

from rho1bench.sizing.gpus import gpu_of_device
from rho1bench.sizing.shapes import ModelShape

FORWARD = 1 / 3
"""Share of a training step's operations that a forward pass has."""


def flops_per_token(shape: ModelShape, length: int) -> float:
    """Return the operations of forward and backward pass a token, in sequences of ``length`` tokens."""
    embedding = 0 if shape.tie_word_embeddings else shape.vocab_size * shape.hidden_size
    attention = 12 * shape.num_hidden_layers * shape.hidden_size * length
    return float(6 * (shape.num_parameters - embedding) + attention)


def mfu(tokens_per_second: float, shape: ModelShape, length: int, peak_flops: float) -> float:
    """Return the share of the peak that training at ``tokens_per_second`` on one GPU reaches."""
    return tokens_per_second * flops_per_token(shape, length) / peak_flops


def gpu_seconds(tokens: float, shape: ModelShape, length: int, reached_flops: float, share: float = 1.0) -> float:
    """Return the seconds that ``tokens`` take on one GPU which reaches ``reached_flops``; ``share`` of the work."""
    return tokens * flops_per_token(shape, length) * share / reached_flops


def peak_flops(device_name: str, precision: str) -> float | None:
    """Return the peak FLOP/s of a device for ``bf16`` or ``fp32``; None for one that ``plan.gpus`` does not have."""
    gpu = gpu_of_device(device_name)
    if gpu is None:
        return None
    return gpu.peak_flops if precision == "bf16" else gpu.fp32_flops


def flops_per_token_of_model(lm: Any, length: float) -> float:
    """Return the FLOPs of forward and backward pass for one token in a sequence of ``length`` tokens."""
    config = lm.config
    embedding, head = lm.get_input_embeddings().weight, lm.get_output_embeddings().weight
    weights = sum(parameter.numel() for parameter in lm.parameters() if parameter.dim() > 1)
    if embedding is not head:
        weights -= embedding.numel()
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    attention = config.num_hidden_layers * config.num_attention_heads * head_size * length
    return float(6 * weights + 12 * attention)


def peak_of_run(precision: str, num_processes: int) -> float | None:
    """Return the peak FLOP/s of all ranks' GPUs together; None without a GPU that is known."""
    import torch

    if not torch.cuda.is_available():
        return None
    peak = peak_flops(torch.cuda.get_device_name(), precision)
    return None if peak is None else peak * num_processes
