"""Exact choice of the best-scored share of tokens (paper section 2.2, equation 5).

Of ``n`` eligible tokens, ``floor(ratio * n)`` are kept, at least one; ``ratio`` counts as the decimal number that the
recipe shows, so 0.29 of 100 is 29. Equal scores are kept in the order of their position. Shapes: B blocks, T positions,
G groups that rank by themselves, L tokens of a row.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from rho1bench.recipe.models.selection import num_to_keep

Scope = Literal["sequence", "micro_batch", "global", "document"]


def num_selected(eligible_BT: Tensor, ratio: float, scope: Scope, documents_BT: Tensor | None = None) -> Tensor:
    """Return how many tokens :func:`top_k` will keep, a scalar; known before any score is."""
    if scope == "sequence":
        counts = eligible_BT.sum(dim=1)
    elif scope == "document":
        counts = _per_document(eligible_BT, documents_BT)[1]
    else:
        counts = eligible_BT.sum().view(1)
    return _num_to_keep(counts, ratio, eligible_BT.numel()).sum()


def top_k(
    scores_BT: Tensor, eligible_BT: Tensor, ratio: float, scope: Scope, documents_BT: Tensor | None = None
) -> Tensor:
    """Return the boolean mask of kept tokens, shape (B, T).

    ``sequence`` ranks within each row, ``document`` within each number of ``documents_BT``; ``micro_batch`` and
    ``global`` rank over all that is given. A token that is not eligible is never kept; a NaN score ranks last.
    """
    lowest = torch.finfo(torch.float32).min
    keys_BT = torch.nan_to_num(scores_BT.float(), nan=lowest, posinf=None, neginf=lowest)
    keys_BT = keys_BT.masked_fill(~eligible_BT, float("-inf"))
    if scope == "document":
        return _top_k_of_groups(keys_BT, eligible_BT, ratio, documents_BT)
    rows = (1, -1) if scope != "sequence" else scores_BT.shape
    keys_RL, eligible_RL = keys_BT.reshape(rows), eligible_BT.reshape(rows)
    keep_R1 = _num_to_keep(eligible_RL.sum(dim=1), ratio, eligible_RL.shape[1]).unsqueeze(1)
    order_RL = torch.sort(keys_RL, dim=1, descending=True, stable=True).indices
    places = torch.arange(order_RL.shape[1], device=order_RL.device).expand_as(order_RL)
    chosen_RL = torch.zeros_like(eligible_RL).scatter_(1, order_RL, places < keep_R1)
    return chosen_RL.reshape(scores_BT.shape)


def _top_k_of_groups(keys_BT: Tensor, eligible_BT: Tensor, ratio: float, documents_BT: Tensor | None) -> Tensor:
    groups_N, eligible_G = _per_document(eligible_BT, documents_BT)
    order_N = torch.sort(keys_BT.flatten(), descending=True, stable=True).indices
    order_N = order_N[torch.sort(groups_N[order_N], stable=True).indices]
    sizes_G = torch.bincount(groups_N, minlength=len(eligible_G))
    first_G = sizes_G.cumsum(dim=0) - sizes_G
    groups_in_order_N = groups_N[order_N]
    places_N = torch.arange(len(order_N), device=order_N.device) - first_G[groups_in_order_N]
    kept_N = places_N < _num_to_keep(eligible_G, ratio, len(order_N))[groups_in_order_N]
    return torch.zeros_like(eligible_BT).flatten().scatter_(0, order_N, kept_N).view(eligible_BT.shape)


def _per_document(eligible_BT: Tensor, documents_BT: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the group of each token, (B * T,), and how many eligible tokens each group has, (G,)."""
    assert documents_BT is not None, "the scope 'document' is given document ids"
    numbers, groups_N = torch.unique(documents_BT, return_inverse=True)
    groups_N = groups_N.flatten()
    return groups_N, torch.bincount(groups_N[eligible_BT.flatten()], minlength=len(numbers))


def _num_to_keep(counts_R: Tensor, ratio: float, most: int) -> Tensor:
    """Return :func:`num_to_keep` of counts up to ``most``, without a wait for the device where whole numbers do."""
    exact = Fraction(repr(ratio))
    if exact.numerator * most < 2**63:
        kept_R = counts_R * exact.numerator // exact.denominator
        return kept_R.clamp(min=1).minimum(counts_R)
    return torch.tensor([num_to_keep(count, ratio) for count in counts_R.tolist()], device=counts_R.device)
