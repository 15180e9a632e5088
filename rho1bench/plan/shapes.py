"""The shape of the model that a stage trains or scores with, found without a network."""

from __future__ import annotations

import json
from pathlib import Path

from rho1bench.recipe import (
    CorpusStage,
    ModelConfig,
    PretrainedModel,
    PretrainStage,
    Recipe,
    SFTStage,
    TokenizerStage,
    TrainStage,
)
from rho1bench.sizing.shapes import KNOWN_MODELS, ModelShape, shape_of_config


def shape_of_stage(recipe: Recipe, stage: TrainStage) -> ModelShape | None:
    """Return the shape of the model that ``stage`` trains; None where it is not known here."""
    init = stage.init
    while isinstance(init, str):
        origin = recipe.stage(init)
        assert isinstance(origin, TrainStage)
        stage, init = origin, origin.init
    if isinstance(init, PretrainedModel):
        return shape_of_pretrained(init)
    vocab_size = vocabulary_of(recipe, tokenizer_of(recipe, stage))
    return None if vocab_size is None else shape_of_model(init, vocab_size)


def shape_of_model(model: ModelConfig, vocab_size: int) -> ModelShape:
    """Return the shape of a fresh model with a vocabulary of ``vocab_size``."""
    fields = model.model_dump(exclude={"initializer_range", "rope_theta", "num_key_value_heads"})
    groups = model.num_key_value_heads or model.num_attention_heads
    return ModelShape(**fields, num_key_value_heads=groups, vocab_size=vocab_size)


def shape_of_pretrained(model: PretrainedModel) -> ModelShape | None:
    """Return the shape of a known hub id, of a folder's ``config.json``, or of one in the hub's local cache."""
    if model.pretrained in KNOWN_MODELS:
        return KNOWN_MODELS[model.pretrained]
    path = Path(model.pretrained) / "config.json"
    if not path.is_file():
        from huggingface_hub import try_to_load_from_cache

        try:
            cached = try_to_load_from_cache(model.pretrained, "config.json", revision=model.revision)
        except ValueError:  # no hub id
            return None
        if not isinstance(cached, str):
            return None
        path = Path(cached)
    try:
        return shape_of_config(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError):
        return None


def unknown_models(recipe: Recipe) -> list[str]:
    """Return the pretrained models of ``recipe`` whose shape is not known here."""
    inits = [stage.init for stage in recipe.stages if isinstance(stage, TrainStage)]
    given = [init for init in inits if isinstance(init, PretrainedModel) and shape_of_pretrained(init) is None]
    return list(dict.fromkeys(init.pretrained for init in given))


def tokenizer_of(recipe: Recipe, stage: TrainStage) -> str:
    """Return the name of the tokenizer stage that a training stage reads with."""
    if isinstance(stage, SFTStage):
        return stage.tokenizer
    assert isinstance(stage, PretrainStage)
    corpus = recipe.stage(stage.corpus)
    assert isinstance(corpus, CorpusStage)
    return corpus.tokenizer


def vocabulary_of(recipe: Recipe, tokenizer: str) -> int | None:
    """Return the size of a tokenizer's vocabulary; None for a pretrained one that is not known here."""
    stage = recipe.stage(tokenizer)
    assert isinstance(stage, TokenizerStage)
    if stage.pretrained is None:
        return stage.vocab_size
    shape = shape_of_pretrained(PretrainedModel(pretrained=stage.pretrained, revision=stage.revision))
    return None if shape is None else shape.vocab_size
