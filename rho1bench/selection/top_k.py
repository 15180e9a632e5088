"""Exact choice of the best-scored share of tokens (paper section 2.2, equation 5).

Of ``n`` eligible tokens, ``floor(ratio * n)`` are kept, at least one; ``ratio`` counts as the decimal number that the
recipe shows, so 0.29 of 100 is 29. Equal scores are kept in the order of their position. Shapes: B blocks, T positions.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

Scope = Literal["sequence", "micro_batch", "global"]


def num_to_keep(num_eligible: int, ratio: float) -> int:
    """Return how many of ``num_eligible`` tokens a ratio in (0, 1] keeps."""
    if num_eligible == 0:
        return 0
    return max(1, int(Fraction(repr(ratio)) * num_eligible))


def num_selected(eligible_BT: Tensor, ratio: float, scope: Scope) -> int:
    """Return how many tokens :func:`top_k` will keep; known before any score is."""
    if scope == "sequence":
        return sum(num_to_keep(int(count), ratio) for count in eligible_BT.sum(dim=1).tolist())
    return num_to_keep(int(eligible_BT.sum()), ratio)


def top_k(scores_BT: Tensor, eligible_BT: Tensor, ratio: float, scope: Scope) -> Tensor:
    """Return the boolean mask of kept tokens, shape (B, T).

    ``sequence`` ranks within each row; ``micro_batch`` and ``global`` rank over all that is given. A token that is not
    eligible is never kept; a NaN score ranks last.
    """
    rows = (1, -1) if scope != "sequence" else scores_BT.shape
    scores_RL, eligible_RL = scores_BT.reshape(rows), eligible_BT.reshape(rows)
    counts = [num_to_keep(int(count), ratio) for count in eligible_RL.sum(dim=1).tolist()]
    keep_R1 = torch.tensor(counts, device=scores_BT.device).unsqueeze(1)
    lowest = torch.finfo(torch.float32).min
    keys_RL = torch.nan_to_num(scores_RL.float(), nan=lowest, posinf=None, neginf=lowest)
    keys_RL = keys_RL.masked_fill(~eligible_RL, float("-inf"))
    order_RL = torch.sort(keys_RL, dim=1, descending=True, stable=True).indices
    places = torch.arange(order_RL.shape[1], device=order_RL.device).expand_as(order_RL)
    chosen_RL = torch.zeros_like(eligible_RL).scatter_(1, order_RL, places < keep_R1)
    return chosen_RL.reshape(scores_BT.shape)
