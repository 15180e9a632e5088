"""The selective loss: cross-entropy from hidden states, with gradients for selected tokens only (equations 4 and 5).

Logits exist for one chunk of rows at a time, in float32. Equivalent naive code::

    losses = F.cross_entropy((hidden @ weight.T).float(), targets, reduction="none")
    total = losses[selected].sum()

A row that is not selected never enters the backward pass, so its gradient at the loss is exactly zero.
Shapes: N rows (tokens), K selected rows, C rows of a chunk, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_ELEMENTS = 2**20
"""Logits of one chunk on a CPU: 4 MB of float32 stay near the core."""
_ELEMENTS_ACCELERATOR = 2**27


def chunk_rows(vocab_size: int, device: torch.device) -> int:
    """Return how many rows of logits are made at a time."""
    elements = _ELEMENTS if device.type == "cpu" else _ELEMENTS_ACCELERATOR
    return max(elements // vocab_size, 64)


def token_losses(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, rows: int | None = None) -> Tensor:
    """Return the loss of every row in nats, float32, shape (N,), without a graph."""
    losses_N = torch.empty(len(targets_N), dtype=torch.float32, device=hidden_ND.device)
    with torch.no_grad():
        for span in _chunks(len(targets_N), rows or chunk_rows(len(weight_VD), hidden_ND.device)):
            logits_CV = _logits(hidden_ND[span], weight_VD)
            losses_N[span] = _losses(logits_CV, targets_N[span])
    return losses_N


def token_losses_and_entropies(
    hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, rows: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return loss and entropy (both nats, float32, shape (N,)) of the distribution that predicts each row's target."""
    losses_N = torch.empty(len(targets_N), dtype=torch.float32, device=hidden_ND.device)
    entropies_N = torch.empty_like(losses_N)
    with torch.no_grad():
        for span in _chunks(len(targets_N), rows or chunk_rows(len(weight_VD), hidden_ND.device)):
            logits_CV = _logits(hidden_ND[span], weight_VD)
            # Shifted by the row's maximum, so that the weighted sum below stays accurate where logits are large.
            logits_CV -= logits_CV.amax(dim=1, keepdim=True)
            target_C = logits_CV.gather(1, targets_N[span].unsqueeze(1)).squeeze(1)
            weights_CV = logits_CV.exp()
            sums_C = weights_CV.sum(dim=1)
            log_sums_C = sums_C.log()
            losses_N[span] = log_sums_C - target_C
            entropies_N[span] = log_sums_C - (weights_CV * logits_CV.nan_to_num_(neginf=0.0)).sum(dim=1) / sums_C
    return losses_N, entropies_N


def summed_loss(
    hidden_KD: Tensor, weight_VD: Tensor, targets_K: Tensor, rows: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return the sum of the rows' losses (float32, differentiable) and the rows' losses (float32, (K,), no graph).

    Gradients for ``hidden_KD`` and ``weight_VD`` are made in the forward pass, chunk by chunk, while the logits exist.
    """
    total, losses_K = _SummedCrossEntropy.apply(
        hidden_KD, weight_VD, targets_K, rows or chunk_rows(len(weight_VD), hidden_KD.device)
    )
    return total, losses_K


def _chunks(num_rows: int, rows: int) -> Iterator[slice]:
    for start in range(0, num_rows, rows):
        yield slice(start, min(start + rows, num_rows))


def _logits(hidden_CD: Tensor, weight_VD: Tensor) -> Tensor:
    return torch.matmul(hidden_CD, weight_VD.to(hidden_CD.dtype).t()).float()


def _losses(logits_CV: Tensor, targets_C: Tensor) -> Tensor:
    target_C = logits_CV.gather(1, targets_C.unsqueeze(1)).squeeze(1)
    return torch.logsumexp(logits_CV, dim=1) - target_C


class _SummedCrossEntropy(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, hidden_KD: Tensor, weight_VD: Tensor, targets_K: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        losses_K = torch.empty(len(targets_K), dtype=torch.float32, device=hidden_KD.device)
        grad_hidden_KD = torch.empty_like(hidden_KD) if ctx.needs_input_grad[0] else None
        grad_weight_VD = torch.zeros_like(weight_VD, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        cast_weight_VD = weight_VD.to(hidden_KD.dtype)
        for span in _chunks(len(targets_K), rows):
            hidden_CD, targets_C1 = hidden_KD[span], targets_K[span].unsqueeze(1)
            logits_CV = torch.matmul(hidden_CD, cast_weight_VD.t()).float()
            norm_C1 = torch.logsumexp(logits_CV, dim=1, keepdim=True)
            losses_K[span] = (norm_C1 - logits_CV.gather(1, targets_C1)).squeeze(1)
            if grad_hidden_KD is None and grad_weight_VD is None:
                continue
            # The gradient of cross-entropy by the logits: softmax minus one-hot.
            grad_CV = logits_CV.sub_(norm_C1).exp_()
            grad_CV.scatter_add_(1, targets_C1, torch.full_like(norm_C1, -1.0))
            grad_CV = grad_CV.to(hidden_CD.dtype)
            if grad_hidden_KD is not None:
                torch.matmul(grad_CV, cast_weight_VD, out=grad_hidden_KD[span])
            if grad_weight_VD is not None:
                _add_product(grad_weight_VD, grad_CV, hidden_CD)
        ctx.save_for_backward(grad_hidden_KD, grad_weight_VD)
        ctx.weight_dtype = weight_VD.dtype
        ctx.mark_non_differentiable(losses_K)
        return losses_K.sum(), losses_K

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad_hidden_KD, grad_weight_VD = ctx.saved_tensors
        factor = grads[0]
        if grad_hidden_KD is not None:
            grad_hidden_KD = grad_hidden_KD * factor.to(grad_hidden_KD.dtype)
        if grad_weight_VD is not None:
            grad_weight_VD = (grad_weight_VD * factor).to(ctx.weight_dtype)
        return grad_hidden_KD, grad_weight_VD, None, None


def _add_product(grad_weight_VD: Tensor, grad_CV: Tensor, hidden_CD: Tensor) -> None:
    """Add ``grad.T @ hidden`` to the float32 sum."""
    if grad_CV.dtype == torch.float32:
        grad_weight_VD.addmm_(grad_CV.t(), hidden_CD)
    else:
        grad_weight_VD += torch.matmul(grad_CV.t(), hidden_CD)
