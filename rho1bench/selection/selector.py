"""A recipe's ``selection:`` made runnable: score the tokens, choose among them, in the scope that was asked for.

Shapes: B blocks of this process, S = T - 1 predicted positions of a block. With several processes, ``micro_batch`` and
``global`` rank over the tokens of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from rho1bench.recipe import Selection
from rho1bench.selection.choose import Scope, choose, num_selected
from rho1bench.selection.registry import ScoreInputs, score_function


@dataclass(frozen=True)
class TokenBatch:
    """What may be known of a batch of tokens before the model sees it."""

    eligible_BS: Tensor
    """Bool: the positions that have a target."""
    token_ids_BS: Tensor
    """A number of each token's own, int64."""
    reference_BS2: Tensor | None = None
    """Stored loss and entropy of the reference, float32 nats."""


class Selector:
    """Scores and chooses tokens. None, ``full`` and ratio 1.0 all mean: every eligible token, no ranking."""

    def __init__(self, selection: Selection | None, seed: int) -> None:
        self.selection = selection
        self.seed = seed
        self.ratio = selection.ratio if selection is not None else 1.0
        self.scope: Scope = selection.scope if selection is not None else "global"
        self._function = score_function(selection.score if selection is not None else "full")
        self.is_full = self._function.name == "full" or self.ratio == 1.0
        self.needs_losses = self._function.needs_losses and not self.is_full
        self.needs_reference = self._function.needs_reference and not self.is_full
        self.needs_entropy = self._function.needs_entropy and not self.is_full

    def scores(self, batch: TokenBatch, losses_BS: Tensor | None) -> Tensor:
        """Return the scores, float32, shape (B, S)."""
        reference = batch.reference_BS2
        inputs = ScoreInputs(
            losses=losses_BS,
            reference_losses=None if reference is None else reference[..., 0],
            reference_entropies=None if reference is None else reference[..., 1],
            token_ids=batch.token_ids_BS,
            seed=self.seed,
        )
        return self._function.compute(inputs)

    def choose(self, scores_BS: Tensor, eligible_BS: Tensor) -> Tensor:
        """Return the mask of kept tokens of this process's rows, ranked over every process's rows."""
        if self.is_full:
            return eligible_BS
        if self.scope == "sequence":
            return choose(scores_BS, eligible_BS, self.ratio, self.scope)
        chosen = choose(_all_rows(scores_BS), _all_rows(eligible_BS), self.ratio, self.scope)
        return chosen[_own_rows(len(scores_BS))]

    def num_selected(self, micro_batches: Sequence[Tensor]) -> int:
        """Return how many tokens an optimizer step keeps over all processes, given its eligible masks (B, S)."""
        ratio = 1.0 if self.is_full else self.ratio
        masks = [_all_rows(eligible_BS) for eligible_BS in micro_batches]
        if self.scope == "global":
            return num_selected(torch.cat(masks), ratio, self.scope)
        return sum(num_selected(mask, ratio, self.scope) for mask in masks)


def _all_rows(rows: Tensor) -> Tensor:
    """Return the rows of all processes, in the order of their ranks; every process must have equally many."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def _own_rows(num_rows: int) -> slice:
    rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
    return slice(rank * num_rows, (rank + 1) * num_rows)
