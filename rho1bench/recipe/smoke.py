"""``--scale smoke``: any recipe in minutes on a CPU, with every stage and none of its size.

One pure function from a recipe to a recipe. Sources become the mini world, pretrained tokenizers a small trained one,
pretrained models tiny ones of their architecture with random weights, suites their mini versions; steps, batches and
limits are cut. What makes the recipe itself stays: stages and their names, who reads whom, selections, schedules,
mixtures, trajectories. Scores of such a run mean nothing.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from rho1bench.recipe import (
    AnalysisStage,
    BenchmarkTextsStage,
    CompareStage,
    CorpusStage,
    EvalStage,
    MiniWorldSource,
    ModelConfig,
    Optimizer,
    PretrainedModel,
    PretrainStage,
    Recipe,
    ScoreStage,
    SFTStage,
    Source,
    StageBase,
    TokenizerStage,
    TrainStage,
)
from rho1bench.recipe.models.contest import VALIDATION_LOSS
from rho1bench.recipe.models.selection import BlockScope, Selection
from rho1bench.recipe.rules.training import selections
from rho1bench.recipe.texts import text_of
from rho1bench.sizing.shapes import KNOWN_MODELS

Json = dict[str, Any]
VOCAB_SIZE = 448
BLOCK_SIZE = 64
NUM_BLOCKS = 8
POSITIONS = 512
MAX_MODEL_LEN = 384
MAX_STEPS = 2
BATCH_SIZE = 2
LIMIT = 2
NUM_SEEDS = 2
HEADS = 4
SERVED = PretrainedModel(pretrained="a server's model")
FAR = 1000
"""Documents of the mini world between two sources, so that corpora share none."""


def smoke(recipe: Recipe, processes: int = 1) -> Recipe:
    """Return ``recipe`` at smoke scale; the same recipe gives the same result, and a smoke recipe gives itself.

    In more than two ``processes`` batches have a block for each.
    """
    if recipe.scale == "smoke":
        return recipe
    small_stages = [part for place, stage in enumerate(recipe.stages) for part in smaller(stage, recipe, place)]
    stages = [_for_processes(part, processes) for part in small_stages] if processes > BATCH_SIZE else small_stages
    counted = [seed for seed in recipe.seeds if seed not in recipe.tuning_seeds]
    seeds = [*recipe.tuning_seeds[: NUM_SEEDS - 1], *counted][:NUM_SEEDS] if counted else []
    tuning = [seed for seed in recipe.tuning_seeds if seed in seeds]
    small = {"scale": "smoke", "jobs": 1, "seeds": seeds, "tuning_seeds": tuning, "stages": stages}
    words = {"description": f"smoke scale, numbers mean nothing: {recipe.description}"}
    return Recipe.model_validate(recipe.model_dump() | small | words)


def _for_processes(part: Json, processes: int) -> Json:
    """Return a stage with a block for each of many processes in a batch, and so many more documents."""
    times = -(-processes // BATCH_SIZE)
    if part["kind"] in ("pretrain", "sft"):
        part = part | {"batch_size": processes}
    if part["kind"] in ("corpus", "sft"):
        sources = [source | {"num_documents": source["num_documents"] * times} for source in part["sources"]]
        part = part | {"sources": sources}
    if part["kind"] == "corpus" and part["num_blocks"] is not None:
        part = part | {"num_blocks": part["num_blocks"] * times}
    return part


@singledispatch
def smaller(stage: StageBase, recipe: Recipe, place: int) -> list[Json]:
    """Return the stage at smoke scale after what it needs before it; a kind without a version here stays as it is."""
    return [stage.model_dump()]


@smaller.register
def _tokenizer(stage: TokenizerStage, recipe: Recipe, place: int) -> list[Json]:
    sources = [_mini("clean", 40, 0), _mini("web", 40, 0)]
    if stage.pretrained is None:
        sources = [_few_documents(source, 40, 0, "clean") for source in stage.sources]
    small = {"sources": sources, "vocab_size": VOCAB_SIZE, "pretrained": None, "revision": None}
    return [stage.model_dump() | small]


@smaller.register
def _corpus(stage: CorpusStage, recipe: Recipe, place: int) -> list[Json]:
    scored = any(other.corpus == stage.name for other in recipe.stages_of(ScoreStage))
    text = "web" if scored else "clean"
    sources = [
        _few_documents(source, 24, FAR * (10 * place + index), text) for index, source in enumerate(stage.sources)
    ]
    is_measured = any(other.validation == stage.name for other in recipe.stages_of(PretrainStage))
    budget = NUM_BLOCKS if stage.max_blocks is not None or is_measured else None
    small = {"block_size": BLOCK_SIZE, "num_blocks": budget, "num_tokens": None, "num_workers": 1}
    return [stage.model_dump() | small | {"sources": sources}]


@smaller.register
def _benchmark_texts(stage: BenchmarkTextsStage, recipe: Recipe, place: int) -> list[Json]:
    return [stage.model_dump() | {"suites": list(dict.fromkeys(map(_mini_suite, stage.suites)))}]


@smaller.register
def _pretraining(stage: PretrainStage, recipe: Recipe, place: int) -> list[Json]:
    return [stage.model_dump() | _training(stage) | {"validation_steps": MAX_STEPS}]


@smaller.register
def _fine_tuning(stage: SFTStage, recipe: Recipe, place: int) -> list[Json]:
    small = _training(stage) | {
        "sources": [_few_documents(source, 8, 0, "sft_tir") for source in stage.sources],
        "max_length": MAX_MODEL_LEN,
    }
    if isinstance(stage.reference, PretrainedModel):
        small |= {"reference": stage.init_stage, "selection": small.get("selection") if stage.init_stage else None}
    return [stage.model_dump() | small]


def _training(stage: TrainStage) -> Json:
    split = stage.micro_batch_size is not None and stage.micro_batch_size < stage.batch_size
    small: Json = {
        "init": _model(stage.init),
        "optimizer": stage.optimizer.model_dump() | {"warmup_steps": min(stage.optimizer.warmup_steps, 1)},
        "batch_size": BATCH_SIZE,
        "micro_batch_size": BATCH_SIZE // 2 if split else None,
        "max_steps": MAX_STEPS,
        "num_checkpoints": min(stage.num_checkpoints, MAX_STEPS - 1),
        "save_steps": MAX_STEPS,
        "logging_steps": 1,
        "num_threads": 1,
        "loader_workers": 0,
    }
    small |= {"precision": "fp32", "float8": None, "attention": "sdpa", "compile": False, "fused": False}
    small |= {"kept_logits_gib": None, "gradient_filter": None}
    small |= {"loggers": [], "trust_remote_code": False}
    return small | {key: _in_small_sets(selection) for key, selection in selections(stage)}


def _in_small_sets(selection: Selection) -> Json:
    """Return a selection whose sets of blocks divide any batch."""
    small = selection.model_dump()
    return small | ({"scope": {"blocks": 1}} if isinstance(selection.scope, BlockScope) else {})


@smaller.register
def _scoring(stage: ScoreStage, recipe: Recipe, place: int) -> list[Json]:
    """Score with the stage's own model; a tiny one is trained first where it is not of this recipe."""
    small = stage.model_dump() | {"batch_size": 8, "precision": "fp32"}
    if isinstance(stage.reference, str):
        return [small]
    stem = stage.name if len(stage.name) <= 50 else f"{stage.name[:44]}-{place}"
    tiny = PretrainStage(
        name=f"{stem}-reference",
        kind="pretrain",
        corpus=stage.corpus,
        init=ModelConfig.model_validate(_model(stage.reference or SERVED)),
        optimizer=Optimizer(learning_rate=1e-3),
        batch_size=BATCH_SIZE,
        max_steps=MAX_STEPS,
        num_threads=1,
    )
    return [tiny.model_dump(), small | {"reference": tiny.name, "server": None}]


@smaller.register
def _evaluation(stage: EvalStage, recipe: Recipe, place: int) -> list[Json]:
    evaluations = [
        item.model_dump()
        | {"limit": min(item.limit or LIMIT, LIMIT), "suites": list(dict.fromkeys(map(_mini_suite, item.suites)))}
        for item in stage.evaluations
    ]
    small = {"evaluations": evaluations, "engine": "hf", "max_model_len": MAX_MODEL_LEN, "batch_size": 64}
    return [stage.model_dump() | small | {"data_parallel_size": None}]


@smaller.register
def _comparison(stage: CompareStage, recipe: Recipe, place: int) -> list[Json]:
    contests = [
        contest.model_dump()
        | {
            "suites": list(dict.fromkeys(map(_mini_suite, contest.suites))),
            "choose_by": contest.choose_by if contest.choose_by == VALIDATION_LOSS else _mini_suite(contest.choose_by),
        }
        for contest in stage.contests
    ]
    return [stage.model_dump() | {"num_resamples": min(stage.num_resamples, 100), "contests": contests}]


@smaller.register
def _analysis(stage: AnalysisStage, recipe: Recipe, place: int) -> list[Json]:
    suite = None if stage.suite is None else _mini_suite(stage.suite)
    small = {"num_tokens": min(stage.num_tokens, NUM_BLOCKS * BLOCK_SIZE), "precision": "fp32", "suite": suite}
    return [stage.model_dump() | small]


def _model(init: str | ModelConfig | PretrainedModel) -> str | Json:
    """Return a stage's name as it is, and a tiny model for any other start."""
    if isinstance(init, str):
        return init
    shape = KNOWN_MODELS.get(init.pretrained) if isinstance(init, PretrainedModel) else init
    small: Json = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    small |= {"num_attention_heads": HEADS, "max_position_embeddings": POSITIONS}
    if shape is None:
        return small
    groups = shape.num_key_value_heads or shape.num_attention_heads
    small["num_key_value_heads"] = max(1, HEADS * groups // shape.num_attention_heads)
    return small | {"architecture": shape.architecture, "tie_word_embeddings": shape.tie_word_embeddings}


def _few_documents(source: Source, num_documents: int, offset: int, text: str) -> Json:
    """Return a few documents of the mini world in the place of ``source``; its weight stays."""
    if isinstance(source, MiniWorldSource):
        return source.model_dump() | {"num_documents": min(source.num_documents, num_documents)}
    kept = {"weight": source.weight, "decontaminate": source.decontaminate}
    return _mini(text, num_documents, offset) | kept


def _mini(text: str, num_documents: int, offset: int) -> Json:
    return {"type": "mini_world", "text": text, "num_documents": num_documents, "offset": offset}


def _mini_suite(name: str) -> str:
    """Return the mini version of a suite or task; one math task for what has none; a corpus stays as it is."""
    text = text_of(name)
    if text is not None:
        kind, of = text
        return name if kind == "corpus" else f"{kind}:{_mini_suite(of)}"
    if name.startswith("mini_"):
        return name
    return f"mini_{name.removeprefix('rho1_').removesuffix('_cot')}" if name.startswith("rho1_") else "mini_gsm8k"
