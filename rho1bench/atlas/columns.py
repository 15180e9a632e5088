"""Numbers of an atlas as bytes, one a token: losses and entropies in 255 steps, ranks in percent.

A page of a million tokens holds a dozen such columns, so each is one byte a token. What a rule keeps at a share in
whole percent is exact, as ranks come from the numbers before they are rounded.
Shapes: N tokens.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
NONE = 255
"""The byte of a token that has no number: nothing predicts the first one of a block."""
STEPS = 254


def largest(values_N: Floats) -> float:
    """Return what the highest step of a column stands for: its largest number, rounded up; at least 1."""
    found = values_N[np.isfinite(values_N)]
    return float(max(math.ceil(found.max()), 1)) if len(found) else 1.0


def steps(values_N: Floats, top: float) -> Bytes:
    """Return numbers from 0 to ``top`` as steps of equal size in their square root, so that small ones are finer.

    Step ``s`` stands for ``top * (s / 254) ** 2``; what is NaN has none.
    """
    shares = np.sqrt(np.clip(np.nan_to_num(values_N, nan=0.0) / top, 0.0, 1.0))
    found: Bytes = np.rint(shares * STEPS).astype(np.uint8)
    found[np.isnan(values_N)] = NONE
    return found


def percents(scores_N: Floats, eligible_N: npt.NDArray[np.bool_]) -> Bytes:
    """Return the rank of every eligible token, the highest score first: 0 for the best hundredth, 99 for the last.

    A token is among the best k percent where its byte is below k. Equal scores rank in the order of their tokens, NaN
    last; tokens that are not eligible have no rank.
    """
    places = np.flatnonzero(eligible_N)
    keys = np.nan_to_num(scores_N[places].astype(np.float32), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    order = np.argsort(-keys, kind="stable")
    found: Bytes = np.full(scores_N.shape, NONE, dtype=np.uint8)
    found[places[order]] = np.arange(len(places)) * 100 // max(len(places), 1)
    return found
