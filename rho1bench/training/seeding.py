"""Seeds for the parts of a training stage, all derived from the run's one seed."""

from __future__ import annotations

from rho1bench.files import sha256_json


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a 31-bit seed that depends on ``seed`` and ``purpose`` only."""
    return int(sha256_json([seed, *purpose])[:8], 16) & 0x7FFF_FFFF
