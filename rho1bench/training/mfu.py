"""Model FLOPs utilisation: the share of the hardware's peak that training uses (PaLM, arXiv 2204.02311, appendix B).

A token costs 6 FLOPs for each weight of a matrix product and 12 L H Q T for attention (L layers, H heads, Q the size of
a head, T tokens). Work that selection saves is not subtracted, so that methods can be compared.
"""

from __future__ import annotations

from typing import Any

import torch

PEAK_TFLOPS: tuple[tuple[str, float, float], ...] = (
    ("H200", 989.0, 67.0),
    ("H100 PCIe", 756.0, 51.0),
    ("H100 NVL", 835.0, 60.0),
    ("H100", 989.0, 67.0),
    ("A100", 312.0, 19.5),
    ("L40S", 362.0, 91.6),
)
"""Part of a device's name, peak dense bfloat16 and float32 TFLOP/s without sparsity; the first match counts.

Sources: NVIDIA's data sheets "H200 Tensor Core GPU", "H100 Tensor Core GPU" (SXM, PCIe and NVL), "A100 Tensor Core GPU"
and "L40S"; those of the H series print tensor-core rates with sparsity, which are twice the dense ones.
"""


def peak_flops(device_name: str, precision: str) -> float | None:
    """Return the peak FLOP/s of a device for ``bf16`` or ``fp32``; None for one that the table does not have."""
    for part, bf16, fp32 in PEAK_TFLOPS:
        if part in device_name:
            return (bf16 if precision == "bf16" else fp32) * 1e12
    return None


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
