"""What share of the tokens of a group is kept: groups by place in the block, by frequency, by kind.

Shapes: N tokens that have a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Groups = npt.NDArray[np.integer]
Mask = npt.NDArray[np.bool_]
_POSITION_GROUPS = 12


@dataclass(frozen=True)
class KeepRate:
    """One group of tokens."""

    name: str
    num_tokens: int
    num_kept: int

    @property
    def rate(self) -> float:
        """The share that is kept."""
        return self.num_kept / self.num_tokens if self.num_tokens else 0.0


def keep_rates(groups_N: Groups, names: Sequence[str], kept_N: Mask) -> list[KeepRate]:
    """Return the rate of every group that has a token; ``groups_N`` are places in ``names``."""
    sizes = np.bincount(groups_N, minlength=len(names))
    kept = np.bincount(groups_N[kept_N], minlength=len(names))
    return [KeepRate(name, int(size), int(count)) for name, size, count in zip(names, sizes, kept, strict=True) if size]


def position_groups(positions_N: Groups, block_size: int) -> tuple[Groups, list[str]]:
    """Sort tokens by their place in the block (1 to ``block_size`` - 1) into at most twelve groups of equal width."""
    width = -(-(block_size - 1) // _POSITION_GROUPS)
    starts = range(1, block_size, width)
    names = [f"{start}\N{EN DASH}{min(start + width, block_size) - 1}" for start in starts]
    return (positions_N - 1) // width, names


def frequency_groups(targets_N: Groups) -> tuple[Groups, list[str]]:
    """Sort tokens by how often the same vocabulary entry occurs among ``targets_N``: 1-3 times, 4-15, 16-63 ..."""
    counts_N = np.bincount(targets_N)[targets_N]
    groups_N = (np.log2(counts_N).astype(np.int64)) // 2
    names = [f"{4**power:,}\N{EN DASH}{4 ** (power + 1) - 1:,} times" for power in range(int(groups_N.max()) + 1)]
    return groups_N, names
