"""Stage ``corpus``: reads the sources, tokenises them and writes packed blocks in shards (paper section 3.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rho1bench.corpus.documents import read_documents
from rho1bench.corpus.packed import SHARD_BLOCKS, shard_name
from rho1bench.corpus.packing import Array, Packer
from rho1bench.corpus.tokenizer import load_raw_tokenizer, tokenizer_sha256
from rho1bench.errors import DataError
from rho1bench.files import atomic_path, sha256_json, write_json
from rho1bench.recipe import CorpusStage
from rho1bench.stage import StageContext

_FORMAT = 1


def run(context: StageContext) -> None:
    """Write the packed corpus; raises DataError for bad sources or too few tokens for ``num_blocks``."""
    stage = context.config(CorpusStage)
    tokenizer_folder = context.input(stage.tokenizer) / "tokenizer"
    tokenizer = load_raw_tokenizer(tokenizer_folder)
    packer = Packer(tokenizer, stage.block_size)
    blocks = islice(packer.blocks(read_documents(stage.sources, context.seed)), stage.num_blocks)
    context.progress.start(stage.num_blocks or 0, "blocks")
    dtype = np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32
    num_blocks, content_sha256 = _write_shards(context, blocks, dtype)
    context.progress.close()
    _check_size(stage, num_blocks)
    meta = {
        "num_blocks": num_blocks,
        "block_size": stage.block_size,
        "num_tokens": num_blocks * stage.block_size,
        "num_documents": packer.num_documents,
        "tokenizer_sha256": tokenizer_sha256(tokenizer_folder),
        "vocab_size": tokenizer.get_vocab_size(),
        "kinds": packer.kinds.names,
    }
    identity = [_FORMAT, content_sha256, meta["tokenizer_sha256"], stage.block_size]
    write_json(context.folder / "corpus.json", {**meta, "fingerprint": sha256_json(identity)})


def _check_size(stage: CorpusStage, num_blocks: int) -> None:
    wanted = stage.num_blocks or 1
    if num_blocks < wanted:
        raise DataError(
            f"corpus {stage.name!r}: the sources fill {num_blocks} blocks of {stage.block_size} tokens, but {wanted} "
            "are asked for. Give it more documents or lower num_blocks."
        )


def _write_shards(context: StageContext, blocks: Iterator[tuple[Array, Array]], dtype: Any) -> tuple[int, str]:
    """Write all blocks; return their number and the hash of their tokens and kinds."""
    digest = hashlib.sha256()
    num_blocks = shard = 0
    while True:
        tokens: list[Array] = []
        kinds: list[Array] = []
        for block_tokens, block_kinds in islice(blocks, SHARD_BLOCKS):
            tokens.append(block_tokens.astype(dtype))
            kinds.append(block_kinds)
            context.progress.update(num_blocks + len(tokens))
        if not tokens:
            return num_blocks, digest.hexdigest()
        for prefix, rows in (("blocks", tokens), ("kinds", kinds)):
            array = np.stack(rows)
            digest.update(np.ascontiguousarray(array, dtype=np.uint32).tobytes())
            save_array(context.folder / shard_name(prefix, shard), array)
        num_blocks += len(tokens)
        shard += 1


def save_array(path: Path, array: Array) -> None:
    """Write ``array`` as ``.npy``, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, array, allow_pickle=False)
