"""Stages ``tokenizer`` and ``corpus``, and the sources of text they read (paper section 3.1)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rho1bench.recipe.base import Model, Name, PositiveInt, StageBase, StageRef


class MiniWorldSource(Model):
    """Text of the embedded mini world (``corpus.mini_world``); documents are generated from the run's seed."""

    type: Literal["mini_world"]
    text: Literal["clean", "web", "sft_cot", "sft_tir"]
    num_documents: PositiveInt
    offset: Annotated[int, Field(ge=0)] = 0
    """Number of documents of the stream to pass over first, so that two corpora can be disjoint."""
    noise_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the characters of ``web`` pages that are noise; other texts have none."""


class LocalSource(Model):
    """Local JSON lines (``.jsonl`` or ``.jsonl.gz``) with one document a line."""

    type: Literal["local"]
    path: str
    text_field: str = "text"
    num_documents: PositiveInt | None = None
    offset: Annotated[int, Field(ge=0)] = 0
    """Number of documents to pass over first, so that two corpora can be disjoint."""


Source = Annotated[MiniWorldSource | LocalSource, Field(discriminator="type")]


class TokenizerStage(StageBase):
    """Trains a byte-level BPE tokenizer on the sources, digits as single tokens."""

    kind: Literal["tokenizer"]
    sources: Annotated[list[Source], Field(min_length=1)]
    vocab_size: Annotated[int, Field(ge=300)]


class CorpusStage(StageBase):
    """Reads the sources, tokenises them and packs documents into blocks (paper section 3.1)."""

    kind: Literal["corpus"]
    tokenizer: Annotated[Name, StageRef(("tokenizer",))]
    sources: Annotated[list[Source], Field(min_length=1)]
    block_size: Annotated[int, Field(ge=8)]
    num_blocks: PositiveInt | None = None
    """Keep this many blocks; an error if the sources give fewer."""
