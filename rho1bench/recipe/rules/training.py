"""Rules about training stages and corpora: batches, budgets, selections, shapes, lengths."""

from __future__ import annotations

from collections.abc import Iterator

from rho1bench.recipe.models.base import PretrainedModel
from rho1bench.recipe.models.corpus import CorpusStage
from rho1bench.recipe.models.selection import BlockScope, ScoreStage, Selection
from rho1bench.recipe.models.training import ModelConfig, PretrainStage, SFTStage, TrainStage
from rho1bench.recipe.rules.rule import Earlier, Problems, rule
from rho1bench.sizing.shapes import KNOWN_MODELS

MAX_SAMPLES = 10**11


def positions(stage: TrainStage, earlier: Earlier) -> int | None:
    """Return max_position_embeddings of the model that a stage trains; None where it is not known."""
    return positions_of_model(stage.first_init(earlier))


def positions_of_model(model: ModelConfig | PretrainedModel) -> int | None:
    """Return max_position_embeddings of a shape or of given weights; None where it is not known."""
    shape = KNOWN_MODELS.get(model.pretrained) if isinstance(model, PretrainedModel) else model
    return None if shape is None else shape.max_position_embeddings


@rule(TrainStage)
def batch_is_whole(stage: TrainStage, earlier: Earlier) -> Problems:
    """An optimizer step is whole micro-batches; whether it is so on every process is asked before a launch."""
    batch, micro = stage.batch_size, stage.micro_batch_size
    if micro and batch % micro:
        yield ("micro_batch_size",), f"{micro} does not divide batch_size {batch}"


@rule(TrainStage)
def sets_fit_the_batch(stage: TrainStage, earlier: Earlier) -> Problems:
    """An optimizer step is whole sets of blocks, where ranking is done in sets."""
    for key, selection in selections(stage):
        if isinstance(selection.scope, BlockScope) and stage.batch_size % selection.scope.blocks:
            yield (
                (key, "scope", "blocks"),
                f"{selection.scope.blocks} does not divide batch_size {stage.batch_size}",
            )


@rule(TrainStage)
def checkpoints_fit_the_steps(stage: TrainStage, earlier: Earlier) -> Problems:
    """There are fewer checkpoints along the way than steps."""
    if stage.num_checkpoints >= stage.max_steps:
        yield ("num_checkpoints",), f"expected fewer than max_steps ({stage.max_steps}), got {stage.num_checkpoints}"


@rule(TrainStage)
def schedule_fits_the_steps(stage: TrainStage, earlier: Earlier) -> Problems:
    """Warm-up, and the decay of ``wsd`` after it, end within the steps."""
    optimizer, steps = stage.optimizer, stage.max_steps
    decay = round(optimizer.decay_fraction * steps) if optimizer.schedule == "wsd" else 0
    if optimizer.warmup_steps + decay > steps:
        what = f" and the decay over {decay} steps" if decay else ""
        yield (
            ("optimizer", "warmup_steps"),
            f"a warm-up of {optimizer.warmup_steps} steps{what} does not end within max_steps ({steps})",
        )


@rule(TrainStage)
def samples_can_be_listed(stage: TrainStage, earlier: Earlier) -> Problems:
    """The order of all samples is made before training."""
    samples = stage.max_steps * stage.batch_size
    if samples > MAX_SAMPLES:
        yield (
            ("max_steps",),
            f"{stage.max_steps} steps of {stage.batch_size} are {samples:.2g} samples; "
            + (f"at most {MAX_SAMPLES:.0e} can be read in one stage"),
        )


@rule(TrainStage)
def flash_attention_has_its_precision(stage: TrainStage, earlier: Earlier) -> Problems:
    """Flash attention has no float32 kernel."""
    if stage.attention == "flash_attention_2" and stage.precision == "fp32":
        yield ("attention",), "flash_attention_2 needs precision: bf16; or use sdpa"


@rule(TrainStage)
def float8_has_its_surroundings(stage: TrainStage, earlier: Earlier) -> Problems:
    """Float8 is for the products of bf16; DeepSpeed replaces the optimizer's weights, which was never tried with it."""
    if stage.float8 is None:
        return
    if stage.precision != "bf16":
        yield ("float8",), "needs precision: bf16"
    if stage.distributed is not None and stage.distributed.strategy == "deepspeed":
        yield ("float8",), "does not go with distributed.strategy: deepspeed; use ddp or fsdp2"


@rule(TrainStage)
def heads_divide(stage: TrainStage, earlier: Earlier) -> Problems:
    """Heads divide the hidden size, groups divide the heads."""
    model = stage.init
    if not isinstance(model, ModelConfig):
        return
    hidden, heads, groups = model.hidden_size, model.num_attention_heads, model.num_key_value_heads
    if hidden % heads or hidden // heads % 2:
        yield ("init", "hidden_size"), f"{hidden} is not an even multiple of num_attention_heads ({heads})"
    if groups and heads % groups:
        yield ("init", "num_key_value_heads"), f"{groups} does not divide num_attention_heads ({heads})"


@rule(PretrainStage)
def corpus_holds_a_batch(stage: PretrainStage, earlier: Earlier) -> Problems:
    """A corpus holds at least one batch of the stage that trains on it."""
    corpus = earlier.stage(stage.corpus, CorpusStage)
    if corpus.num_blocks and corpus.num_blocks < stage.batch_size:
        yield (
            ("batch_size",),
            f"a batch of {stage.batch_size} blocks is more than the num_blocks ({corpus.num_blocks}) of the corpus "
            f"{stage.corpus!r}",
        )
    needed = stage.batch_size * corpus.block_size
    if corpus.num_tokens and corpus.num_tokens < needed:
        yield (
            ("batch_size",),
            f"a batch of {stage.batch_size} blocks has {needed} tokens, more than the num_tokens ({corpus.num_tokens}) "
            f"of the corpus {stage.corpus!r}",
        )


@rule(PretrainStage)
def corpus_fits_the_context(stage: PretrainStage, earlier: Earlier) -> Problems:
    """Blocks fit the model's context."""
    limit = positions(stage, earlier)
    for key, name in (("corpus", stage.corpus), ("validation", stage.validation)):
        block = earlier.stage(name, CorpusStage).block_size if name else 0
        if limit and block > limit:
            yield (
                (key,),
                f"its blocks of {block} tokens are longer than the model's max_position_embeddings ({limit})",
            )


@rule(SFTStage)
def samples_fit_the_context(stage: SFTStage, earlier: Earlier) -> Problems:
    """Samples fit the model's context."""
    limit = positions(stage, earlier)
    if limit and stage.max_length > limit:
        yield ("max_length",), f"expected at most the model's max_position_embeddings ({limit}), got {stage.max_length}"


@rule(CorpusStage)
def budget_is_a_block(stage: CorpusStage, earlier: Earlier) -> Problems:
    """A budget is at least one block."""
    if stage.num_tokens and stage.num_tokens < stage.block_size:
        yield ("num_tokens",), f"expected at least one block ({stage.block_size}), got {stage.num_tokens}"


def selections(stage: TrainStage) -> list[tuple[str, Selection]]:
    """Return the selections of a stage, by the key under which each stands."""
    both = (("selection", stage.selection), ("monitor", stage.monitor if isinstance(stage, PretrainStage) else None))
    return [(key, selection) for key, selection in both if selection is not None]


def score_stages(stage: PretrainStage, earlier: Earlier) -> Iterator[tuple[tuple[str, ...], str, ScoreStage]]:
    """Yield key path and name of every store that the selections of a stage name, and the stage that makes it."""
    for key, selection in selections(stage):
        for store, name in selection.stores.items():
            named = isinstance(selection.token_scores, dict)
            yield (key, "token_scores", *([store] if named else [])), store, earlier.stage(name, ScoreStage)
