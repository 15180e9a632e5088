"""Stage ``corpus``: reads the sources, tokenises them and writes packed blocks in shards (paper section 3.1).

Shards are written whole, and with each the place to go on from (``corpus.resume``), so a killed stage loses less than
a shard and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from rho1bench.corpus.decontamination import OverlapCount, overlap_line, read_benchmark_texts
from rho1bench.corpus.encoder import Workers
from rho1bench.corpus.masking import MAX_BLOCK_SIZE, document_ids
from rho1bench.corpus.mixture import Mixture, SourceState, TokenSource
from rho1bench.corpus.packed_corpus import Array, CorpusMeta, Shards, SourceAccount, shard_blocks, shard_name
from rho1bench.corpus.packing import Packer, Shard
from rho1bench.corpus.resume import Saved, load_progress, remove_progress, save_progress
from rho1bench.corpus.sources.documents import BadRows
from rho1bench.corpus.sources.reader import SourceReader
from rho1bench.corpus.tokenizer import tokenizer_sha256, vocabulary_size
from rho1bench.errors import DataError
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import CorpusStage, Source
from rho1bench.system.files import atomic_path, content_hashes, sha256_json, write_json
from rho1bench.system.progress import Progress

_FORMAT = 1
_HASHED_BLOCKS = 2**16
"""The content is hashed in groups of this many blocks, tokens before kinds, whatever the size of the shards."""
_TOKENS_AT_ONCE = 2**20


def run(context: StageContext) -> None:
    """Write the packed corpus; raises DataError for bad sources or too few tokens for the budget."""
    stage = context.config(CorpusStage)
    if (context.folder / "corpus.json").is_file():
        remove_progress(context.folder)
        return
    if stage.document_masking and stage.block_size > MAX_BLOCK_SIZE:
        raise DataError(f"corpus {stage.name!r}: document_masking takes blocks of at most {MAX_BLOCK_SIZE} tokens.")
    folder = context.input(stage.tokenizer) / "tokenizer"
    vocab_size = vocabulary_size(folder)
    identity = [stage.model_dump(mode="json", exclude={"num_workers"}), context.seed, tokenizer_sha256(folder)]
    saved = load_progress(context.folder, sha256_json(identity))
    dtype = np.uint16 if vocab_size <= 2**16 else np.uint32
    packer = Packer(stage.block_size, shard_blocks(stage.block_size), stage.max_blocks, dtype)
    benchmarks = context.input(stage.benchmark_texts) if stage.benchmark_texts else None
    with Workers(folder, stage.num_workers, benchmarks) as workers:
        sources = _token_sources(stage, context.seed, workers, saved)
        mixture = Mixture(sources, [source.weight for source in stage.sources if source.weight is not None])
        hashes = _pack(context, packer, sources, mixture, saved, sha256_json(identity))
    _check_size(stage, packer, mixture, sources)
    meta: CorpusMeta = {
        "num_blocks": packer.num_blocks,
        "block_size": stage.block_size,
        "num_tokens": packer.num_blocks * stage.block_size,
        "num_documents": sum(source.num_documents for source in sources),
        "tokenizer_sha256": tokenizer_sha256(folder),
        "vocab_size": vocab_size,
        "kinds": packer.kinds.names,
        "shard_blocks": shard_blocks(stage.block_size),
        "document_masking": stage.document_masking,
        "sources": [_account(*item, packer) for item in enumerate(zip(stage.sources, sources, strict=True))],
    }
    if benchmarks is not None:
        _tell_overlaps(meta, sources, benchmarks, context.progress)
    meta["fingerprint"] = _fingerprint(context.folder, meta)
    meta["sha256"] = hashes
    write_json(context.folder / "corpus.json", meta)
    remove_progress(context.folder)


def _token_sources(stage: CorpusStage, seed: int, workers: Workers, saved: Saved | None) -> list[TokenSource]:
    states: Sequence[SourceState | None] = saved.sources if saved is not None else [None] * len(stage.sources)
    sources = []
    for source, state in zip(stage.sources, states, strict=True):
        reader = SourceReader(source, seed, stage.max_line_bytes, state["start"] if state else None)
        bad = BadRows(stage.on_bad_line, **state["bad"]) if state else BadRows(stage.on_bad_line)
        overlap = OverlapCount(source.decontaminate or "report", state["overlap"] if state else None)
        sources.append(TokenSource(reader, workers, bad, overlap, state))
    return sources


def _pack(
    context: StageContext,
    packer: Packer,
    sources: Sequence[TokenSource],
    mixture: Mixture,
    saved: Saved | None,
    identity: str,
) -> dict[str, str]:
    """Write all shards, resuming from ``saved``; return the hashes of their files."""
    stage = context.config(CorpusStage)
    hashes = dict(saved.hashes) if saved is not None else {}
    if saved is not None:
        packer.restore(saved.waiting, saved.num_blocks, saved.tokens_kept, saved.kinds)
        mixture.current = saved.current
    context.progress.start(stage.max_blocks or 0, "blocks")
    if not packer.is_full():
        for number, document in mixture:
            before = packer.num_blocks
            for shard in packer.add(number, document):
                hashes |= _write(context.folder, shard, packer.num_blocks, stage)
            if packer.num_blocks > before:
                save_progress(context.folder, identity, packer, sources, mixture.current, hashes)
            context.progress.update(packer.blocks_so_far)
            if packer.is_full():
                break
    rest = packer.rest()
    if rest is not None:
        hashes |= _write(context.folder, rest, packer.num_blocks, stage)
    context.progress.close()
    for line in _skipped(stage, sources):
        context.progress.message(line)
    return hashes


def _skipped(stage: CorpusStage, sources: Sequence[TokenSource]) -> list[str]:
    """Return a line about each source of which lines were skipped."""
    pairs = zip(stage.sources, sources, strict=True)
    return [f"{described.place}: {source.bad.describe()}" for described, source in pairs if source.bad.counts]


def _write(folder: Path, shard: Shard, num_blocks: int, stage: CorpusStage) -> dict[str, str]:
    """Write the files of a shard; return their hashes, taken while they are still in memory."""
    index = (num_blocks - len(shard.tokens)) // shard_blocks(stage.block_size)
    arrays: dict[str, Array] = {"blocks": shard.tokens, "kinds": shard.kinds}
    if stage.document_masking:
        arrays["documents"] = document_ids(shard.starts)
    names = {shard_name(prefix, index): array for prefix, array in arrays.items()}
    for name, array in names.items():
        save_array(folder / name, array)
    return content_hashes(folder, names)


def _check_size(stage: CorpusStage, packer: Packer, mixture: Mixture, sources: Sequence[TokenSource]) -> None:
    wanted = stage.max_blocks or 1
    if packer.num_blocks >= (1 if stage.at_most else wanted):
        return
    skipped = "".join(f" {line}." for line in _skipped(stage, sources))
    if not any(source.num_documents for source in sources):
        raise DataError(
            f"corpus {stage.name!r}: its sources hold no document that can be read.{skipped} Check the files and the "
            "sources' `text_field`."
        )
    if mixture.used_up is not None:
        source = stage.sources[mixture.used_up]
        raise DataError(
            f"corpus {stage.name!r}: the source {source.place} is used up after {packer.num_blocks} of the {wanted} "
            f"blocks of {stage.block_size} tokens, so that its share (weight {source.weight:g}) cannot be kept. "
            f"Lower num_tokens or its weight, or give it more documents.{skipped}"
        )
    budget = "num_blocks" if stage.num_tokens is None else "num_tokens"
    raise DataError(
        f"corpus {stage.name!r}: the sources fill {packer.num_blocks} blocks of {stage.block_size} tokens, but "
        f"{wanted} are asked for. Give it more documents or lower {budget}.{skipped}"
    )


def _account(number: int, pair: tuple[Source, TokenSource], packer: Packer) -> SourceAccount:
    """Return what one source gave."""
    described, source = pair
    return {
        "source": described.place,
        "weight": described.weight,
        "num_tokens": packer.tokens_kept.get(number, 0),
        "num_documents": source.num_documents,
        "bad_lines": {
            kind: {"count": count, "first": source.bad.first[kind]} for kind, count in sorted(source.bad.counts.items())
        },
    }


def _tell_overlaps(meta: CorpusMeta, sources: Sequence[TokenSource], benchmarks: Path, progress: Progress) -> None:
    """Write into ``meta`` which benchmark texts the sources hold, and tell of it."""
    texts, meta["benchmark_texts"] = read_benchmark_texts(benchmarks)
    for account, source in zip(meta["sources"], sources, strict=True):
        account["benchmark_overlap"] = source.overlap.told(texts)
        if line := overlap_line(account["source"], account["benchmark_overlap"]):
            progress.message(line)


def _fingerprint(folder: Path, meta: CorpusMeta) -> str:
    """Return the hash of blocks, tokenizer and packing, from the files as they lie there."""

    def shards(prefix: str) -> Shards:
        per_shard = meta["shard_blocks"]
        paths = [folder / shard_name(prefix, index) for index in range(-(-meta["num_blocks"] // per_shard))]
        return Shards(paths, meta["num_blocks"], per_shard, max_open=1)

    digest, size = hashlib.sha256(), meta["num_blocks"]
    both = (shards("blocks"), shards("kinds"))
    for start in range(0, size, _HASHED_BLOCKS):
        for rows in both:
            for part in _parts(rows, start, min(start + _HASHED_BLOCKS, size), meta["block_size"]):
                digest.update(np.ascontiguousarray(part, dtype=np.uint32).tobytes())
    identity = [_FORMAT, digest.hexdigest(), meta["tokenizer_sha256"], meta["block_size"]]
    if meta["document_masking"]:
        masks = hashlib.sha256()
        for part in _parts(shards("documents"), 0, size, meta["block_size"]):
            masks.update(np.ascontiguousarray(part).tobytes())
        identity.append(masks.hexdigest())
    return sha256_json(identity)


def _parts(rows: Shards, start: int, stop: int, block_size: int) -> Iterator[Array]:
    step = max(_TOKENS_AT_ONCE // block_size, 1)
    for first in range(start, stop, step):
        yield rows.rows(first, min(first + step, stop))


def save_array(path: Path, array: Array) -> None:
    """Write ``array`` as ``.npy``, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, array, allow_pickle=False)
