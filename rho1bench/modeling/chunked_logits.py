"""The output head of a causal language model, and its logits a chunk of rows at a time (paper section 2.2).

``logits = softcap * tanh(scale * (hidden @ weight.T + bias) / softcap)``, where a plain head is the weight alone.
Products are made in the precision of autocast, else of the hidden states; everything after them is float32.
Shapes: N rows (tokens), C rows of a chunk, R rows of a cache block, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

_CACHE_BLOCK = 2**20
"""Elements of the logits that a CPU takes through the softmax at once: 4 MB of float32 stay in its cache."""
_CHUNK = 2**24
"""Elements of the logits of one product on a CPU, where the vocabulary is large."""
_CHUNK_ACCELERATOR = 2**27
_ROWS = 512
"""Rows of one product on a CPU: with fewer, reading the weight takes longer than multiplying by it."""
_LEAST_ROWS = 64


@dataclass(frozen=True)
class OutputHead:
    """What turns hidden states into logits."""

    weight_VD: Tensor
    bias_V: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None


def as_head(head: OutputHead | Tensor) -> OutputHead:
    """Return the head; a bare weight is a plain one."""
    return head if isinstance(head, OutputHead) else OutputHead(head)


def chunk_rows(vocab_size: int, device: torch.device) -> int:
    """Return how many rows of logits are made at a time."""
    if device.type != "cpu":
        return max(_CHUNK_ACCELERATOR // vocab_size, _LEAST_ROWS)
    return max(_CACHE_BLOCK // vocab_size, min(_ROWS, _CHUNK // vocab_size), _LEAST_ROWS)


def product_dtype(hidden_ND: Tensor) -> torch.dtype:
    """Return the precision in which the head is multiplied: that of autocast, else of the hidden states."""
    kind = hidden_ND.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden_ND.dtype


class ChunkedLogits:
    """Logits of (N, D) hidden states, (C, V) at a time; each chunk overwrites the one before it."""

    def __init__(self, hidden_ND: Tensor, head: OutputHead, rows: int | None) -> None:
        self.head = head
        dtype = product_dtype(hidden_ND)
        self.hidden_ND = hidden_ND.to(dtype)
        self.weight_VD = head.weight_VD.to(dtype)
        self.num_rows, vocab_size = len(hidden_ND), len(head.weight_VD)
        self.rows = min(rows or chunk_rows(vocab_size, hidden_ND.device), max(self.num_rows, 1))
        block_rows = max(_CACHE_BLOCK // vocab_size, 1) if hidden_ND.device.type == "cpu" else self.rows
        self._cache_block_rows = min(block_rows, self.rows)
        self._logits_CV = torch.empty(self.rows, vocab_size, dtype=torch.float32, device=hidden_ND.device)
        self._product_CV = self._logits_CV if dtype == torch.float32 else torch.empty_like(self._logits_CV, dtype=dtype)
        self._scratch_RV: Tensor | None = None

    def spans(self) -> Iterator[slice]:
        """Yield the rows of each chunk."""
        for start in range(0, self.num_rows, self.rows):
            yield slice(start, min(start + self.rows, self.num_rows))

    def make(self, span: slice) -> Tensor:
        """Return the chunk's logits, float32 (C, V), which the caller may overwrite."""
        num = span.stop - span.start
        logits_CV, product_CV = self._logits_CV[:num], self._product_CV[:num]
        torch.mm(self.hidden_ND[span], self.weight_VD.t(), out=product_CV)
        if product_CV.dtype != torch.float32:
            logits_CV.copy_(product_CV)
        if self.head.bias_V is not None:
            logits_CV += self.head.bias_V
        if self.head.scale != 1.0:
            logits_CV *= self.head.scale
        if self.head.softcap is not None:
            logits_CV.div_(self.head.softcap).tanh_().mul_(self.head.softcap)
        return logits_CV

    def cast(self, grad_CV: Tensor) -> Tensor:
        """Return a chunk's gradient in the precision of the products; overwrites none but the last product."""
        return grad_CV if self._product_CV.dtype == torch.float32 else self._product_CV[: len(grad_CV)].copy_(grad_CV)

    def cache_blocks(self, logits_CV: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield a chunk in blocks that fit the cache: their rows, their logits (R, V) and as much scratch memory."""
        if self._scratch_RV is None:
            self._scratch_RV = torch.empty_like(self._logits_CV[: self._cache_block_rows])
        for start in range(0, len(logits_CV), self._cache_block_rows):
            piece = slice(start, min(start + self._cache_block_rows, len(logits_CV)))
            yield piece, logits_CV[piece], self._scratch_RV[: piece.stop - start]


def log_sum_exp(logits_RV: Tensor, scratch_RV: Tensor) -> Tensor:
    """Return the logarithm of each row's summed exponentials, (R, 1), as ``torch.logsumexp`` but in given memory."""
    largest_R1 = logits_RV.amax(dim=1, keepdim=True)
    largest_R1.masked_fill_(largest_R1.abs() == float("inf"), 0.0)
    torch.sub(logits_RV, largest_R1, out=scratch_RV).exp_()
    return scratch_RV.sum(dim=1, keepdim=True).log_().add_(largest_R1)
