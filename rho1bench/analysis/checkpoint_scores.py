"""What a checkpoint says of every token of some blocks: loss and entropy, the numbers that all analyses start from.

Shapes: N blocks, B of them in a forward pass, T positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rho1bench.corpus.masking import position_ids
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.errors import CheckpointError
from rho1bench.modeling.build import check_tokenizer
from rho1bench.modeling.causal_lm import check_document_masking, load_model
from rho1bench.selection.local_reference import DTYPES, check_fits, score_blocks

Scores = npt.NDArray[np.float32]
"""Loss and entropy in nats, (N, T, 2); NaN at position 0, which nothing predicts."""
LOSS, ENTROPY = 0, 1


def evenly_spread(num_blocks: int, wanted: int) -> list[int]:
    """Return ``wanted`` of ``num_blocks`` block numbers, evenly spread and ascending; all where there are no more."""
    return [int(block) for block in np.linspace(0, num_blocks - 1, min(max(wanted, 1), num_blocks)).round()]


def checkpoint_scores(
    checkpoint: Path,
    corpus: PackedCorpus,
    blocks: Sequence[int],
    *,
    batch_size: int = 32,
    precision: str = "fp32",
    tokenizer: Path | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> Scores:
    """Return what ``checkpoint`` (a folder with weights and tokenizer) says of ``blocks`` of ``corpus``.

    ``tokenizer`` is the folder of the corpus's own, where the checkpoint's may differ from it in form. ``report`` hears
    how many blocks are done. Raises CheckpointError for a checkpoint with another tokenizer, one that reads too short a
    text, one that cannot keep the documents of a masked corpus apart, or a loss that is not finite.
    """
    advice = "Only checkpoints with the corpus's own vocabulary can be asked about its tokens."
    check_tokenizer(checkpoint, corpus.tokenizer_sha256, tokenizer, f"the corpus in {corpus.folder}", advice)
    model = load_model(checkpoint, DTYPES[precision]).eval()
    check_fits(checkpoint, model, corpus)
    if corpus.document_ids is not None:
        check_document_masking(model, str(checkpoint))
    model = nn.Module.to(model, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    scores = np.full((len(blocks), corpus.block_size, 2), np.nan, dtype=np.float32)
    for start in range(0, len(blocks), batch_size):
        part = blocks[start : start + batch_size]
        blocks_BT = torch.from_numpy(np.stack([corpus.block(block) for block in part])).to(model.device)
        found = score_blocks(model, blocks_BT, _positions(corpus, part, model.device))
        if not torch.isfinite(found).all():
            raise CheckpointError(
                f"{checkpoint}: gives a loss or entropy that is not finite in blocks {part[0]} to {part[-1]}. Train it "
                "again, or read it in fp32 if this was bf16."
            )
        scores[start : start + len(part), 1:] = found.cpu().numpy()
        report(start + len(part))
    return scores


def _positions(corpus: PackedCorpus, blocks: Sequence[int], device: torch.device) -> torch.Tensor | None:
    """Return the position_ids (B, T) that mask documents; None without masking."""
    if corpus.document_ids is None:
        return None
    return torch.from_numpy(position_ids(np.stack([corpus.document_ids[block] for block in blocks]))).to(device)
