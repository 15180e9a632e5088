"""Where a result comes from: commit of the code, device, versions of packages; written into every record."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence

from rho1bench.system.paths import PACKAGE


def git_state() -> dict[str, str | bool] | None:
    """Return ``{"commit", "dirty"}`` of the checkout that the code runs from; None for an installed wheel.

    Only tracked files make it dirty: a run writes its own folders into the checkout.
    """
    root = PACKAGE.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*words: str) -> str:
    command = ["git", "-C", str(PACKAGE.parent), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def device() -> str:
    """Return the name of the first GPU and how many there are; else the processor's kind and the number of cores."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return f"cpu, {platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of those ``packages`` that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
