"""A recipe's ``selection:`` made runnable: score the tokens, choose among them, in the scope that was asked for.

Shapes: B blocks of this process, S = T - 1 predicted positions of a block. With several processes, ``micro_batch`` and
``global`` rank over the tokens of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rho1bench.modeling.distributed import all_rows, own_rows
from rho1bench.recipe import Selection
from rho1bench.selection.score_functions import ScoreInputs, score_function
from rho1bench.selection.top_k import Scope, num_selected, top_k


@dataclass(frozen=True)
class TokenBatch:
    """What may be known of a batch of tokens before the model sees it."""

    eligible_BS: Tensor
    """Bool: the positions that have a target."""
    token_positions_BS: Tensor
    """A number of each token's own, int64."""
    reference_BS2: Tensor | None = None
    """Stored loss and entropy of the reference, float32 nats."""


class Selector:
    """Scores and chooses tokens. None, ``full`` and ratio 1.0 all mean: every eligible token, no ranking.

    With ``all_of`` or ``any_of`` each part ranks for itself, in the same scope; a part that keeps all is left out.
    """

    def __init__(self, selection: Selection | None, seed: int) -> None:
        self.selection = selection
        self.seed = seed
        self.scope: Scope = selection.scope if selection is not None else "global"
        self._is_union = selection is not None and selection.any_of is not None
        parts = [(score_function(part.score), part.ratio) for part in selection.parts] if selection is not None else []
        self._parts = [(function, ratio) for function, ratio in parts if function.name != "full" and ratio != 1.0]
        self.is_full = not self._parts or (self._is_union and len(self._parts) < len(parts))
        self.needs_losses = not self.is_full and any(function.needs_losses for function, _ in self._parts)
        self.needs_reference = not self.is_full and any(function.needs_reference for function, _ in self._parts)
        self.needs_entropy = not self.is_full and any(function.needs_entropy for function, _ in self._parts)
        self.is_count_known = self.is_full or len(self._parts) == 1
        """False: how many tokens an intersection or union keeps depends on the scores."""

    def scores(self, batch: TokenBatch, losses_BS: Tensor | None) -> Tensor:
        """Return the scores, float32, shape (B, S); (B, S, P) for P parts."""
        reference = batch.reference_BS2
        inputs = ScoreInputs(
            losses=losses_BS,
            reference_losses=None if reference is None else reference[..., 0],
            reference_entropies=None if reference is None else reference[..., 1],
            token_positions=batch.token_positions_BS,
            seed=self.seed,
        )
        scores = [function.compute(inputs) for function, _ in self._parts]
        return scores[0] if len(scores) == 1 else torch.stack(scores, dim=-1)

    def select(self, scores: Tensor, eligible_BS: Tensor) -> Tensor:
        """Return the mask of kept tokens of this process's rows, ranked over every process's rows.

        ``scores`` as :meth:`scores` gives them.
        """
        if self.is_full:
            return eligible_BS
        if self.scope == "sequence":
            return self._select(scores, eligible_BS)
        selected = self._select(all_rows(scores), all_rows(eligible_BS))
        return selected[own_rows(len(scores))]

    def _select(self, scores: Tensor, eligible_BS: Tensor) -> Tensor:
        parts = scores.unbind(dim=-1) if len(self._parts) > 1 else (scores,)
        masks = [
            top_k(scores_BS, eligible_BS, ratio, self.scope)
            for scores_BS, (_, ratio) in zip(parts, self._parts, strict=True)
        ]
        together = torch.stack(masks)
        return together.any(dim=0) if self._is_union else together.all(dim=0)

    def threshold(self, scores: Tensor, selected_BS: Tensor) -> Tensor | None:
        """Return the lowest score that was kept, a scalar; None without ranking and for several scores."""
        if self.is_full or len(self._parts) > 1:
            return None
        return scores.detach().masked_fill(~selected_BS, float("inf")).min()

    def num_selected(self, micro_batches: Sequence[Tensor]) -> int:
        """Return how many tokens an optimizer step keeps over all processes, given its eligible masks (B, S).

        Only where ``is_count_known``.
        """
        assert self.is_count_known, "count the chosen tokens instead"
        ratio = 1.0 if self.is_full else self._parts[0][1]
        masks = [all_rows(eligible_BS) for eligible_BS in micro_batches]
        if self.scope == "global":
            return num_selected(torch.cat(masks), ratio, self.scope)
        return sum(num_selected(mask, ratio, self.scope) for mask in masks)
