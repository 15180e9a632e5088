"""``rho1bench inspect batch``: an optimizer step of a finished pretraining stage, as the trainer was given it.

Blocks, order, eligible tokens, positions and stored scores are those of training, read by the same code. Which tokens
a rule keeps that reads the model's own losses depends on the weights of that step: they are those of the last
checkpoint at or before it, and ``is_exact`` says whether that is the very step. Shapes: B blocks, T positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rho1bench.analysis.checkpoints import Checkpoint, Curve, curve_of
from rho1bench.analysis.text import shown_texts
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.corpus.tokenizer import load_raw_tokenizer, special_tokens
from rho1bench.errors import DataError
from rho1bench.modeling.causal_lm import load_model
from rho1bench.pipeline.stage import StageContext, derive_seed
from rho1bench.recipe import CorpusStage, PretrainStage
from rho1bench.recipe.models.rule_specs import ENTROPIES, LOSSES
from rho1bench.selection.block_reader import Batch, BlockReader
from rho1bench.selection.local_reference import score_blocks
from rho1bench.selection.score_store import TokenScores
from rho1bench.selection.selector import Selector
from rho1bench.training.datasets import block_order


@dataclass(frozen=True)
class SeenToken:
    """One token of a block as training saw it."""

    text: str
    is_eligible: bool
    is_kept: bool
    weight: float
    """What its loss counts in the step's sum."""
    position: int
    """Of its ``position_ids``: it begins again with every document where documents are masked."""
    loss: float | None
    """Of the checkpoint that was asked; None where none was, and for the first of a block."""


@dataclass(frozen=True)
class SeenBlock:
    """One row of the batch."""

    sample: int
    """Its number in the stream of training."""
    block: int
    tokens: Sequence[SeenToken]


@dataclass(frozen=True)
class SeenBatch:
    """An optimizer step."""

    step: int
    blocks: Sequence[SeenBlock]
    asked: str | None
    """The checkpoint whose losses were ranked; None where the choice needs none."""
    is_exact: bool


def read_batch(context: StageContext, name: str, step: int) -> SeenBatch:
    """Return optimizer step ``step`` (1 is the first) of the stage ``name``.

    Raises DataError for a step that the stage does not have, and for a rule that reads a moving average of the weights.
    """
    stage = context.recipe.stage(name, PretrainStage)
    if not 1 <= step <= stage.max_steps:
        raise DataError(f"step {step}: the stage {name!r} has the steps 1 to {stage.max_steps}.")
    corpus = PackedCorpus(context.input(stage.corpus))
    tokenizer = context.input(context.recipe.stage(stage.corpus, CorpusStage).tokenizer) / "tokenizer"
    selector = Selector(stage.selection, derive_seed(context.recipe.seed_of(stage), "selection"), stage.max_steps)
    selector.step = step - 1
    if stage.selection is not None and stage.selection.keeps_average:
        raise DataError(f"{name} ranks by a moving average of its weights, which no checkpoint holds.")
    stores = {} if stage.selection is None else stage.selection.stores
    found = {store: TokenScores(context.input(other)) for store, other in stores.items()}
    for scores in found.values():
        scores.check(corpus)
    reader = BlockReader(corpus, selector.needs, found, special_tokens(tokenizer).eos)
    num_samples = stage.max_steps * stage.batch_size
    order = block_order(len(corpus), num_samples, context.recipe.seed_of(stage), corpus.fingerprint)
    samples = list(range((step - 1) * stage.batch_size, step * stage.batch_size))
    blocks = [int(order[sample]) for sample in samples]
    batch = reader.batch(blocks, samples)
    checkpoint = _last_before(curve_of(context, name), step - 1) if selector.needs_losses else None
    kept_BS, weights_BS, losses_BS = _chosen(selector, batch, checkpoint, stage.micro_batch_size)
    texts = [shown_texts(load_raw_tokenizer(tokenizer), row.tolist()) for row in batch["input_ids"]]
    rows = [
        SeenBlock(sample, block, _tokens(texts[row], batch, row, kept_BS, weights_BS, losses_BS))
        for row, (sample, block) in enumerate(zip(samples, blocks, strict=True))
    ]
    exact = checkpoint is None or checkpoint.place.step == step - 1
    return SeenBatch(step, rows, None if checkpoint is None else checkpoint.label, exact)


def _last_before(curve: Curve, finished: int) -> Checkpoint:
    before = [one for one in curve.checkpoints if one.place.step <= finished]
    if not before:
        raise DataError(f"{curve.stage.name}: no checkpoint from before step {finished + 1} was kept.")
    return before[-1]


def _chosen(
    selector: Selector, batch: Batch, checkpoint: Checkpoint | None, micro_batch_size: int | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return kept tokens, their weights and the checkpoint's losses, (B, S), as one process would rank them."""
    inputs = batch["inputs"]
    losses_BS = None
    if checkpoint is not None:
        model = load_model(checkpoint.folder).eval()
        scores_BS2 = score_blocks(model, batch["input_ids"], batch.get("position_ids"))
        losses_BS = scores_BS2[:, :, 0]
        inputs = inputs | {LOSSES: losses_BS, ENTROPIES: scores_BS2[:, :, 1]}
    if selector.is_full:
        return inputs["eligible"], inputs["eligible"].float(), losses_BS
    scores = selector.scores(inputs)
    num_rows = len(scores)
    size = micro_batch_size if micro_batch_size and selector.scope == "micro_batch" else num_rows
    parts = [slice(start, start + size) for start in range(0, num_rows, size)]
    kept_BS = torch.cat([selector.select(scores[part], {k: v[part] for k, v in inputs.items()}) for part in parts])
    return kept_BS, scores if selector.gives_weights else kept_BS.float(), losses_BS


def _tokens(
    texts: Sequence[str], batch: Batch, row: int, kept_BS: Tensor, weights_BS: Tensor, losses_BS: Tensor | None
) -> list[SeenToken]:
    positions_BT = batch.get("position_ids")
    positions = list(range(len(texts))) if positions_BT is None else positions_BT[row].tolist()
    columns = [batch["inputs"]["eligible"][row].tolist(), kept_BS[row].tolist(), weights_BS[row].tolist()]
    losses = [None] * (len(texts) - 1) if losses_BS is None else losses_BS[row].tolist()
    first = SeenToken(texts[0], False, False, 0.0, positions[0], None)
    rest = zip(texts[1:], *columns, positions[1:], losses, strict=True)
    return [first, *(SeenToken(*values) for values in rest)]
