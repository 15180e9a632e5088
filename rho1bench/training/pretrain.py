"""Stage ``pretrain``: base, reference, CLM and SLM training; they differ in ``init``, ``corpus`` and ``selection``.

The heart of the pipeline (paper section 2.2): same blocks, same order, same steps for CLM and SLM.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.corpus.tokenizer import special_tokens
from rho1bench.errors import CheckpointError, TrainingError
from rho1bench.modeling.build import initial_model
from rho1bench.modeling.causal_lm import check_document_masking, size_of_model
from rho1bench.modeling.distributed import is_main
from rho1bench.pipeline.stage import StageContext, derive_seed
from rho1bench.recipe import CorpusStage, PretrainStage
from rho1bench.selection.block_reader import BlockReader
from rho1bench.selection.score_store import TokenScores
from rho1bench.selection.selective_lm import SelectiveLM, selective_lm
from rho1bench.selection.selector import Selector
from rho1bench.training.callbacks import StageCallback, checkpoint_hook
from rho1bench.training.datasets import BlockDataset, as_is, block_order
from rho1bench.training.measurements import Probe, block_losses, validation_hook
from rho1bench.training.starting_point import starting_point
from rho1bench.training.train_loop import is_finished, make_arguments, prepare_torch, train_and_save

if TYPE_CHECKING:
    from rho1bench.training.trainers.selective import SelectiveTrainer


@dataclass(frozen=True)
class _Inputs:
    """What the stage reads besides the model that it starts from."""

    blocks: BlockReader
    held_out: PackedCorpus | None
    tokenizer_folder: Path

    @property
    def corpora(self) -> list[PackedCorpus]:
        """All corpora that the model reads."""
        return [self.blocks.corpus] if self.held_out is None else [self.blocks.corpus, self.held_out]


@dataclass(frozen=True)
class _Selectors:
    """The stage's selection, and the ranking that its metrics watch."""

    selection: Selector
    monitor: Selector | None

    @property
    def both(self) -> list[Selector]:
        return [self.selection] if self.monitor is None else [self.selection, self.monitor]

    @property
    def needs(self) -> frozenset[str]:
        """Names of the inputs that either reads."""
        return frozenset().union(*(selector.needs for selector in self.both))


def run(context: StageContext) -> None:
    """Train and write ``checkpoint/``; goes on exactly where a killed attempt's last resume point is.

    Raises CheckpointError, ScoreStoreError or DataError for inputs that do not fit, TrainingError for a loss that is
    not finite.
    """
    if is_finished(context.folder):
        return
    began = time.monotonic()
    prepare_torch(context)
    stage = context.config(PretrainStage)
    seed = derive_seed(context.seed, "selection")
    selectors = _Selectors(
        Selector(stage.selection, seed, stage.max_steps),
        Selector(stage.monitor, seed, stage.max_steps) if stage.monitor is not None else None,
    )
    inputs = _inputs(context, stage, selectors)
    longest = max(corpus.block_size for corpus in inputs.corpora)
    lm = initial_model(context, stage, inputs.tokenizer_folder, longest)
    corpus = inputs.blocks.corpus
    order = block_order(len(corpus), stage.max_steps * stage.batch_size, context.seed, corpus.fingerprint)
    start = starting_point(lm, order, corpus.fingerprint)
    model = selective_lm(lm, selectors.selection, stage)
    if any(corpus.document_ids is not None for corpus in inputs.corpora):
        model.check_first(partial(check_document_masking, name=f"stage {stage.name!r}"))
    trainer = _trainer(context, stage, BlockDataset(inputs.blocks, order), selectors, model)
    callback = StageCallback(context, trainer, size_of_model(lm), corpus.block_size, began)
    callback.facts |= start
    _add_hooks(context, stage, inputs, trainer, callback)
    train_and_save(context, callback, inputs.tokenizer_folder)


def _inputs(context: StageContext, stage: PretrainStage, selectors: _Selectors) -> _Inputs:
    if is_main():
        for name in filter(None, (stage.corpus, stage.validation)):
            PackedCorpus(context.input(name)).check_files()
    corpus = PackedCorpus(context.input(stage.corpus))
    held_out = None if stage.validation is None else PackedCorpus(context.input(stage.validation))
    if held_out is not None and held_out.tokenizer_sha256 != corpus.tokenizer_sha256:
        raise CheckpointError(f"{held_out.folder}: was packed with another tokenizer than {corpus.folder}.")
    tokenizer = context.input(context.recipe.stage(stage.corpus, CorpusStage).tokenizer) / "tokenizer"
    stores = _stores(context, stage, selectors, corpus)
    blocks = BlockReader(corpus, selectors.needs, stores, special_tokens(tokenizer).eos)
    return _Inputs(blocks, held_out, tokenizer)


def _trainer(
    context: StageContext, stage: PretrainStage, dataset: BlockDataset, selectors: _Selectors, model: SelectiveLM
) -> SelectiveTrainer:
    from transformers import TrainingArguments

    from rho1bench.training.moving_average import moving_average
    from rho1bench.training.trainers.selective import SelectiveTrainer

    args = make_arguments(TrainingArguments, context)
    return SelectiveTrainer(
        stage=stage,
        model=model,
        monitor=selectors.monitor,
        average=moving_average(stage, model.lm, args.device),
        args=args,
        train_dataset=dataset,
        data_collator=as_is,
    )


def _add_hooks(
    context: StageContext, stage: PretrainStage, inputs: _Inputs, trainer: SelectiveTrainer, callback: StageCallback
) -> None:
    """Add what happens along the way: validation, checkpoints, the probe of selected tokens."""

    def losses(blocks_BT: Tensor, position_ids_BT: Tensor | None) -> Tensor:
        return block_losses(trainer.model_wrapped, blocks_BT, position_ids_BT)

    if inputs.held_out is not None:
        batch_size = trainer.args.per_device_train_batch_size
        callback.hooks.append(
            validation_hook(callback, losses, inputs.held_out, stage.validation_steps, stage.max_steps, batch_size)
        )
    callback.hooks.append(checkpoint_hook(context, trainer.lm, inputs.tokenizer_folder))
    if stage.selection is not None:
        device = trainer.args.device
        probe = Probe(losses, trainer.scores_of, trainer.selector, inputs.blocks, inputs.tokenizer_folder, device)
        callback.hooks.append(probe.hook(context.folder / "selected_tokens.jsonl", stage.max_steps))


def _stores(
    context: StageContext, stage: PretrainStage, selectors: _Selectors, corpus: PackedCorpus
) -> dict[str, TokenScores]:
    """Return the score stores that selection and monitor name, checked against the corpus and what their rules read."""
    named = [selector.selection.stores for selector in selectors.both if selector.selection is not None]
    names: dict[str, str] = {}
    for stores in named:
        for store, name in stores.items():
            if names.setdefault(store, name) != name:
                raise TrainingError(
                    f"stage {stage.name!r}: selection and monitor must name one score stage as {store!r} in "
                    f"token_scores, found {names[store]} and {name}."
                )
    found = {store: TokenScores(context.input(name)) for store, name in names.items()}
    for scores in found.values():
        if is_main():
            scores.check_files()
        scores.check(corpus)
    for selector in selectors.both:
        selector.check_stores(found)
    return found
