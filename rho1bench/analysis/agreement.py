"""How far selection rules agree: the share of tokens that two keep in common, and the correlation of their ranks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating]


def ranks(scores_N: Numbers) -> npt.NDArray[np.float64]:
    """Return the place of each score among all, 0 lowest to 1 highest; equal ones share their middle place."""
    from scipy.stats import rankdata

    places: npt.NDArray[np.float64] = (rankdata(scores_N) - 1.0) / max(len(scores_N) - 1, 1)
    return places


def rank_correlation(left_N: Numbers, right_N: Numbers) -> float | None:
    """Return Spearman's rank correlation; None where one side has a single value."""
    left, right = ranks(left_N), ranks(right_N)
    left, right = left - left.mean(), right - right.mean()
    scale = float(np.sqrt((left @ left) * (right @ right)))
    return float(left @ right) / scale if scale > 0 else None


def share_in_common(left_N: npt.NDArray[np.bool_], right_N: npt.NDArray[np.bool_]) -> float:
    """Return the number of tokens that both keep over the mean of what each keeps: 1 for equal choices.

    Two independent choices of a share k have k in common.
    """
    kept = (int(left_N.sum()) + int(right_N.sum())) / 2.0
    return int((left_N & right_N).sum()) / kept if kept else 0.0
