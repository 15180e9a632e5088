"""Stage ``sft``: supervised fine-tuning on tool-integrated and chain-of-thought samples with TRL (section 3.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rho1bench.corpus.tokenizer import load_raw_tokenizer
from rho1bench.files import sha256_json
from rho1bench.recipe import SFTStage
from rho1bench.stage import StageContext
from rho1bench.training.arguments import training_arguments
from rho1bench.training.callbacks import StageCallback
from rho1bench.training.data import block_order
from rho1bench.training.hooks import checkpoint_hook
from rho1bench.training.lifecycle import is_finished, prepare_torch, train_and_save
from rho1bench.training.model import initial_model
from rho1bench.training.ranks import num_processes
from rho1bench.training.settings import layer_classes
from rho1bench.training.sft_data import TokenisedSample, fitting_samples


def run(context: StageContext) -> None:
    """Fine-tune and write ``checkpoint/``; goes on exactly where a killed attempt's last resume point is.

    Raises DataError for bad samples, CheckpointError for an unfit model, TrainingError for a loss that is not finite.
    """
    if is_finished(context.folder):
        return
    prepare_torch(context)
    stage = context.config(SFTStage)
    tokenizer_folder = context.input(stage.tokenizer) / "tokenizer"
    samples, num_long = fitting_samples(
        stage.sources, context.seed, load_raw_tokenizer(tokenizer_folder), stage.max_length
    )
    if num_long:
        context.progress.message(f"left out {num_long} samples of more than {stage.max_length} tokens")
    model = initial_model(context, stage, tokenizer_folder, stage.max_length)
    trainer = _trainer(context, stage, model, samples, tokenizer_folder)
    callback = StageCallback(stage, context.folder, context.progress, trainer)
    callback.hooks.append(
        checkpoint_hook(model, tokenizer_folder, context.folder / "checkpoints", stage.max_steps, stage.num_checkpoints)
    )
    train_and_save(context.folder, stage, trainer, callback, model, tokenizer_folder)


def _trainer(
    context: StageContext, stage: SFTStage, model: Any, samples: list[TokenisedSample], tokenizer_folder: Path
) -> Any:
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig

    from rho1bench.training.sft_trainer import StageSFTTrainer

    columns = {
        "input_ids": [sample.input_ids for sample in samples],
        "labels": [sample.labels for sample in samples],
    }
    order = block_order(len(samples), stage.max_steps * stage.batch_size, context.seed, sha256_json(columns))
    arguments = training_arguments(
        stage, context.folder / "trainer", context.seed, num_processes(), layer_classes(model)
    )
    return StageSFTTrainer(
        model=model,
        args=SFTConfig(
            **arguments,
            max_length=None,
            gradient_checkpointing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=Dataset.from_dict(columns).select(order),
        processing_class=AutoTokenizer.from_pretrained(tokenizer_folder, local_files_only=True),
    )
