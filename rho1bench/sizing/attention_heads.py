"""Which attention heads vLLM's CPU engine computes, so that a model that it cannot serve is told before anything runs.

The sizes are those of its backend (``CPUAttentionBackend.get_supported_head_sizes``); a test holds them against the
installed version. On GPUs vLLM chooses among several backends, and nothing is refused here.
"""

from __future__ import annotations

from collections.abc import Iterable

from rho1bench.install import installed_version

VLLM_CPU_HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)


def has_vllm() -> bool:
    """Tell whether vLLM is installed, its CPU build or the one for GPUs."""
    return bool(installed_version("vllm") or installed_version("vllm-cpu"))


def unserved_head_size(sizes: Iterable[int]) -> int | None:
    """Return the first size that the installed vLLM cannot serve; None if it serves all, or is no CPU build."""
    version = installed_version("vllm")  # of the CPU build "...+cpu", where this process has prepared it
    on_cpu = version.endswith("+cpu") or (not version and bool(installed_version("vllm-cpu")))
    if not on_cpu:
        return None
    return next((size for size in sizes if size not in VLLM_CPU_HEAD_SIZES), None)
