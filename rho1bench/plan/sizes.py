"""Rough sizes of a stage, from the recipe alone: steps, tokens, blocks, documents, weights, bytes on disk."""

from __future__ import annotations

from rho1bench.plan.shapes import shape_of_model, shape_of_stage, vocabulary_of
from rho1bench.recipe import (
    CorpusStage,
    EvalStage,
    ModelConfig,
    PretrainStage,
    Recipe,
    ScoreStage,
    SFTStage,
    StageBase,
    TokenizerStage,
    TrainStage,
)

BYTES_PER_WEIGHT = 4
BYTES_PER_RESUMED_WEIGHT = 12
"""Of a resume point: float32 weights and AdamW's two moments."""
BYTES_PER_SCORE = 4
"""Loss and entropy of a token, float16 each."""


def stage_sizes(recipe: Recipe, stage: StageBase) -> dict[str, int]:
    """Return what is known of a stage's sizes without reading anything but the recipe."""
    if isinstance(stage, CorpusStage) and stage.max_blocks is not None:
        return _corpus_sizes(recipe, stage)
    if isinstance(stage, CorpusStage | TokenizerStage):
        numbers = [source.num_documents for source in stage.sources if source.num_documents is not None]
        return {"documents": sum(numbers)} if numbers and len(numbers) == len(stage.sources) else {}
    if isinstance(stage, ScoreStage):
        scored = stage_sizes(recipe, recipe.stage(stage.corpus))
        return {**scored, "bytes": BYTES_PER_SCORE * scored["tokens"]} if "tokens" in scored else scored
    if isinstance(stage, TrainStage):
        return _training_sizes(recipe, stage)
    if isinstance(stage, EvalStage):
        return {"steps": sum(len(item.checkpoints) * len(item.suites) for item in stage.evaluations)}
    return {}


def num_parameters(model: ModelConfig, vocab_size: int) -> int:
    """Return the number of weights of a fresh model."""
    return shape_of_model(model, vocab_size).num_parameters


def sequence_length(recipe: Recipe, stage: TrainStage) -> int:
    """Return the tokens of one sequence of a training stage (of SFT: the longest)."""
    if isinstance(stage, SFTStage):
        return stage.max_length
    assert isinstance(stage, PretrainStage)
    corpus = recipe.stage(stage.corpus)
    assert isinstance(corpus, CorpusStage)
    return corpus.block_size


def _corpus_sizes(recipe: Recipe, stage: CorpusStage) -> dict[str, int]:
    blocks = stage.max_blocks or 0
    tokens = blocks * stage.block_size
    width = 2 if (vocabulary_of(recipe, stage.tokenizer) or 2**32) <= 2**16 else 4
    return {"blocks": blocks, "tokens": tokens, "bytes": tokens * (width + 1)}


def _training_sizes(recipe: Recipe, stage: TrainStage) -> dict[str, int]:
    sizes = {
        "steps": stage.max_steps,
        "tokens": stage.max_steps * stage.batch_size * sequence_length(recipe, stage),
        "blocks": stage.max_steps * stage.batch_size,
    }
    shape = shape_of_stage(recipe, stage)
    if shape is None:
        return sizes
    weights = shape.num_parameters
    return {**sizes, "weights": weights, "bytes": weights * BYTES_PER_WEIGHT * (1 + stage.num_checkpoints)}
