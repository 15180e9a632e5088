"""GPUs by name: peak bf16 matrix throughput and memory, as their makers' data sheets give them.

Peaks are dense (data sheets often print twice as much, with sparsity), accumulated in float32. Links are those to the
other GPUs of a machine, one direction (data sheets print both together): NVLink, else PCI Express. Memory is the data
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
    fp32_flops: float
    """As ``peak_flops``, float32 without tensor cores."""
    link: float
    """Bytes a second."""
    device: str | None = None
    """Part of the name that the driver gives it."""

    def peak(self, precision: str) -> float:
        """Return the peak for ``bf16`` or ``fp32``."""
        return self.peak_flops if precision == "bf16" else self.fp32_flops


GPUS: Mapping[str, GPU] = {
    "b200": GPU("NVIDIA B200", 2250e12, 180e9, "NVIDIA HGX B200 data sheet, per GPU", 75e12, 900e9),
    "h200": GPU("NVIDIA H200 SXM", 989e12, 141e9, "NVIDIA H200 data sheet", 67e12, 450e9, "H200"),
    "h100": GPU("NVIDIA H100 SXM 80GB", 989e12, 80e9, "NVIDIA H100 data sheet", 67e12, 450e9, "H100"),
    "h100-pcie": GPU("NVIDIA H100 PCIe 80GB", 756e12, 80e9, "NVIDIA H100 data sheet", 51e12, 64e9, "H100 PCIe"),
    "h100-nvl": GPU("NVIDIA H100 NVL 94GB", 835e12, 94e9, "NVIDIA H100 data sheet", 60e12, 64e9, "H100 NVL"),
    "a100-80": GPU("NVIDIA A100 80GB", 312e12, 80e9, "NVIDIA A100 data sheet", 19.5e12, 300e9, "A100"),
    "a100-40": GPU("NVIDIA A100 40GB", 312e12, 40e9, "NVIDIA A100 data sheet", 19.5e12, 300e9),
    "l40s": GPU("NVIDIA L40S", 362e12, 48e9, "NVIDIA L40S data sheet", 91.6e12, 32e9, "L40S"),
    "l4": GPU("NVIDIA L4", 121e12, 24e9, "NVIDIA L4 data sheet", 30.3e12, 32e9),
    "a10": GPU("NVIDIA A10", 125e12, 24e9, "NVIDIA A10 data sheet", 31.2e12, 32e9),
    "rtx4090": GPU("NVIDIA GeForce RTX 4090", 165e12, 24e9, "NVIDIA Ada GPU architecture white paper", 82.6e12, 32e9),
    "rtx3090": GPU("NVIDIA GeForce RTX 3090", 71e12, 24e9, "NVIDIA GA102 GPU architecture white paper", 35.6e12, 32e9),
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
