"""The selective loss: cross-entropy from hidden states, with gradients for selected tokens only (equations 4 and 5).

On a CPU, and on accelerators whose memory does not hold the logits of all rows (:mod:`.kept_logits`), they exist for
one chunk of rows at a time, in float32. Equivalent naive code::

    losses = F.cross_entropy((hidden @ weight.T).float(), targets, reduction="none")
    total = (row_weights * losses)[selected].sum()

:func:`token_measures` gives every token's loss for the ranking, and what :func:`summed_loss` need not make again for
the selected rows. A row that is not selected never enters the backward pass, so its gradient at the loss is exactly
zero. Row weights are numbers without a gradient; without them every row counts once.
Shapes: N rows (tokens), K selected rows, C rows of a chunk, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rho1bench.modeling.chunked_logits import ChunkedLogits, OutputHead, as_head, chunk_rows, log_sum_exp, product_dtype
from rho1bench.modeling.logit_kernels import Kernels, kernels


@dataclass(frozen=True)
class TokenMeasures:
    """What one pass over the logits tells of every row: float32, shape (N,), without a graph."""

    losses_N: Tensor
    """Nats."""
    lse_N: Tensor
    """Logarithm of the row's summed exponentials."""
    entropies_N: Tensor | None = None
    """Nats, of the distribution that predicts the row's target; None where nobody asked."""


def token_losses(hidden_ND: Tensor, head: OutputHead | Tensor, targets_N: Tensor, rows: int | None = None) -> Tensor:
    """Return the loss of every row in nats, float32, shape (N,), without a graph."""
    return token_measures(hidden_ND, head, targets_N, rows).losses_N


def token_measures(
    hidden_ND: Tensor,
    head: OutputHead | Tensor,
    targets_N: Tensor,
    rows: int | None = None,
    *,
    with_entropies: bool = False,
) -> TokenMeasures:
    """Return every row's loss and log-sum-exp, and its entropy ``with_entropies``; losses are the same either way."""
    if hidden_ND.device.type != "cpu":
        return _measures_in_chunks(hidden_ND, as_head(head), targets_N, rows, with_entropies)
    losses_N = torch.empty(len(targets_N), dtype=torch.float32, device=hidden_ND.device)
    lse_N = torch.empty_like(losses_N)
    entropies_N = torch.empty_like(losses_N) if with_entropies else None
    with torch.no_grad():
        chunks = ChunkedLogits(hidden_ND, as_head(head), rows)
        for span in chunks.spans():
            logits_CV = chunks.make(span)
            lse_C1 = lse_N[span].unsqueeze(1)
            _write_lse(chunks, logits_CV, lse_C1)
            losses_N[span] = (lse_C1 - logits_CV.gather(1, targets_N[span].unsqueeze(1))).squeeze(1)
            if entropies_N is not None:
                for piece, logits_RV, scratch_RV in chunks.cache_blocks(logits_CV):
                    logits_RV -= logits_RV.amax(dim=1, keepdim=True)
                    entropies_N[span][piece] = _log_sums_and_entropies(logits_RV, scratch_RV)[1]
    return TokenMeasures(losses_N, lse_N, entropies_N)


def token_losses_and_entropies(
    hidden_ND: Tensor, head: OutputHead | Tensor, targets_N: Tensor, rows: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return loss and entropy (both nats, float32, shape (N,)) of the distribution that predicts each row's target."""
    if hidden_ND.device.type != "cpu":
        found = token_measures(hidden_ND, head, targets_N, rows, with_entropies=True)
        assert found.entropies_N is not None
        return found.losses_N, found.entropies_N
    losses_N = torch.empty(len(targets_N), dtype=torch.float32, device=hidden_ND.device)
    entropies_N = torch.empty_like(losses_N)
    with torch.no_grad():
        chunks = ChunkedLogits(hidden_ND, as_head(head), rows)
        for span in chunks.spans():
            logits_CV = chunks.make(span)
            targets_C1 = targets_N[span].unsqueeze(1)
            for piece, logits_RV, weights_RV in chunks.cache_blocks(logits_CV):
                logits_RV -= logits_RV.amax(dim=1, keepdim=True)
                target_R = logits_RV.gather(1, targets_C1[piece]).squeeze(1)
                log_sums_R, entropies_N[span][piece] = _log_sums_and_entropies(logits_RV, weights_RV)
                losses_N[span][piece] = log_sums_R - target_R
    return losses_N, entropies_N


def measures_of_product(
    product_NV: Tensor, head: OutputHead, targets_N: Tensor, with_entropies: bool, kernels_of: Kernels
) -> TokenMeasures:
    """Return what a product of the head tells of its rows; nothing here waits for the device."""
    rows = max(kernels_of.most_elements // product_NV.shape[1], 1)
    found = [
        kernels_of.measure(product_CV, targets_C, head.bias_V, head.scale, head.softcap, with_entropies)
        for product_CV, targets_C in zip(product_NV.split(rows), targets_N.split(rows), strict=True)
    ]
    if len(found) == 1:
        return TokenMeasures(*found[0])
    losses, lse, entropies = zip(*found, strict=True)
    return TokenMeasures(torch.cat(losses), torch.cat(lse), torch.cat(entropies) if with_entropies else None)


def _measures_in_chunks(
    hidden_ND: Tensor, head: OutputHead, targets_N: Tensor, rows: int | None, with_entropies: bool
) -> TokenMeasures:
    """Return what :func:`token_measures` does, of one product at a time and with fused kernels where there are any."""
    device, dtype, vocab_size = hidden_ND.device, product_dtype(hidden_ND), len(head.weight_VD)
    rows, kernels_of = rows or chunk_rows(vocab_size, device), kernels(device, vocab_size, dtype)
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        weight_DV = head.weight_VD.to(dtype).t()
        found = [
            measures_of_product(torch.mm(hidden_CD.to(dtype), weight_DV), head, targets_C, with_entropies, kernels_of)
            for hidden_CD, targets_C in zip(hidden_ND.split(rows), targets_N.split(rows), strict=True)
        ]
    entropies = [one.entropies_N for one in found if one.entropies_N is not None]
    return TokenMeasures(
        torch.cat([one.losses_N for one in found]),
        torch.cat([one.lse_N for one in found]),
        torch.cat(entropies) if with_entropies else None,
    )


def _log_sums_and_entropies(shifted_RV: Tensor, weights_RV: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-sum-exps and entropies, (R,), of logits less each row's maximum; overwrites the scratch memory.

    Shifted, so that the weighted sum stays accurate where logits are large.
    """
    torch.exp(shifted_RV, out=weights_RV)
    sums_R = weights_RV.sum(dim=1)
    log_sums_R = sums_R.log()
    weighted_R = weights_RV.mul_(shifted_RV).sum(dim=1)
    if weighted_R.isnan().any():  # a logit of minus infinity: its weight is 0, and so is its share
        weighted_R = weights_RV.nan_to_num_(nan=0.0).sum(dim=1)
    return log_sums_R, log_sums_R - weighted_R / sums_R


def summed_loss(
    hidden_KD: Tensor,
    head: OutputHead | Tensor,
    targets_K: Tensor,
    rows: int | None = None,
    lse_K: Tensor | None = None,
    row_weights_K: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the sum of the rows' losses (float32, differentiable) and the rows' losses (float32, (K,), no graph).

    Gradients for the hidden states, the head's weight and its bias are made in the forward pass, chunk by chunk, while
    the logits exist; they can go backward once. ``lse_K``: the rows' log-sum-exps, if :func:`token_measures` has made
    them. ``row_weights_K``: what each loss counts in the sum, float32.
    """
    head = as_head(head)
    total, losses_K = _SummedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_KD, head.weight_VD, head.bias_V, targets_K, lse_K, row_weights_K, head.scale, head.softcap, rows
    )
    return total, losses_K


def _write_lse(chunks: ChunkedLogits, logits_CV: Tensor, lse_C1: Tensor) -> None:
    for piece, logits_RV, scratch_RV in chunks.cache_blocks(logits_CV):
        lse_C1[piece] = log_sum_exp(logits_RV, scratch_RV)


class _SummedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_KD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        targets_K: Tensor,
        known_lse_K: Tensor | None,
        row_weights_K: Tensor | None,
        scale: float,
        softcap: float | None,
        rows: int | None,
    ) -> tuple[Tensor, Tensor]:
        chunks = ChunkedLogits(hidden_KD, OutputHead(weight_VD, bias_V, scale, softcap), rows)
        losses_K = torch.empty(len(targets_K), dtype=torch.float32, device=hidden_KD.device)
        lse_K = torch.empty_like(losses_K) if known_lse_K is None else known_lse_K
        gradients = _Gradients(ctx.needs_input_grad, hidden_KD, weight_VD, bias_V)
        for span in chunks.spans():
            logits_CV, targets_C1 = chunks.make(span), targets_K[span].unsqueeze(1)
            lse_C1 = lse_K[span].unsqueeze(1)
            if known_lse_K is None:
                _write_lse(chunks, logits_CV, lse_C1)
            losses_K[span] = (lse_C1 - logits_CV.gather(1, targets_C1)).squeeze(1)
            if gradients.wanted:
                weights_C1 = None if row_weights_K is None else row_weights_K[span].unsqueeze(1)
                _to_gradient(chunks, logits_CV, lse_C1, targets_C1, weights_C1)
                gradients.add(chunks, span, logits_CV)
        # Not through save_for_backward: backward gives these tensors away, so that nothing is copied.
        ctx.gradients = gradients
        ctx.mark_non_differentiable(losses_K)
        counted_K = losses_K if row_weights_K is None else losses_K * row_weights_K
        return counted_K.sum(), losses_K

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("the selective loss can go backward only once")
        return (*gradients.scaled(grads[0]), None, None, None, None, None, None)


class _Gradients:
    """Gradients of the summed loss for hidden states, weight and bias; None for one that nobody asks for."""

    def __init__(self, wanted: Sequence[bool], hidden_KD: Tensor, weight_VD: Tensor, bias_V: Tensor | None) -> None:
        self.hidden_KD = torch.empty_like(hidden_KD) if wanted[0] else None
        self.weight_VD = torch.zeros_like(weight_VD, dtype=torch.float32) if wanted[1] else None
        self.bias_V = torch.zeros_like(bias_V, dtype=torch.float32) if bias_V is not None and wanted[2] else None
        self.wanted = any(wanted[:3])
        self._dtypes = (weight_VD.dtype, None if bias_V is None else bias_V.dtype)

    def add(self, chunks: ChunkedLogits, span: slice, grad_CV: Tensor) -> None:
        """Add what a chunk gives, from the gradient by its products."""
        if self.bias_V is not None:
            self.bias_V += grad_CV.sum(dim=0)
        grad_CV = chunks.cast(grad_CV)
        if self.hidden_KD is not None and self.hidden_KD.dtype == grad_CV.dtype:
            torch.mm(grad_CV, chunks.weight_VD, out=self.hidden_KD[span])
        elif self.hidden_KD is not None:
            self.hidden_KD[span] = torch.mm(grad_CV, chunks.weight_VD)
        if self.weight_VD is not None and grad_CV.dtype == torch.float32:
            self.weight_VD.addmm_(grad_CV.t(), chunks.hidden_ND[span])
        elif self.weight_VD is not None:
            self.weight_VD += torch.mm(grad_CV.t(), chunks.hidden_ND[span])

    def scaled(self, factor: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return the gradients of ``factor`` times the loss, in the precision of what they belong to."""
        weight_dtype, bias_dtype = self._dtypes
        hidden_KD = None if self.hidden_KD is None else self.hidden_KD.mul_(factor.to(self.hidden_KD.dtype))
        weight_VD = None if self.weight_VD is None else self.weight_VD.mul_(factor).to(weight_dtype)
        bias_V = None if self.bias_V is None else self.bias_V.mul_(factor).to(bias_dtype)
        self.hidden_KD = self.weight_VD = self.bias_V = None
        return hidden_KD, weight_VD, bias_V


def _to_gradient(
    chunks: ChunkedLogits, logits_CV: Tensor, lse_C1: Tensor, targets_C1: Tensor, row_weights_C1: Tensor | None
) -> None:
    """Replace logits by the gradient of their weighted cross-entropy by the head's products.

    That is softmax minus one-hot, chained, times each row's weight.
    """
    head = chunks.head
    for piece, logits_RV, slopes_RV in chunks.cache_blocks(logits_CV):
        if head.softcap is not None:  # tanh' = 1 - tanh**2
            torch.div(logits_RV, head.softcap, out=slopes_RV).square_().neg_().add_(1.0)
        logits_RV.sub_(lse_C1[piece]).exp_()
        logits_RV.scatter_add_(1, targets_C1[piece], torch.full_like(lse_C1[piece], -1.0))
        if head.softcap is not None:
            logits_RV *= slopes_RV
        if head.scale != 1.0:
            logits_RV *= head.scale
        if row_weights_C1 is not None:
            logits_RV *= row_weights_C1[piece]
