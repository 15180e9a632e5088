"""A reference model in this process: loss and entropy of every token of a packed corpus (section 2.2, step 2).

Shapes: B blocks, T positions, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from rho1bench.corpus.masking import position_ids
from rho1bench.corpus.packed_corpus import Array, PackedCorpus
from rho1bench.errors import CheckpointError
from rho1bench.modeling.build import check_tokenizer
from rho1bench.modeling.causal_lm import (
    check_document_masking,
    context_length,
    hidden_states,
    load_model,
    output_head,
    size_of_model,
    vocabulary_size,
    weights_sha256,
)
from rho1bench.modeling.sliding_window import drop_covering_window
from rho1bench.selection.loss import token_losses_and_entropies
from rho1bench.sizing.flops import ModelSize, Work, flops_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ONE_VOCABULARY = (
    "A reference must have the corpus's vocabulary: pack the corpus with the reference's tokenizer. If the two differ "
    "in form alone, name the corpus's one with --tokenizer."
)
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


class LocalReference:
    """A checkpoint that scores ``corpus`` on ``device``.

    ``name`` is what the store calls it. ``tokenizer`` is the folder of the corpus's tokenizer, if known. Raises
    CheckpointError for a checkpoint that is none, has another vocabulary or reads too short a text.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        corpus: PackedCorpus,
        *,
        precision: str,
        batch_size: int,
        device: torch.device,
        tokenizer: Path | None = None,
    ) -> None:
        self._folder = folder
        self._batch_size = batch_size
        check_tokenizer(folder, corpus.tokenizer_sha256, tokenizer, f"the corpus in {corpus.folder}", _ONE_VOCABULARY)
        self.identity: dict[str, Any] = {
            "reference": name,
            "reference_sha256": weights_sha256(folder),
            "precision": precision,
            "has_entropy": True,
        }
        model = load_model(folder, DTYPES[precision]).eval()
        check_fits(folder, model, corpus)
        if corpus.document_ids is not None:
            check_document_masking(model, name)
        drop_covering_window(model, corpus.block_size)
        self._model = nn.Module.to(model, device)

    def scores(self, corpus: PackedCorpus, first: int, last: int, report: Callable[[int], None]) -> Array:
        """Return the scores of blocks ``first`` to ``last``: float16 nats, shape (blocks, T, 2); position 0 is NaN.

        ``report`` hears how many of them are done. Raises CheckpointError if a loss is not finite.
        """
        return score_span(self._model, corpus, first, last, self._batch_size, report, str(self._folder))

    def flops(self, corpus: PackedCorpus) -> float:
        """Return the operations of scoring the whole corpus."""
        return scoring_flops(size_of_model(self._model), len(corpus), corpus.block_size)


def scoring_flops(size: ModelSize, num_blocks: int, block_size: int) -> float:
    """Return the operations of scoring blocks: a forward pass, with logits at every position but each block's last."""
    work = Work(forward_tokens=num_blocks * block_size, forward_rows=num_blocks * (block_size - 1))
    return flops_of(size, block_size, work)


def score_span(
    model: PreTrainedModel,
    corpus: PackedCorpus,
    first: int,
    last: int,
    batch_size: int,
    report: Callable[[int], None],
    name: str = "the reference",
) -> Array:
    """Return the scores of blocks ``first`` to ``last`` as :meth:`LocalReference.scores` does."""
    scores = np.full((last - first, corpus.block_size, 2), np.nan, dtype=np.float16)
    for start in range(first, last, batch_size):
        stop = min(start + batch_size, last)
        blocks_BT = _to_device(corpus.blocks.rows(start, stop).astype(np.int64), model.device)
        positions_BT = masked_positions(corpus, start, stop, model.device)
        scores_BT2 = score_blocks(model, blocks_BT, positions_BT)
        if not torch.isfinite(scores_BT2).all():
            raise CheckpointError(
                f"{name}: gives a non-finite loss or entropy in blocks {start} to {stop - 1}. Train it again, or score "
                "in fp32 (--precision, precision:) if this was bf16."
            )
        scores[start - first : stop - first, 1:] = scores_BT2.half().cpu().numpy()
        report(stop - first)
    return scores


def _to_device(array: Array, device: torch.device) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def masked_positions(corpus: PackedCorpus, start: int, stop: int, device: torch.device) -> torch.Tensor | None:
    """Return the position_ids (B, T) that mask documents in blocks ``start`` to ``stop``; None without masking."""
    if corpus.document_ids is None:
        return None
    return _to_device(position_ids(corpus.document_ids.rows(start, stop)), device)


def score_blocks(
    model: PreTrainedModel, blocks_BT: torch.Tensor, positions_BT: torch.Tensor | None = None
) -> torch.Tensor:
    """Return loss and entropy of positions 1 to T-1 of each block: float32 nats, shape (B, T-1, 2).

    ``positions_BT`` are given where documents of a block do not see each other (``corpus.masking``).
    """
    with torch.inference_mode():
        hidden_BTD = hidden_states(model, blocks_BT, positions_BT)
        hidden_ND = hidden_BTD[:, :-1].reshape(-1, hidden_BTD.shape[-1])
        targets_N = blocks_BT[:, 1:].reshape(-1)
        losses_N, entropies_N = token_losses_and_entropies(hidden_ND, output_head(model), targets_N)
        return torch.stack([losses_N, entropies_N], dim=1).view(len(blocks_BT), -1, 2)


def check_fits(folder: Path, model: PreTrainedModel, corpus: PackedCorpus) -> None:
    """Raise CheckpointError for a model that reads too short a text for the corpus's blocks, or too few token ids."""
    longest, known = context_length(model) or corpus.block_size, vocabulary_size(model)
    largest = int(corpus.meta.get("vocab_size", 0))
    if longest < corpus.block_size or known < largest:
        raise CheckpointError(
            f"{folder}: reads at most {longest} tokens of a vocabulary of {known}, but the "
            f"corpus has blocks of {corpus.block_size} tokens of a vocabulary of {largest}."
        )
