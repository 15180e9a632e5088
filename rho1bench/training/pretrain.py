"""Stage ``pretrain``: base, reference, CLM and SLM training; they differ in ``init``, ``corpus`` and ``selection``.

The heart of the pipeline (paper section 2.2): same blocks, same order, same steps for CLM and SLM.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.errors import CheckpointError, TrainingError
from rho1bench.modeling.build import initial_model, layer_classes
from rho1bench.modeling.distributed import allow_fsdp_on_cpu, is_main, num_processes
from rho1bench.pipeline.stage import StageContext, derive_seed
from rho1bench.recipe import CorpusStage, PretrainStage, Selection
from rho1bench.selection.score_store import TokenScores
from rho1bench.selection.selective_lm import SelectiveLM
from rho1bench.selection.selector import Selector
from rho1bench.sizing.flops import flops_per_token_of_model
from rho1bench.training.callbacks import StageCallback, checkpoint_hook
from rho1bench.training.datasets import BlockDataset, as_is, block_order
from rho1bench.training.token_probe import Probe
from rho1bench.training.train_loop import is_finished, prepare_torch, train_and_save
from rho1bench.training.trainer_args import training_arguments
from rho1bench.training.validation import block_losses, sharded_block_losses, validation_hook


def run(context: StageContext) -> None:
    """Train and write ``checkpoint/``; goes on exactly where a killed attempt's last resume point is.

    Raises CheckpointError, ScoreStoreError or DataError for inputs that do not fit, TrainingError for a loss that is
    not finite.
    """
    if is_finished(context.folder):
        return
    prepare_torch(context)
    stage = context.config(PretrainStage)
    corpus = PackedCorpus(context.input(stage.corpus))
    if is_main():
        for name in filter(None, (stage.corpus, stage.validation)):
            PackedCorpus(context.input(name)).check_files()
    tokenizer_folder = tokenizer_of(context, stage.corpus)
    lm = initial_model(context, stage, tokenizer_folder, corpus.block_size)
    scores = _token_scores(context, stage, corpus)
    seed = derive_seed(context.seed, "selection")
    selector = Selector(stage.selection, seed)
    monitor = Selector(stage.monitor, seed) if stage.monitor is not None else None
    trainer = _trainer(context, stage, corpus, scores, SelectiveLM(lm, selector), monitor)
    callback = StageCallback(stage, context.folder, context.progress, trainer)
    callback.flops_per_token = flops_per_token_of_model(lm, corpus.block_size)
    _add_hooks(context, stage, callback, corpus, scores, lm)
    train_and_save(context.folder, stage, trainer, callback, lm, tokenizer_folder)


def _add_hooks(
    context: StageContext,
    stage: PretrainStage,
    callback: StageCallback,
    corpus: PackedCorpus,
    scores: TokenScores | None,
    lm: Any,
) -> None:
    """Add what happens along the way: validation, checkpoints, the probe of selected tokens."""
    trainer: Any = callback.trainer

    def losses(blocks_BT: Tensor, position_ids_BT: Tensor | None) -> Tensor:
        if trainer.is_fsdp_enabled:
            return sharded_block_losses(trainer.model_wrapped, blocks_BT, position_ids_BT)
        return block_losses(lm, blocks_BT, position_ids_BT)

    tokenizer_folder = tokenizer_of(context, stage.corpus)
    batch_size = stage.micro_batch_size or stage.batch_size
    if stage.validation is not None:
        held_out = PackedCorpus(context.input(stage.validation))
        _check_same_tokenizer(corpus, held_out)
        callback.hooks.append(
            validation_hook(callback, losses, held_out, stage.validation_steps, stage.max_steps, batch_size)
        )
    callback.hooks.append(
        checkpoint_hook(lm, tokenizer_folder, context.folder / "checkpoints", stage.max_steps, stage.num_checkpoints)
    )
    if stage.selection is not None:
        probe = Probe(losses, trainer.selector, corpus, scores, tokenizer_folder, trainer.args.device)
        callback.hooks.append(probe.hook(context.folder / "selected_tokens.jsonl", stage.max_steps))


def _trainer(
    context: StageContext,
    stage: PretrainStage,
    corpus: PackedCorpus,
    scores: TokenScores | None,
    model: SelectiveLM,
    monitor: Selector | None,
) -> Any:
    from transformers import TrainingArguments

    from rho1bench.training.trainers.selective import SelectiveTrainer

    order = block_order(len(corpus), stage.max_steps * stage.batch_size, context.seed, corpus.fingerprint)
    arguments = training_arguments(
        stage, context.folder / "trainer", context.seed, num_processes(), layer_classes(model.lm)
    )
    args = TrainingArguments(**arguments)
    if args.fsdp:
        allow_fsdp_on_cpu()
    return SelectiveTrainer(
        model=model,
        monitor=monitor,
        args=args,
        train_dataset=BlockDataset(corpus, order, scores),
        data_collator=as_is,
    )


def _token_scores(context: StageContext, stage: PretrainStage, corpus: PackedCorpus) -> TokenScores | None:
    """Return the one score store that selection and monitor read, checked against the corpus."""
    wanted = [part for part in (stage.selection, stage.monitor) if part is not None and _needs_scores(part)]
    names = {part.token_scores for part in wanted}
    if not names:
        return None
    if None in names or len(names) > 1:
        raise TrainingError(
            f"stage {stage.name!r}: selection and monitor must name one score stage in token_scores, found "
            f"{', '.join(sorted(map(str, names)))}."
        )
    store = TokenScores(context.input(str(names.pop())))
    store.check(corpus)
    if any(Selector(part, 0).needs_entropy for part in wanted):
        store.check_entropies()
    return store


def _needs_scores(selection: Selection) -> bool:
    return selection.token_scores is not None or Selector(selection, 0).needs_reference


def _check_same_tokenizer(corpus: PackedCorpus, held_out: PackedCorpus) -> None:
    if corpus.tokenizer_sha256 != held_out.tokenizer_sha256:
        raise CheckpointError(f"{held_out.folder}: was packed with another tokenizer than {corpus.folder}.")


def tokenizer_of(context: StageContext, corpus: str) -> Path:
    """Return the folder of the tokenizer that a corpus stage was packed with."""
    stage = context.recipe.stage(corpus)
    assert isinstance(stage, CorpusStage)
    return context.input(stage.tokenizer) / "tokenizer"
