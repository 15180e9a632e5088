"""The selective loss on an accelerator: one product of the head for all rows, kept until the backward pass (eq. 4, 5).

At a ratio of 0.6 the head then costs 1 + 2 x 0.6 = 2.2 products of all rows, where CLM has 3 and
:mod:`rho1bench.selection.loss`, which keeps nothing, 1 + 3 x 0.6 = 2.8. The product has the precision of autocast;
ranking reads losses and entropies made of it, and only chosen rows are taken through the two products of the backward
pass. Nothing here waits for the device, and the head's weight is cast once.
Shapes: N rows (tokens), K chosen rows, C rows of a chunk, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from rho1bench.modeling.chunked_logits import OutputHead, product_dtype
from rho1bench.modeling.logit_kernels import Kernels, kernels
from rho1bench.selection.loss import measures_of_product

_SHARE_OF_MEMORY = 0.1
"""Of an accelerator's memory: what kept logits may take unless the recipe says otherwise."""
_SHARE_OF_GRADIENT, _MOST_GRADIENT = 0.25, 2**30
"""Of the bytes for kept logits, and in bytes: what the gradient of one chunk of rows may take."""


def default_bytes(device: torch.device) -> int:
    """Return the memory that kept logits may take on a device; 0 on a CPU, where keeping them gains nothing."""
    if device.type != "cuda":
        return 0
    return int(torch.cuda.get_device_properties(device).total_memory * _SHARE_OF_MEMORY)


def product_bytes(hidden_ND: Tensor, head: OutputHead) -> int:
    """Return the size of the product of all rows."""
    return len(hidden_ND) * len(head.weight_VD) * product_dtype(hidden_ND).itemsize


class KeptLogits:
    """The head's product of all rows, and what it tells of each.

    ``most_bytes`` bounds the gradient of one chunk. ``filter_below``: of a chunk of rows, vocabulary entries whose
    gradient is below this share of the largest row weight in every row are left out of the backward products.
    """

    def __init__(
        self,
        hidden_ND: Tensor,
        head: OutputHead,
        targets_N: Tensor,
        *,
        with_entropies: bool = False,
        most_bytes: int = _MOST_GRADIENT,
        filter_below: float | None = None,
        kernels_of: Kernels | None = None,
    ) -> None:
        self.head, self.targets_N = head, targets_N
        self.filter_below = filter_below
        dtype, vocab_size = product_dtype(hidden_ND), len(head.weight_VD)
        self.kernels = kernels_of or kernels(hidden_ND.device, vocab_size, dtype)
        with torch.no_grad(), torch.autocast(hidden_ND.device.type, enabled=False):
            self.hidden_ND = hidden_ND.detach().to(dtype)
            self.weight_VD = head.weight_VD.detach().to(dtype)
            self.product_NV = torch.mm(self.hidden_ND, self.weight_VD.t())
            self.measures = measures_of_product(self.product_NV, head, targets_N, with_entropies, self.kernels)
        most_gradient = int(min(most_bytes * _SHARE_OF_GRADIENT, _MOST_GRADIENT)) // dtype.itemsize
        self.chunk_rows = max(min(most_gradient, self.kernels.most_elements) // vocab_size, 1)

    def loss_sum(self, hidden_ND: Tensor, rows_K: Tensor, weights_K: Tensor) -> Tensor:
        """Return the weighted sum of the chosen rows' losses, float32, differentiable once.

        hidden_ND: the rows that the product was made of, with their graph. rows_K: numbers of rows, no one twice.
        weights_K: float32; a row of weight 0 adds nothing, to no gradient either.
        """
        total: Tensor = _KeptLoss.apply(  # type: ignore[no-untyped-call]
            hidden_ND, self.head.weight_VD, self.head.bias_V, self, rows_K, weights_K
        )
        return total

    def gradient(self, rows_C: Tensor, weights_C: Tensor) -> Tensor:
        """Return the gradient by the product of some rows, (C, V)."""
        lse_C, targets_C, head = self.measures.lse_N[rows_C], self.targets_N[rows_C], self.head
        return self.kernels.gradient(
            self.product_NV, rows_C, lse_C, targets_C, weights_C, head.bias_V, head.scale, head.softcap
        )


def first_rows(chosen_N: Tensor, most: int) -> Tensor:
    """Return the numbers of ``most`` rows, the chosen ones first and in their order; never waits for the device."""
    if most >= len(chosen_N):
        return torch.arange(len(chosen_N), device=chosen_N.device)
    return (~chosen_N).to(torch.uint8).argsort(stable=True)[:most]


class _KeptLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        kept: KeptLogits,
        rows_K: Tensor,
        weights_K: Tensor,
    ) -> Tensor:
        # Not through save_for_backward: backward gives the logits away as soon as it has read them.
        ctx.kept, ctx.rows_K, ctx.weights_K = kept, rows_K, weights_K
        ctx.dtypes = hidden_ND.dtype, weight_VD.dtype, None if bias_V is None else bias_V.dtype
        losses_K = kept.measures.losses_N[rows_K]
        return torch.where(weights_K != 0, losses_K * weights_K, 0.0).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        kept, ctx.kept = ctx.kept, None
        if kept is None:
            raise RuntimeError("the selective loss can go backward only once")
        with torch.autocast(kept.product_NV.device.type, enabled=False):
            sums = _Gradients(kept, ctx.needs_input_grad, grads[0])
            for rows_C, weights_C in _chunks(ctx.rows_K, ctx.weights_K, kept.chunk_rows):
                sums.add(rows_C, kept.gradient(rows_C, weights_C), weights_C)
        found = (sums.hidden_ND, sums.weight_VD, sums.bias_V)
        pairs = zip(found, ctx.dtypes, strict=True)
        return (*(None if grad is None else grad.to(dtype) for grad, dtype in pairs), None, None, None)


def _chunks(rows_K: Tensor, weights_K: Tensor, most: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield rows and weights in as few chunks as may be, about equally large."""
    if len(rows_K):
        count = -(-len(rows_K) // most)
        yield from zip(rows_K.tensor_split(count), weights_K.tensor_split(count), strict=True)


class _Gradients:
    """Gradients of ``factor`` times the loss for hidden states, weight and bias; None for one that nobody asks for.

    The factor goes to what the gradient by the logits is multiplied with and makes. That gradient itself is -1 in most
    rows' targets while a model learns, and a factor would round all of these the same way.
    """

    def __init__(self, kept: KeptLogits, wanted: tuple[bool, ...], factor: Tensor) -> None:
        self._kept, self._factor = kept, factor
        weight_VD, bias_V = kept.head.weight_VD, kept.head.bias_V
        self.hidden_ND = torch.zeros_like(kept.hidden_ND) if wanted[0] else None
        self.weight_VD = torch.zeros_like(weight_VD, dtype=torch.float32) if wanted[1] else None
        self.bias_V = torch.zeros_like(bias_V, dtype=torch.float32) if bias_V is not None and wanted[2] else None

    def add(self, rows_C: Tensor, grad_CV: Tensor, weights_C: Tensor) -> None:
        """Add what a chunk of rows gives, from the gradient by its products."""
        kept = self._kept
        if self.bias_V is not None:
            self.bias_V += grad_CV.sum(dim=0, dtype=torch.float32) * self._factor
        hidden_CD = self._scaled(kept.hidden_ND.index_select(0, rows_C))
        weight_VD = kept.weight_VD
        if kept.filter_below is not None:
            columns = _columns(grad_CV, weights_C, kept.filter_below)
            grad_CV, weight_VD = grad_CV.index_select(1, columns), weight_VD.index_select(0, columns)
        if self.hidden_ND is not None:
            self.hidden_ND.index_copy_(0, rows_C, self._scaled(torch.mm(grad_CV, weight_VD)))
        if self.weight_VD is not None and kept.filter_below is not None:
            self.weight_VD.index_add_(0, columns, torch.mm(grad_CV.t(), hidden_CD).float())
        elif self.weight_VD is not None:
            add_product(self.weight_VD, grad_CV.t(), hidden_CD)

    def _scaled(self, values: Tensor) -> Tensor:
        return (values.float() * self._factor).to(values.dtype)


def _columns(grad_CV: Tensor, weights_C: Tensor, below: float) -> Tensor:
    """Return the vocabulary entries that some row's gradient is worth; asks the device how many they are."""
    largest_V = grad_CV.abs().amax(dim=0)
    return (largest_V >= below * weights_C.abs().max()).nonzero().squeeze(1)


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add a matrix product to a float32 total, without rounding it to the factors' precision where that is possible."""
    if left.dtype == torch.float32:
        total.addmm_(left, right)
    elif adds_in_float32(left.device.type, left.dtype):
        torch.addmm(total, left, right, out_dtype=torch.float32, out=total)
    else:
        total += torch.mm(left, right)


@cache
def adds_in_float32(device_type: str, dtype: torch.dtype) -> bool:
    """Tell whether the device multiplies ``dtype`` into a float32 sum, which not every build of torch does."""
    total = torch.full((16, 16), 2.0**-10, device=device_type)
    ones = torch.ones(16, 16, device=device_type, dtype=dtype)
    try:
        torch.addmm(total, ones, ones, out_dtype=torch.float32, out=total)
    except (NotImplementedError, RuntimeError, TypeError):
        return False
    return bool((total == 16 + 2.0**-10).all())
