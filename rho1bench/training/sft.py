"""Stage ``sft``: supervised fine-tuning on tool-integrated and chain-of-thought samples with TRL (section 3.2).

With ``selection:``, which is the paper's future work, it runs on the selective loss's own trainer (``sft_selection``).
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rho1bench.corpus.sources.documents import BadRows
from rho1bench.corpus.tokenizer import load_raw_tokenizer, special_tokens
from rho1bench.errors import TrainingError
from rho1bench.modeling.build import initial_model, pretrained_model, stage_model
from rho1bench.modeling.causal_lm import size_of_model
from rho1bench.modeling.distributed import is_main
from rho1bench.pipeline.stage import StageContext, derive_seed
from rho1bench.recipe import PretrainedModel, SFTStage
from rho1bench.selection.selective_lm import SelectiveLM, selective_lm
from rho1bench.selection.selector import Selector
from rho1bench.system.files import sha256_json
from rho1bench.training.callbacks import StageCallback, checkpoint_hook
from rho1bench.training.datasets import as_is, block_order
from rho1bench.training.sample_scores import SCORES, scoring_cost, stored_scores
from rho1bench.training.sft_data import TokenisedSample, fitting_samples
from rho1bench.training.sft_selection import SampleDataset
from rho1bench.training.train_loop import is_finished, make_arguments, prepare_torch, train_and_save

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from rho1bench.training.trainers.resumable import ResumableTrainer


def run(context: StageContext) -> None:
    """Fine-tune and write ``checkpoint/``; goes on exactly where a killed attempt's last resume point is.

    Raises DataError for bad samples, CheckpointError for an unfit model, TrainingError for a selection without what it
    reads, and for a loss that is not finite.
    """
    if is_finished(context.folder):
        return
    began = time.monotonic()
    prepare_torch(context)
    stage = context.config(SFTStage)
    selector = Selector(stage.selection, derive_seed(context.seed, "selection"), stage.max_steps)
    _check_selection(stage, selector)
    tokenizer_folder = context.input(stage.tokenizer) / "tokenizer"
    special = special_tokens(tokenizer_folder)
    bad, tokenizer = BadRows(stage.on_bad_line), load_raw_tokenizer(tokenizer_folder)
    samples, num_long = fitting_samples(
        stage.sources, context.seed, tokenizer, special, stage.max_length, bad, stage.max_line_bytes
    )
    if num_long and is_main():
        context.progress.message(f"left out {num_long} samples of more than {stage.max_length} tokens")
    if bad.counts and is_main():
        context.progress.message(bad.describe())
    model = initial_model(context, stage, tokenizer_folder, stage.max_length)
    trainer: ResumableTrainer
    if selector.is_always_full:
        trainer = _trainer(context, stage, model, samples, tokenizer_folder)
    else:
        trainer = _selective_trainer(context, stage, selective_lm(model, selector, stage), samples, tokenizer_folder)
    mean_length = sum(len(sample.input_ids) for sample in samples) / len(samples)
    callback = StageCallback(context, trainer, size_of_model(model), mean_length, began)
    if stage.reference is not None and not selector.is_full:
        callback.scoring = scoring_cost(context.folder / SCORES)
    callback.hooks.append(checkpoint_hook(context, model, tokenizer_folder))
    train_and_save(context, callback, tokenizer_folder)


def _check_selection(stage: SFTStage, selector: Selector) -> None:
    if stage.selection is not None and stage.selection.token_scores is not None:
        raise TrainingError(
            f"stage {stage.name!r}: `selection.token_scores` are the scores of a packed corpus. A fine-tuning stage "
            "scores its samples itself: leave it out, and name the model in `reference`."
        )
    if stage.reference is None and any(name.startswith("reference.") for name in selector.needs):
        raise TrainingError(
            f"stage {stage.name!r}: its selection reads a reference model's scores. Name the model in `reference`: an "
            "earlier stage, or {pretrained: ...}."
        )


def _order(context: StageContext, stage: SFTStage, samples: list[TokenisedSample]) -> npt.NDArray[np.int64]:
    fingerprint = sha256_json(_columns(samples))
    return block_order(len(samples), stage.max_steps * stage.batch_size, context.seed, fingerprint)


def _columns(samples: list[TokenisedSample]) -> dict[str, list[list[int]]]:
    return {"input_ids": [sample.input_ids for sample in samples], "labels": [sample.labels for sample in samples]}


def _trainer(
    context: StageContext,
    stage: SFTStage,
    model: PreTrainedModel,
    samples: list[TokenisedSample],
    tokenizer_folder: Path,
) -> ResumableTrainer:
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl.trainer.sft_config import SFTConfig

    from rho1bench.training.trainers.supervised import StageSFTTrainer

    # The samples are ready, and gradient checkpointing is on already where the recipe wants it.
    ready = {"max_length": None, "gradient_checkpointing": False, "dataset_kwargs": {"skip_prepare_dataset": True}}
    return StageSFTTrainer(
        stage=stage,
        model=model,
        args=make_arguments(SFTConfig, context, **ready),
        train_dataset=Dataset.from_dict(_columns(samples)).select(_order(context, stage, samples)),
        processing_class=AutoTokenizer.from_pretrained(tokenizer_folder, local_files_only=True),
    )


def _selective_trainer(
    context: StageContext, stage: SFTStage, model: SelectiveLM, samples: list[TokenisedSample], tokenizer_folder: Path
) -> ResumableTrainer:
    from transformers import TrainingArguments

    from rho1bench.training.moving_average import moving_average
    from rho1bench.training.trainers.selective import SelectiveTrainer

    args = make_arguments(TrainingArguments, context)
    scores = None
    if stage.reference is not None:  # after the arguments, which start the group of ranks: they share the work
        micro_batch_size = stage.micro_batch_size or stage.batch_size
        load = partial(_reference, context, stage.reference, tokenizer_folder, stage.trust_remote_code)
        path = context.folder / SCORES
        scores = stored_scores(path, load, samples, micro_batch_size, stage.precision, args.device)
    pad_id = special_tokens(tokenizer_folder).pad
    order, wanted = _order(context, stage, samples), model.selector.needs
    dataset = SampleDataset(samples, order, stage.batch_size, pad_id, scores, wanted)
    average = moving_average(stage, model.lm, args.device)
    return SelectiveTrainer(
        stage=stage, model=model, average=average, args=args, train_dataset=dataset, data_collator=as_is
    )


def _reference(
    context: StageContext, reference: str | PretrainedModel, tokenizer_folder: Path, trust_remote_code: bool
) -> PreTrainedModel:
    if isinstance(reference, str):
        return stage_model(context, reference, tokenizer_folder)
    return pretrained_model(reference, tokenizer_folder, trust_remote_code)
