"""What a run would do, in numbers: the table of ``--dry-run``. Sizes are rough, and nothing is read but the recipe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from rho1bench.manifest import Decision
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
    references,
)

BYTES_PER_WEIGHT = 4
NUMBERS = ("steps", "tokens", "blocks", "weights", "disk")


def plan_table(recipe: Recipe, decisions: Iterable[tuple[StageBase, Decision]]) -> Table:
    """Return the plan as a table, one row a stage; the caption tells why a finished stage would run again."""
    table = Table(title=f"plan of {recipe.name}, seed {recipe.seed}", title_justify="left", box=SIMPLE_HEAD)
    for column in ("stage", "kind", "reads"):
        table.add_column(column, no_wrap=column != "reads")
    for column in NUMBERS:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("would", no_wrap=True)
    reasons = []
    for stage, decision in decisions:
        sizes = stage_sizes(recipe, stage)
        blocks = f"{_short(sizes['documents'])} docs" if "documents" in sizes else _short(sizes.get("blocks"))
        table.add_row(
            stage.name,
            str(getattr(stage, "kind", "")),
            ", ".join(dict.fromkeys(name for _, name, _ in references(stage))),
            _short(sizes.get("steps")),
            _short(sizes.get("tokens")),
            blocks,
            _short(sizes.get("weights")),
            _short(sizes.get("bytes"), "B"),
            "redo" if decision.wipe else decision.action,
        )
        if decision.wipe:
            reasons.append(f"{stage.name}: {decision.reason}")
    table.caption = "\n".join(reasons) or None
    return table


def stage_sizes(recipe: Recipe, stage: StageBase) -> dict[str, int]:
    """Return the rough sizes of a stage: steps, tokens, blocks, documents, weights, bytes on disk."""
    if isinstance(stage, CorpusStage) and stage.max_blocks is not None:
        tokens = stage.max_blocks * stage.block_size
        width = 2 if _vocab_size(recipe, stage.tokenizer) <= 2**16 else 4
        return {"blocks": stage.max_blocks, "tokens": tokens, "bytes": tokens * (width + 1)}
    if isinstance(stage, CorpusStage | TokenizerStage):
        numbers = [source.num_documents for source in stage.sources if source.num_documents is not None]
        return {"documents": sum(numbers)} if len(numbers) == len(stage.sources) else {}
    if isinstance(stage, ScoreStage):
        scored = stage_sizes(recipe, recipe.stage(stage.corpus))
        return {**scored, "bytes": 4 * scored["tokens"]} if "tokens" in scored else scored
    if isinstance(stage, TrainStage):
        return _training_sizes(recipe, stage)
    if isinstance(stage, EvalStage):
        return {"steps": sum(len(item.checkpoints) * len(item.suites) for item in stage.evaluations)}
    return {}


def num_parameters(model: ModelConfig, vocab_size: int) -> int:
    """Return the number of weights of a Llama-architecture model."""
    hidden, heads = model.hidden_size, model.num_attention_heads
    key_value = hidden // heads * (model.num_key_value_heads or heads)
    layer = 2 * hidden * hidden + 2 * hidden * key_value + 3 * hidden * model.intermediate_size + 2 * hidden
    heads_and_tails = vocab_size * hidden * (1 if model.tie_word_embeddings else 2)
    return heads_and_tails + model.num_hidden_layers * layer + hidden


def _training_sizes(recipe: Recipe, stage: TrainStage) -> dict[str, int]:
    length, tokenizer = 0, ""
    if isinstance(stage, PretrainStage):
        corpus = recipe.stage(stage.corpus)
        assert isinstance(corpus, CorpusStage)
        length, tokenizer = corpus.block_size, corpus.tokenizer
    elif isinstance(stage, SFTStage):
        length, tokenizer = stage.max_length, stage.tokenizer
    sizes = {
        "steps": stage.max_steps,
        "tokens": stage.max_steps * stage.batch_size * length,
        "blocks": stage.max_steps * stage.batch_size,
    }
    model = _model(recipe, stage)
    if model is None:
        return sizes
    weights = num_parameters(model, _vocab_size(recipe, tokenizer))
    return {**sizes, "weights": weights, "bytes": weights * BYTES_PER_WEIGHT * (1 + stage.num_checkpoints)}


def _model(recipe: Recipe, stage: TrainStage) -> ModelConfig | None:
    """Return the shape that a stage's model has; None for pretrained weights, which nothing is read of here."""
    init = stage.init
    while isinstance(init, str):
        origin = recipe.stage(init)
        assert isinstance(origin, TrainStage)
        init = origin.init
    return init if isinstance(init, ModelConfig) else None


def _vocab_size(recipe: Recipe, tokenizer: str) -> int:
    stage = recipe.stage(tokenizer)
    assert isinstance(stage, TokenizerStage)
    return stage.vocab_size or 32_000  # a pretrained tokenizer's is not known before it is loaded


def _short(number: Any, unit: str = "") -> str:
    """Write a size with three digits: ``1.23M``; an unknown one as ``-``."""
    if number is None:
        return "-"
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {letter}{unit}".strip()
    return f"{number} {unit}".strip()
