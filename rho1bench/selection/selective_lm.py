"""A causal language model with the selective loss, as one module: DDP and FSDP see an ordinary forward (section 2.2).

All tokens stay in the context; only the loss of unselected ones is dropped. One pass over the hidden states gives every
token's loss for the ranking, and only selected rows go on to the backward pass; on an accelerator their logits are kept
for it where memory allows. Plain CLM is the case in which every
token is selected, so it takes the same path.
Shapes: B blocks, T positions, S = T - 1 predicted positions, N = B * S, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rho1bench.modeling.causal_lm import check_head, hidden_states, output_head
from rho1bench.recipe.models.rule_specs import ENTROPIES, LOSSES
from rho1bench.selection.kept_logits import KeptLogits, default_bytes, first_rows, product_bytes
from rho1bench.selection.loss import TokenMeasures, summed_loss, token_losses, token_measures
from rho1bench.selection.selector import Selector, TokenInputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from rho1bench.recipe import TrainStage


def selective_lm(lm: PreTrainedModel, selector: Selector, stage: TrainStage) -> SelectiveLM:
    """Return a stage's model with its selective loss, as its settings say."""
    gib = stage.kept_logits_gib
    return SelectiveLM(lm, selector, None if gib is None else int(gib * 2**30), stage.gradient_filter)


class SelectiveLM(nn.Module):
    """Wraps ``lm``; ``forward`` gives the summed loss of the selected tokens and the losses of all.

    ``kept_bytes``: the logits of a micro-batch are kept for its backward pass if they take no more; None: as much as
    the device has for them. ``gradient_filter``: see ``kept_logits.KeptLogits``.

    The first forward pass raises CheckpointError for a model whose logits the selective loss cannot make: there the
    weights are whole, on their device and in the precision of training.
    """

    accepts_loss_kwargs = False

    def __init__(
        self,
        lm: PreTrainedModel,
        selector: Selector,
        kept_bytes: int | None = None,
        gradient_filter: float | None = None,
    ) -> None:
        super().__init__()
        self.lm = lm
        self.selector = selector
        self.kept_bytes = kept_bytes
        self.gradient_filter = gradient_filter
        self._checks: list[Callable[[PreTrainedModel], None]] = [check_head]

    def check_first(self, check: Callable[[PreTrainedModel], None]) -> None:
        """Have ``check`` look at the model in the first forward pass too."""
        self._checks.append(check)

    def forward(
        self,
        input_ids: Tensor,
        inputs: TokenInputs,
        position_ids: Tensor | None = None,
        selected: Tensor | None = None,
        weights: Tensor | None = None,
        num_selected: int | None = None,
        score_only: bool = False,
    ) -> dict[str, Tensor]:
        """Return ``loss_sum`` (differentiable), ``losses`` (B, S), ``selected`` (B, S); ``scores`` if ranked here.

        Of a rule that gives weights also ``weights`` (B, S), which multiply the losses of ``loss_sum``. And
        ``forward_rows``: how many rows had logits made that no gradient goes through.

        input_ids: (B, T). inputs: what is known of the tokens before, ``eligible`` among it, (B, S) each.
        position_ids: (B, T), which begin anew with every document, mask documents (``corpus.masking``). ``selected``
        given, with ``weights`` if the rule gives them and ``num_selected`` if it is known: no ranking here.
        ``score_only``: ``scores`` (B, S) alone.
        """
        self._look_at_the_model()
        hidden_BTD = hidden_states(self.lm, input_ids, position_ids)
        hidden_ND = hidden_BTD[:, :-1].reshape(-1, hidden_BTD.shape[-1])
        targets_N = input_ids[:, 1:].reshape(-1)
        outputs: dict[str, Tensor] = {}
        eligible = inputs["eligible"]
        if selected is None and self.selector.is_full:
            selected, num_selected = eligible, eligible.numel()
        ranks = selected is None
        kept = None if score_only else self._kept(hidden_ND, targets_N, with_entropies=ranks)
        known: TokenMeasures | None = None if kept is None else kept.measures
        if selected is None:
            if known is None and self.selector.needs_losses:
                known = self._measures(hidden_ND, targets_N)
            scores = self.selector.scores({**inputs, **_current(known, eligible)})
            if score_only:
                return {"scores": scores}
            selected = self.selector.select(scores, inputs)
            weights = scores if self.selector.gives_weights else None
            num_selected = self.selector.most_selected(eligible)
            outputs["scores"] = scores
        if weights is not None:
            outputs["weights"] = weights
        is_made_again = kept is None and known is not None
        outputs["forward_rows"] = (eligible if is_made_again else eligible & ~selected).sum()
        if kept is not None:
            loss_sum, losses_N = _loss_of_kept(kept, hidden_ND, selected, weights, num_selected)
        else:
            loss_sum, losses_N = self._loss(hidden_ND, targets_N, selected, weights, eligible, known)
        return {**outputs, "loss_sum": loss_sum, "losses": losses_N.view(eligible.shape), "selected": selected}

    def _look_at_the_model(self) -> None:
        """Carry out the checks, once, outside of what is compiled where this very forward pass is."""
        checks, self._checks = self._checks, []
        if checks:
            torch.compiler.disable(self._carry_out)(checks)

    def _carry_out(self, checks: Iterable[Callable[[PreTrainedModel], None]]) -> None:
        with torch.compiler.set_stance("force_eager"):  # no layer is compiled for their few tokens
            for check in checks:
                check(self.lm)

    def _measures(self, hidden_ND: Tensor, targets_N: Tensor) -> TokenMeasures:
        with_entropies = self.selector.needs_entropies
        return token_measures(hidden_ND.detach(), output_head(self.lm), targets_N, with_entropies=with_entropies)

    def _kept(self, hidden_ND: Tensor, targets_N: Tensor, with_entropies: bool) -> KeptLogits | None:
        """Return the logits of all rows, if memory may hold them."""
        most_bytes = default_bytes(hidden_ND.device) if self.kept_bytes is None else self.kept_bytes
        head = output_head(self.lm)
        if most_bytes == 0 or product_bytes(hidden_ND, head) > most_bytes:
            return None
        return KeptLogits(
            hidden_ND,
            head,
            targets_N,
            with_entropies=with_entropies and self.selector.needs_entropies,
            most_bytes=most_bytes,
            filter_below=self.gradient_filter,
        )

    def _loss(
        self,
        hidden_ND: Tensor,
        targets_N: Tensor,
        selected_BS: Tensor,
        weights_BS: Tensor | None,
        eligible_BS: Tensor,
        known: TokenMeasures | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the summed loss of the selected rows and every eligible row's loss."""
        head = output_head(self.lm)
        chosen_K = selected_BS.reshape(-1).nonzero().squeeze(1)
        hidden_KD = hidden_ND if len(chosen_K) == len(targets_N) else hidden_ND.index_select(0, chosen_K)
        lse_K = None if known is None else known.lse_N[chosen_K]
        weights_K = None if weights_BS is None else weights_BS.reshape(-1)[chosen_K]
        loss_sum, losses_K = summed_loss(hidden_KD, head, targets_N[chosen_K], lse_K=lse_K, row_weights_K=weights_K)
        if known is not None:
            return loss_sum, known.losses_N
        losses_N = torch.zeros(len(targets_N), dtype=torch.float32, device=hidden_ND.device)
        losses_N[chosen_K] = losses_K
        rest_M = (eligible_BS & ~selected_BS).reshape(-1).nonzero().squeeze(1)
        losses_N[rest_M] = token_losses(hidden_ND.detach()[rest_M], head, targets_N[rest_M])
        return loss_sum, losses_N


def _loss_of_kept(
    kept: KeptLogits, hidden_ND: Tensor, selected_BS: Tensor, weights_BS: Tensor | None, num_selected: int | None
) -> tuple[Tensor, Tensor]:
    """Return the summed loss of the selected rows and every row's loss; at most ``num_selected`` are selected.

    Where nobody knows how many they are, the device is asked.
    """
    selected_N = selected_BS.reshape(-1)
    rows_K = first_rows(selected_N, int(selected_N.sum()) if num_selected is None else num_selected)
    weights_N = selected_N.float() if weights_BS is None else weights_BS.reshape(-1) * selected_N
    return kept.loss_sum(hidden_ND, rows_K, weights_N[rows_K]), kept.measures.losses_N


def _current(known: TokenMeasures | None, eligible_BS: Tensor) -> dict[str, Tensor]:
    """Return what a pass over the logits tells as inputs of rules."""
    if known is None:
        return {}
    found = {LOSSES: known.losses_N.view(eligible_BS.shape)}
    return found if known.entropies_N is None else found | {ENTROPIES: known.entropies_N.view(eligible_BS.shape)}
