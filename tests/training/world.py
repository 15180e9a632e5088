"""A tiny run for the training tests: a few hundred documents, and the stages called as the runner calls them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rho1bench.pipeline.stage import RunOptions, StageContext
from rho1bench.recipe import Recipe
from rho1bench.system.progress import SilentProgress

MODULES = {
    "tokenizer": "rho1bench.corpus.tokenizer",
    "corpus": "rho1bench.corpus.stage",
    "pretrain": "rho1bench.training.pretrain",
    "score": "rho1bench.selection.stage",
    "sft": "rho1bench.training.sft",
}
MODEL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 160,
}
SELECTION = {"score": "excess_loss", "ratio": 0.6, "token_scores": "scores"}
OPTIMIZER = {"learning_rate": 3e-3, "schedule": "cosine", "warmup_steps": 2}


def source(text: str, num: int, offset: int = 0) -> dict[str, Any]:
    return {"type": "mini_world", "text": text, "num_documents": num, "offset": offset}


def pretrain(name: str, **fields: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "name": name,
        "kind": "pretrain",
        "init": "base",
        "corpus": "web",
        "optimizer": OPTIMIZER,
        "batch_size": 8,
        "max_steps": 12,
        "save_steps": 5,
        "logging_steps": 2,
    }
    return {**defaults, **fields}


def sft(name: str, init: str | dict[str, Any], **fields: Any) -> dict[str, Any]:
    defaults = pretrain(name, init=init, kind="sft", tokenizer="tokens", max_length=160)
    del defaults["corpus"]
    return {**defaults, "sources": [source("sft_tir", 60), source("sft_cot", 60)], **fields}


def inputs() -> list[dict[str, Any]]:
    """Tokenizer and corpora."""
    return [
        {
            "name": "tokens",
            "kind": "tokenizer",
            "vocab_size": 400,
            "sources": [source("clean", 150), source("web", 150), source("sft_tir", 60)],
        },
        _corpus("clean", [source("clean", 200)]),
        _corpus("web", [source("web", 120)]),
        _corpus("held_out", [source("clean", 20, offset=1000)], num_blocks=10),
    ]


def _corpus(name: str, sources: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {"name": name, "kind": "corpus", "tokenizer": "tokens", "block_size": 48, "sources": sources, **fields}


def scored() -> list[dict[str, Any]]:
    """Everything before the comparison of CLM and SLM."""
    return [
        *inputs(),
        pretrain("base", init=MODEL, max_steps=4),
        pretrain("reference", corpus="clean", max_steps=20),
        {"name": "scores", "kind": "score", "reference": "reference", "corpus": "web", "batch_size": 16},
    ]


def run_stages(
    stages: Sequence[dict[str, Any]], out: Path, only: Sequence[str] | None = None, seed: int = 0
) -> dict[str, Path]:
    """Call the stages (``only`` some of them) in order on the folders under ``out``; return every stage's folder."""
    recipe = Recipe.model_validate({"name": "tiny", "stages": stages})
    folders = {stage.name: out / stage.name for stage in recipe.stages}
    for stage in recipe.stages:
        if only is not None and stage.name not in only:
            continue
        folders[stage.name].mkdir(parents=True, exist_ok=True)
        context = StageContext(
            recipe, stage, folders[stage.name], folders, seed, SilentProgress(), RunOptions(num_threads=1)
        )
        importlib.import_module(MODULES[stage.kind]).run(context)
    return folders


def compared() -> list[dict[str, Any]]:
    """The whole tiny run."""
    held_out = {"validation": "held_out", "validation_steps": 4, "num_checkpoints": 2}
    return [
        *scored(),
        pretrain("slm", selection=SELECTION, **held_out),
        pretrain("slm_accumulated", selection=SELECTION, micro_batch_size=1),
        pretrain("slm_full", selection={**SELECTION, "ratio": 1.0}),
        pretrain("clm", monitor=SELECTION, **held_out),
        pretrain("clm_alone"),
        pretrain("clm_accumulated", micro_batch_size=2),
        sft("slm_sft", "slm", num_checkpoints=1),
    ]


def link_shared(shared: Path, out: Path) -> Path:
    """Make the shared stages visible in ``out``, which the test may then fill."""
    for folder in shared.iterdir():
        (out / folder.name).symlink_to(folder)
    return out
