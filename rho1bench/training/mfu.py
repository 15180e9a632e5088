"""Model FLOPs utilisation: the share of the hardware's peak that training uses (PaLM, arXiv 2204.02311, appendix B).

A token costs 6 FLOPs for each weight of a matrix product and 12 L H Q T for attention (L layers, H heads, Q the size of
a head, T tokens). Work that selection saves is not subtracted, so that methods can be compared.
"""

from __future__ import annotations

from typing import Any

import torch

from rho1bench.plan.gpus import gpu_of_device


def peak_flops(device_name: str, precision: str) -> float | None:
    """Return the peak FLOP/s of a device for ``bf16`` or ``fp32``; None for one that ``plan.gpus`` does not have."""
    gpu = gpu_of_device(device_name)
    if gpu is None:
        return None
    return gpu.peak_flops if precision == "bf16" else gpu.fp32_flops


def flops_per_token(lm: Any, length: float) -> float:
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
    if not torch.cuda.is_available():
        return None
    peak = peak_flops(torch.cuda.get_device_name(), precision)
    return None if peak is None else peak * num_processes
