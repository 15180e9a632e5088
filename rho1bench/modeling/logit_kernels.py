"""What is read off a product of the output head, row by row: losses and entropies, and their gradient (section 2.2).

The product stays in the precision that it was multiplied in; everything made of it is float32, and nothing of its size
but the gradient is kept. :func:`kernels` gives the two functions fused by torch.compile where that works on the device,
so that each reads the product from memory and writes its result; else as they stand here.
Shapes: N rows of the product, C rows of a call, V vocabulary.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from rho1bench.modeling.compile_cache import keep_compiled

_log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


class RowMeasures(NamedTuple):
    """What a row of logits tells; float32, (C,) each."""

    losses_C: Tensor
    """Nats."""
    lse_C: Tensor
    """Logarithm of the row's summed exponentials."""
    entropies_C: Tensor | None
    """Nats; None where nobody asked."""


def row_measures(
    product_CV: Tensor,
    targets_C: Tensor,
    bias_V: Tensor | None = None,
    scale: float = 1.0,
    softcap: float | None = None,
    with_entropies: bool = False,
) -> RowMeasures:
    """Return what the rows of a product tell of their targets; bias, scale and soft cap as an ``OutputHead`` has."""
    logits_CV = _logits(product_CV, bias_V, scale, softcap)
    lse_C = torch.logsumexp(logits_CV, dim=1)
    losses_C = lse_C - logits_CV.gather(1, targets_C.unsqueeze(1)).squeeze(1)
    if not with_entropies:
        return RowMeasures(losses_C, lse_C, None)
    log_probs_CV = logits_CV - lse_C.unsqueeze(1)
    probs_CV = log_probs_CV.exp()
    # A logit of minus infinity has the probability 0, and adds nothing.
    entropies_C = -torch.where(probs_CV > 0, probs_CV * log_probs_CV, 0.0).sum(dim=1)
    return RowMeasures(losses_C, lse_C, entropies_C)


def row_gradients(
    product_NV: Tensor,
    rows_C: Tensor,
    lse_C: Tensor,
    targets_C: Tensor,
    weights_C: Tensor,
    bias_V: Tensor | None = None,
    scale: float = 1.0,
    softcap: float | None = None,
) -> Tensor:
    """Return the gradient of ``sum(weights * losses)`` by the chosen rows of the product, (C, V), in its precision.

    A row of weight 0 has a gradient of exactly zero, whatever its logits are.
    """
    logits_CV = _logits(product_NV.index_select(0, rows_C), bias_V, scale, softcap)
    is_target_CV = torch.arange(logits_CV.shape[1], device=rows_C.device) == targets_C.unsqueeze(1)
    grad_CV = (logits_CV - lse_C.unsqueeze(1)).exp() - is_target_CV.float()
    if softcap is not None:  # tanh' = 1 - tanh**2
        grad_CV = grad_CV * (1.0 - (logits_CV / softcap).square())
    weights_C1 = (weights_C * scale).unsqueeze(1)
    return torch.where(weights_C1 != 0, grad_CV * weights_C1, 0.0).to(product_NV.dtype)


def _logits(product_CV: Tensor, bias_V: Tensor | None, scale: float, softcap: float | None) -> Tensor:
    logits_CV = product_CV.float()
    if bias_V is not None:
        logits_CV = logits_CV + bias_V
    if scale != 1.0:
        logits_CV = logits_CV * scale
    return logits_CV if softcap is None else torch.tanh(logits_CV / softcap) * softcap


@dataclass(frozen=True)
class Kernels:
    """:func:`row_measures` and :func:`row_gradients`, as they are or fused."""

    measure: Callable[..., RowMeasures]
    gradient: Callable[..., Tensor]
    is_fused: bool

    @property
    def most_elements(self) -> int:
        """Elements of a product that one call takes: unfused, several float32 tensors of its size exist meanwhile."""
        return 2**30 if self.is_fused else 2**25


PLAIN = Kernels(row_measures, row_gradients, is_fused=False)


def kernels(device: torch.device, vocab_size: int, dtype: torch.dtype) -> Kernels:
    """Return the functions for products on a device: fused where that works on an accelerator, plain on a CPU."""
    return PLAIN if device.type == "cpu" else fused_kernels(device.type, vocab_size, dtype) or PLAIN


@cache
def fused_kernels(device_type: str, vocab_size: int, dtype: torch.dtype) -> Kernels | None:
    """Return the functions fused by torch.compile; None, with a word in the log, where it fails or is wrong."""
    keep_compiled()
    found = Kernels(_compiled(row_measures), _compiled(row_gradients), is_fused=True)
    try:
        if _agrees(found, torch.device(device_type), vocab_size, dtype):
            return found
        reason = "its results differ from the plain ones"
    except Exception as error:  # compilers fail in many ways, and training can do without
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
    _log.warning("torch.compile cannot fuse the selective loss on %s (%s); it runs unfused.", device_type, reason)
    return None


def _compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function compiled once for any number of rows, with the vocabulary as a constant."""
    fused = torch.compile(function)

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        for value in args:
            if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
                torch._dynamo.maybe_mark_dynamic(value, 0)
                if value.dim() > 1:
                    torch._dynamo.mark_static(value, 1)
        return fused(*args, **kwargs)

    return call


def _agrees(found: Kernels, device: torch.device, vocab_size: int, dtype: torch.dtype) -> bool:
    """Tell whether the fused functions give what the plain ones do, on a product of five rows."""
    with torch.no_grad():
        product_NV = ((torch.arange(5 * vocab_size, device=device).view(5, -1) * 0.37).sin() * 4).to(dtype)
        targets_N, rows_C = torch.arange(5, device=device) * 7 % vocab_size, torch.tensor([4, 0, 2], device=device)
        ours, plain = (measure(product_NV, targets_N, None, 1.0) for measure in (found.measure, row_measures))
        given = (product_NV, rows_C, plain.lse_C[rows_C], targets_N[rows_C], rows_C.float(), None, 1.0)
        grads = found.gradient(*given), row_gradients(*given)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-2
    return torch.allclose(ours.losses_C, plain.losses_C, rtol=1e-4, atol=1e-4) and torch.allclose(
        *grads, rtol=tolerance, atol=1e-6
    )
