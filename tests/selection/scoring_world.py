"""What tests of scoring share: a small packed corpus, models, and how a store of them is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rho1bench.corpus.packed_corpus import shard_name
from rho1bench.corpus.stage import save_array
from rho1bench.corpus.tokenizer import tokenizer_sha256, train_tokenizer, write_tokenizer
from rho1bench.selection.stage import ScoreOptions
from rho1bench.system.files import write_json

BLOCKS, SIZE, VOCABULARY = 22, 16, 320
NUM_SHARDS = 6
"""Of four blocks, the last of two."""


def write_corpus(folder: Path, tokenizer: Path, **more: Any) -> Path:
    rows = np.random.default_rng(1).integers(0, VOCABULARY, (BLOCKS, SIZE)).astype(np.uint16)
    save_array(folder / shard_name("blocks", 0), rows)
    meta = {"num_blocks": BLOCKS, "block_size": SIZE, "shard_blocks": BLOCKS, "vocab_size": VOCABULARY}
    meta |= {"tokenizer_sha256": tokenizer_sha256(tokenizer), "fingerprint": "the corpus of the tests"}
    write_json(folder / "corpus.json", meta | more)
    return folder


def write_model(folder: Path, seed: int, positions: int = 64) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(**shape, vocab_size=VOCABULARY, max_position_embeddings=positions, initializer_range=0.5)
    LlamaForCausalLM(config).save_pretrained(folder)
    write_tokenizer(train_tokenizer(iter(["one two three four five six " * 9] * 3), 280), folder)
    return folder


@dataclass(frozen=True)
class World:
    model: Path
    corpus: Path
    store: Path

    def options(self, output: Path, **more: Any) -> ScoreOptions:
        options = ScoreOptions(self.corpus, output, str(self.model), batch_size=3, shard_tokens=4 * SIZE, num_threads=1)
        return replace(options, **more)

    def served(self, output: Path, base_url: str) -> ScoreOptions:
        """The same of a server."""
        return self.options(output, reference=None, server=base_url, model="model")
