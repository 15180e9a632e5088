"""A causal language model with the selective loss, as one module: DDP and FSDP see an ordinary forward (section 2.2).

All tokens stay in the context; only the loss of unselected ones is dropped. One pass over the hidden states gives every
token's loss for the ranking, and only selected rows go on to the backward pass. Plain CLM is the case in which every
token is selected, so it takes the same path.
Shapes: B blocks, T positions, S = T - 1 predicted positions, N = B * S, D hidden size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rho1bench.modeling.causal_lm import backbone, check_head, output_head
from rho1bench.selection.loss import summed_loss, token_losses, token_losses_and_lse
from rho1bench.selection.selector import Selector, TokenBatch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class SelectiveLM(nn.Module):
    """Wraps ``lm``; ``forward`` gives the summed loss of the selected tokens and the losses of all.

    Raises CheckpointError for a model whose logits the selective loss cannot make.
    """

    accepts_loss_kwargs = False

    def __init__(self, lm: PreTrainedModel, selector: Selector) -> None:
        super().__init__()
        check_head(lm)
        self.lm = lm
        self.selector = selector

    def forward(
        self,
        input_ids: Tensor,
        eligible: Tensor,
        token_positions: Tensor,
        reference: Tensor | None = None,
        position_ids: Tensor | None = None,
        selected: Tensor | None = None,
        score_only: bool = False,
    ) -> dict[str, Tensor]:
        """Return ``loss_sum`` (differentiable), ``losses`` (B, S), ``selected`` (B, S), and ``scores`` if ranked here.

        input_ids: (B, T). eligible, token_positions, selected: (B, S). reference: (B, S, 2). position_ids: (B, T),
        which begin anew with every document, mask documents (``corpus.masking``). ``selected`` given: no ranking here.
        ``score_only``: ``scores`` (B, S) alone.
        """
        batch = TokenBatch(eligible, token_positions, reference)
        hidden_BTD = backbone(self.lm)(
            input_ids=input_ids, position_ids=position_ids, use_cache=False
        ).last_hidden_state
        hidden_ND = hidden_BTD[:, :-1].reshape(-1, hidden_BTD.shape[-1])
        targets_N = input_ids[:, 1:].reshape(-1)
        outputs: dict[str, Tensor] = {}
        known: tuple[Tensor, Tensor] | None = None
        if selected is None and self.selector.is_full:
            selected = eligible
        if selected is None:
            if self.selector.needs_losses:
                known = token_losses_and_lse(hidden_ND.detach(), output_head(self.lm), targets_N)
            scores = self.selector.scores(batch, None if known is None else known[0].view(eligible.shape))
            if score_only:
                return {"scores": scores}
            selected = self.selector.select(scores, eligible)
            outputs["scores"] = scores
        loss_sum, losses_N = self._loss(hidden_ND, targets_N, selected, eligible, known)
        return {**outputs, "loss_sum": loss_sum, "losses": losses_N.view(eligible.shape), "selected": selected}

    def _loss(
        self,
        hidden_ND: Tensor,
        targets_N: Tensor,
        selected_BS: Tensor,
        eligible_BS: Tensor,
        known: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the summed loss of the selected rows and every eligible row's loss; ``known``: losses and lse."""
        head = output_head(self.lm)
        chosen_K = selected_BS.reshape(-1).nonzero().squeeze(1)
        hidden_KD = hidden_ND if len(chosen_K) == len(targets_N) else hidden_ND.index_select(0, chosen_K)
        lse_K = None if known is None else known[1][chosen_K]
        loss_sum, losses_K = summed_loss(hidden_KD, head, targets_N[chosen_K], lse_K=lse_K)
        if known is not None:
            return loss_sum, known[0]
        losses_N = torch.zeros(len(targets_N), dtype=torch.float32, device=hidden_ND.device)
        losses_N[chosen_K] = losses_K
        rest_M = (eligible_BS & ~selected_BS).reshape(-1).nonzero().squeeze(1)
        losses_N[rest_M] = token_losses(hidden_ND.detach()[rest_M], head, targets_N[rest_M])
        return loss_sum, losses_N
