"""``rho1bench bench score``: scoring a corpus beside a bare forward pass of the same model over the same blocks.

The bare pass is ``model(input_ids=blocks_BT, use_cache=False).logits`` in inference mode: hidden states and the whole
logits of a batch, no loss, nothing kept. Scoring does what ``rho1bench score`` does with a shard: reads the blocks from
the memory map, hidden states, loss and entropy of every token, check, float16, and the file. Both have the same model,
blocks and batches and take turns, each the first one in every second round; the ratio is that of the medians.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from rho1bench.bench.train_variants import fresh_model
from rho1bench.corpus.packed_corpus import PackedCorpus, shard_name
from rho1bench.corpus.stage import save_array
from rho1bench.selection.local_reference import score_span
from rho1bench.sizing.shapes import ModelShape
from rho1bench.system.files import write_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BLOCK_SIZE, NUM_BLOCKS, BATCH_SIZE = 512, 8, 4
SHAPE = ModelShape(
    vocab_size=32_000,
    hidden_size=512,
    intermediate_size=1408,
    num_hidden_layers=9,
    num_attention_heads=8,
    num_key_value_heads=1,
    max_position_embeddings=BLOCK_SIZE,
)
"""TinyLlama-1.1B's proportions at a quarter of its width."""


@dataclass(frozen=True)
class ScoreBench:
    """Rates are tokens a second (medians); ``ratio`` is scoring's over the bare pass's."""

    device: str
    threads: int
    body_parameters: int
    vocab_size: int
    tokens: int
    rounds: int
    forward_per_second: float
    scoring_per_second: float
    ratio: float


def run(rounds: int = 7, threads: int | None = None, shape: ModelShape = SHAPE) -> ScoreBench:
    """Measure both ways on random blocks, after one round of each that does not count."""
    if threads is not None:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = nn.Module.to(fresh_model(shape), device).eval()
    with tempfile.TemporaryDirectory() as folder:
        corpus = random_corpus(Path(folder), shape.vocab_size)
        ways = [lambda: _forward(model, corpus), lambda: _score(model, corpus, Path(folder) / "scores.npy")]
        seconds: list[list[float]] = [[], []]
        for number in range(rounds + 1):
            for way in (0, 1) if number % 2 else (1, 0):
                taken = _seconds(ways[way], device)
                if number:
                    seconds[way].append(taken)
    tokens = len(corpus) * corpus.block_size
    forward, scoring = (tokens / statistics.median(values) for values in seconds)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    return ScoreBench(
        name,
        torch.get_num_threads(),
        shape.body_parameters,
        shape.vocab_size,
        tokens,
        rounds,
        forward,
        scoring,
        scoring / forward,
    )


def report(result: ScoreBench) -> str:
    """Return the measurement as text, its last line one line of JSON."""
    return "\n".join(
        (
            f"{result.body_parameters / 1e6:.1f}M body parameters, vocabulary of {result.vocab_size}, {result.tokens} "
            f"tokens in blocks of {BLOCK_SIZE}, batches of {BATCH_SIZE}, {result.device}, {result.threads} thread(s)",
            f"bare forward (hidden states, whole logits)  {result.forward_per_second:10.0f} tokens/s",
            f"scoring (loss, entropy, file)               {result.scoring_per_second:10.0f} tokens/s",
            f"ratio                                       {result.ratio:10.3f}",
            json.dumps(asdict(result)),
        )
    )


def random_corpus(folder: Path, vocab_size: int) -> PackedCorpus:
    """Write a packed corpus of random tokens."""
    rows = np.random.default_rng(0).integers(0, vocab_size, (NUM_BLOCKS, BLOCK_SIZE)).astype(np.uint16)
    save_array(folder / shard_name("blocks", 0), rows)
    meta = {"num_blocks": NUM_BLOCKS, "block_size": BLOCK_SIZE, "shard_blocks": NUM_BLOCKS, "vocab_size": vocab_size}
    write_json(folder / "corpus.json", meta)
    return PackedCorpus(folder)


def _forward(model: PreTrainedModel, corpus: PackedCorpus) -> None:
    with torch.inference_mode():
        for start in range(0, len(corpus), BATCH_SIZE):
            rows = corpus.blocks.rows(start, min(start + BATCH_SIZE, len(corpus)))
            model(input_ids=torch.from_numpy(rows.astype(np.int64)).to(model.device), use_cache=False)


def _score(model: PreTrainedModel, corpus: PackedCorpus, path: Path) -> None:
    save_array(path, score_span(model, corpus, 0, len(corpus), BATCH_SIZE, lambda done: None))


def _seconds(way: Callable[[], None], device: torch.device) -> float:
    began = time.perf_counter()
    way()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began
