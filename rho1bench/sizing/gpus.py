"""GPUs by name: peak bf16 matrix throughput and memory, as their makers' data sheets give them.

Peaks are dense (data sheets often print twice as much, with sparsity), accumulated in float32. Memory is the data
sheet's GB taken as 10^9 bytes, a little less than the card holds, which leaves room for the CUDA context.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from rho1bench.errors import RunError


@dataclass(frozen=True)
class GPU:
    """One GPU; ``source`` is the document that the numbers stand in."""

    title: str
    peak_flops: float
    """Floating-point operations a second, bf16, dense."""
    memory: float
    """Bytes."""
    source: str
    device: str | None = None
    """Part of the name that the driver gives it."""
    fp32_flops: float | None = None
    """As ``peak_flops``, float32 without tensor cores."""


GPUS: Mapping[str, GPU] = {
    "b200": GPU("NVIDIA B200", 2250e12, 180e9, "NVIDIA DGX B200 data sheet, per GPU"),
    "h200": GPU("NVIDIA H200 SXM", 989e12, 141e9, "NVIDIA H200 data sheet", "H200", 67e12),
    "h100": GPU("NVIDIA H100 SXM 80GB", 989e12, 80e9, "NVIDIA H100 data sheet", "H100", 67e12),
    "h100-pcie": GPU("NVIDIA H100 PCIe 80GB", 756e12, 80e9, "NVIDIA H100 data sheet", "H100 PCIe", 51e12),
    "h100-nvl": GPU("NVIDIA H100 NVL 94GB", 835e12, 94e9, "NVIDIA H100 data sheet", "H100 NVL", 60e12),
    "a100-80": GPU("NVIDIA A100 80GB", 312e12, 80e9, "NVIDIA A100 data sheet", "A100", 19.5e12),
    "a100-40": GPU("NVIDIA A100 40GB", 312e12, 40e9, "NVIDIA A100 data sheet"),
    "l40s": GPU("NVIDIA L40S", 362e12, 48e9, "NVIDIA L40S data sheet", "L40S", 91.6e12),
    "l4": GPU("NVIDIA L4", 121e12, 24e9, "NVIDIA L4 data sheet"),
    "a10": GPU("NVIDIA A10", 125e12, 24e9, "NVIDIA A10 data sheet"),
    "rtx4090": GPU("NVIDIA GeForce RTX 4090", 165e12, 24e9, "NVIDIA Ada GPU architecture white paper"),
    "rtx3090": GPU("NVIDIA GeForce RTX 3090", 71e12, 24e9, "NVIDIA GA102 GPU architecture white paper"),
}


def find_gpu(name: str) -> GPU:
    """Return the GPU called ``name``; raises ``RunError`` with the known names."""
    if name.lower() in GPUS:
        return GPUS[name.lower()]
    near = difflib.get_close_matches(name.lower(), GPUS, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise RunError(f"--gpu {name}: unknown GPU{hint}; expected one of {', '.join(GPUS)}.")


def gpu_of_device(name: str) -> GPU | None:
    """Return the GPU that the driver calls ``name``, the one whose part of it is longest; None if none is known."""
    known = [gpu for gpu in GPUS.values() if gpu.device is not None and gpu.device in name]
    return max(known, key=lambda gpu: len(gpu.device or ""), default=None)
