"""Stage ``score``: the reference's loss and entropy of every token of a corpus, stored once (section 2.2, step 2).

Shapes: B blocks, T positions, D hidden size. Work is kept in shards of about a million tokens: each is written whole,
and a killed stage goes on with the first one missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from rho1bench.corpus.masking import position_ids
from rho1bench.corpus.packed import PackedCorpus, shard_name
from rho1bench.corpus.packing import Array
from rho1bench.errors import CheckpointError
from rho1bench.files import atomic_path, read_json, write_json
from rho1bench.recipe import ScoreStage
from rho1bench.selection.causal_lm import backbone, load_model, output_weight, weights_sha256
from rho1bench.selection.loss import token_losses_and_entropies
from rho1bench.selection.store import score_shard_blocks
from rho1bench.stage import StageContext


def run(context: StageContext) -> None:
    """Write the score store; raises CheckpointError for an unfit reference, DataError for an unfit corpus."""
    stage = context.config(ScoreStage)
    if context.options.num_threads is not None:
        torch.set_num_threads(context.options.num_threads)
    corpus = PackedCorpus(context.input(stage.corpus))
    checkpoint = context.input(stage.reference) / "checkpoint"
    identity = {
        "reference_sha256": weights_sha256(checkpoint),
        "tokenizer_sha256": corpus.tokenizer_sha256,
        "corpus_fingerprint": corpus.fingerprint,
        "num_blocks": len(corpus),
        "block_size": corpus.block_size,
    }
    _keep_only(context.folder, identity)
    model = _reference(checkpoint, corpus)
    shards = range(0, len(corpus), score_shard_blocks(corpus.block_size))
    context.progress.start(len(corpus), "blocks")
    for index, first in enumerate(shards):
        path = context.folder / shard_name("scores", index)
        last = min(first + shards.step, len(corpus))
        if not path.exists():
            _write(path, _score_shard(model, corpus, first, last, stage.batch_size, context))
        context.progress.update(last)
    context.progress.close()
    write_json(context.folder / "scores.json", identity)


def _keep_only(folder: Path, identity: dict[str, Any]) -> None:
    """Remove shards that another reference or corpus left here, and note whose shards follow."""
    note = folder / "scoring.json"
    if not note.exists() or read_json(note) != identity:
        for path in folder.glob("scores-*.npy"):
            path.unlink()
        write_json(note, identity)


def _reference(checkpoint: Path, corpus: PackedCorpus) -> Any:
    model = load_model(checkpoint).eval()
    longest = getattr(model.config, "max_position_embeddings", corpus.block_size)
    largest = int(corpus.meta.get("vocab_size", 0))
    if longest < corpus.block_size or model.config.vocab_size < largest:
        raise CheckpointError(
            f"{checkpoint}: reads at most {longest} tokens of a vocabulary of {model.config.vocab_size}, but the "
            f"corpus has blocks of {corpus.block_size} tokens of a vocabulary of {largest}."
        )
    return model.to("cuda") if torch.cuda.is_available() else model


def _score_shard(
    model: Any, corpus: PackedCorpus, first: int, last: int, batch_size: int, context: StageContext
) -> Array:
    """Return the scores of blocks ``first`` to ``last``: float16, shape (blocks, T, 2)."""
    scores = np.full((last - first, corpus.block_size, 2), np.nan, dtype=np.float16)
    for start in range(first, last, batch_size):
        stop = min(start + batch_size, last)
        blocks_BT = torch.from_numpy(corpus.blocks.rows(start, stop).astype(np.int64)).to(model.device)
        scores_BT2 = score_blocks(model, blocks_BT, masked_positions(corpus, start, stop, model.device))
        if not torch.isfinite(scores_BT2).all():
            raise CheckpointError(f"the reference gives a non-finite loss in blocks {start} to {stop - 1}; retrain it.")
        scores[start - first : stop - first, 1:] = scores_BT2.cpu().numpy().astype(np.float16)
        context.progress.update(stop, tokens=stop * corpus.block_size)
    return scores


def masked_positions(corpus: PackedCorpus, start: int, stop: int, device: torch.device) -> torch.Tensor | None:
    """Return the position_ids (B, T) that mask documents in blocks ``start`` to ``stop``; None without masking."""
    if corpus.document_ids is None:
        return None
    return torch.from_numpy(position_ids(corpus.document_ids.rows(start, stop))).to(device)


def score_blocks(model: Any, blocks_BT: torch.Tensor, position_ids_BT: torch.Tensor | None = None) -> torch.Tensor:
    """Return loss and entropy of positions 1 to T-1 of each block: float32 nats, shape (B, T-1, 2)."""
    with torch.inference_mode():
        hidden_BTD = backbone(model)(
            input_ids=blocks_BT, position_ids=position_ids_BT, use_cache=False
        ).last_hidden_state
        hidden_ND = hidden_BTD[:, :-1].reshape(-1, hidden_BTD.shape[-1])
        targets_N = blocks_BT[:, 1:].reshape(-1)
        losses_N, entropies_N = token_losses_and_entropies(hidden_ND, output_weight(model), targets_N)
        return torch.stack([losses_N, entropies_N], dim=1).view(len(blocks_BT), -1, 2)


def _write(path: Path, scores: Array) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, scores, allow_pickle=False)
