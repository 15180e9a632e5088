"""Stage ``pretrain``: base, reference, CLM and SLM training; they differ in ``init``, ``corpus`` and ``selection``.

The heart of the pipeline (paper section 2.2): same blocks, same order, same steps for CLM and SLM.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.errors import CheckpointError, TrainingError
from rho1bench.modeling.build import initial_model
from rho1bench.modeling.causal_lm import check_document_masking, size_of_model
from rho1bench.modeling.distributed import is_main
from rho1bench.pipeline.stage import StageContext, derive_seed
from rho1bench.recipe import CorpusStage, PretrainStage, Selection
from rho1bench.selection.score_store import TokenScores
from rho1bench.selection.selective_lm import SelectiveLM
from rho1bench.selection.selector import Selector
from rho1bench.training.callbacks import StageCallback, checkpoint_hook
from rho1bench.training.datasets import BlockDataset, as_is, block_order
from rho1bench.training.measurements import Probe, block_losses, sharded_block_losses, validation_hook
from rho1bench.training.train_loop import is_finished, make_arguments, prepare_torch, train_and_save

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from rho1bench.training.trainers.selective import SelectiveTrainer


@dataclass(frozen=True)
class _Inputs:
    """What the stage reads besides the model that it starts from."""

    corpus: PackedCorpus
    held_out: PackedCorpus | None
    scores: TokenScores | None
    tokenizer_folder: Path

    @property
    def corpora(self) -> list[PackedCorpus]:
        """All corpora that the model reads."""
        return [self.corpus] if self.held_out is None else [self.corpus, self.held_out]


def run(context: StageContext) -> None:
    """Train and write ``checkpoint/``; goes on exactly where a killed attempt's last resume point is.

    Raises CheckpointError, ScoreStoreError or DataError for inputs that do not fit, TrainingError for a loss that is
    not finite.
    """
    if is_finished(context.folder):
        return
    prepare_torch(context)
    stage = context.config(PretrainStage)
    inputs = _inputs(context, stage)
    longest = max(corpus.block_size for corpus in inputs.corpora)
    lm = initial_model(context, stage, inputs.tokenizer_folder, longest)
    if any(corpus.document_ids is not None for corpus in inputs.corpora):
        check_document_masking(lm, f"stage {stage.name!r}")
    trainer = _trainer(context, stage, inputs, lm)
    callback = StageCallback(context, trainer, size_of_model(lm), inputs.corpus.block_size)
    _add_hooks(context, stage, inputs, trainer, callback)
    train_and_save(context, callback, inputs.tokenizer_folder)


def _inputs(context: StageContext, stage: PretrainStage) -> _Inputs:
    if is_main():
        for name in filter(None, (stage.corpus, stage.validation)):
            PackedCorpus(context.input(name)).check_files()
    corpus = PackedCorpus(context.input(stage.corpus))
    held_out = None if stage.validation is None else PackedCorpus(context.input(stage.validation))
    if held_out is not None and held_out.tokenizer_sha256 != corpus.tokenizer_sha256:
        raise CheckpointError(f"{held_out.folder}: was packed with another tokenizer than {corpus.folder}.")
    tokenizer = context.recipe.stage(stage.corpus, CorpusStage).tokenizer
    return _Inputs(corpus, held_out, _token_scores(context, stage, corpus), context.input(tokenizer) / "tokenizer")


def _trainer(context: StageContext, stage: PretrainStage, inputs: _Inputs, lm: PreTrainedModel) -> SelectiveTrainer:
    from transformers import TrainingArguments

    from rho1bench.training.trainers.selective import SelectiveTrainer

    corpus, seed = inputs.corpus, derive_seed(context.seed, "selection")
    order = block_order(len(corpus), stage.max_steps * stage.batch_size, context.seed, corpus.fingerprint)
    return SelectiveTrainer(
        model=SelectiveLM(lm, Selector(stage.selection, seed)),
        monitor=Selector(stage.monitor, seed) if stage.monitor is not None else None,
        args=make_arguments(TrainingArguments, context, lm),
        train_dataset=BlockDataset(corpus, order, inputs.scores),
        data_collator=as_is,
    )


def _add_hooks(
    context: StageContext, stage: PretrainStage, inputs: _Inputs, trainer: SelectiveTrainer, callback: StageCallback
) -> None:
    """Add what happens along the way: validation, checkpoints, the probe of selected tokens."""

    def losses(blocks_BT: Tensor, position_ids_BT: Tensor | None) -> Tensor:
        if trainer.is_fsdp_enabled:
            return sharded_block_losses(trainer.model_wrapped, blocks_BT, position_ids_BT)
        return block_losses(trainer.lm, blocks_BT, position_ids_BT)

    if inputs.held_out is not None:
        batch_size = stage.micro_batch_size or stage.batch_size
        callback.hooks.append(
            validation_hook(callback, losses, inputs.held_out, stage.validation_steps, stage.max_steps, batch_size)
        )
    callback.hooks.append(checkpoint_hook(context, trainer.lm, inputs.tokenizer_folder))
    if stage.selection is not None:
        probe = Probe(
            losses, trainer.selector, inputs.corpus, inputs.scores, inputs.tokenizer_folder, trainer.args.device
        )
        callback.hooks.append(probe.hook(context.folder / "selected_tokens.jsonl", stage.max_steps))


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
    if is_main():
        store.check_files()
    store.check(corpus)
    if any(Selector(part, 0).needs_entropy for part in wanted):
        store.check_entropies()
    return store


def _needs_scores(selection: Selection) -> bool:
    return selection.token_scores is not None or Selector(selection, 0).needs_reference
