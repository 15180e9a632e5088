"""Document masking: which document of its block a token belongs to, and what attention and selection make of that.

Without it, packed documents see those before them in their block, as in the paper (section 3.1). With it, positions
begin again with every document. transformers builds the block-diagonal causal mask from such ``position_ids`` alone,
where no attention mask and no cache is given (``masking_utils.find_packed_sequence_indices``); flash attention does so
for a batch of one only, so its blocks must be laid end to end.
Shapes: B blocks, T positions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IGNORED = -100
"""The label of a token that is not learnt."""
MAX_BLOCK_SIZE = 2**16
"""Document ids are stored as uint16; the first one of a block is 0."""


def document_ids(starts_BT: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint16]:
    """Return the number of each token's document within its block, shape (B, T), from where documents start."""
    inner_BT = starts_BT.copy()
    inner_BT[:, 0] = False
    return np.cumsum(inner_BT, axis=1, dtype=np.uint16)


def position_ids(document_ids_BT: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """Return each token's position within its document, shape (B, T); a document cut by a block begins at 0 again."""
    places_T = np.arange(document_ids_BT.shape[1], dtype=np.int64)
    first_BT = np.zeros(document_ids_BT.shape, dtype=np.int64)
    first_BT[:, 1:] = np.where(document_ids_BT[:, 1:] != document_ids_BT[:, :-1], places_T[1:], 0)
    positions_BT: npt.NDArray[np.int64] = places_T - np.maximum.accumulate(first_BT, axis=1)
    return positions_BT


def eligible_targets(document_ids_BT: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Return which of the T - 1 predicted tokens may be targets: all but the first of each document, (B, T - 1)."""
    same: npt.NDArray[np.bool_] = document_ids_BT[:, 1:] == document_ids_BT[:, :-1]
    return same
