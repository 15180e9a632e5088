"""Stage ``score`` and ``rho1bench score``: a reference's scores of every token of a corpus, stored once (section 2.2).

Work is kept in parts of about a million tokens: each is written whole, and a killed run goes on with the first one
missing. Several processes (``accelerate launch``) take whole parts; when all are there they join them to large shards,
so they make the files that one would make.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.lib.format import open_memmap

from rho1bench.corpus.packed_corpus import Array, PackedCorpus
from rho1bench.errors import ScoreStoreError
from rho1bench.modeling.distributed import Processes
from rho1bench.pipeline.inputs import check_made_by_stage
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import CorpusStage, PretrainedModel, ScoreStage
from rho1bench.selection.local_reference import LocalReference
from rho1bench.selection.score_store import (
    FINISHED,
    NOTE,
    PARTS,
    TOKENS_PER_PART,
    TOKENS_PER_SHARD,
    Part,
    corpus_identity,
    differences,
    note_hash,
    noted_hashes,
    parts_of,
    remove_notes,
)
from rho1bench.selection.server_reference import ServedReference
from rho1bench.sizing.cost import Cost
from rho1bench.system.disk_errors import disk_errors
from rho1bench.system.files import (
    atomic_path,
    changed_files,
    content_hashes,
    read_json,
    remove_temporaries,
    write_json,
)
from rho1bench.system.hub import find_model
from rho1bench.system.progress import Progress, SilentProgress
from rho1bench.system.provenance import device


class Reference(Protocol):
    """What scores blocks; ``identity`` is what the store says of it."""

    identity: dict[str, Any]

    def scores(self, corpus: PackedCorpus, first: int, last: int, report: Callable[[int], None]) -> Array:
        """Return float16 loss and entropy of blocks ``first`` to ``last``, shape (blocks, T, 2)."""
        ...

    def flops(self, corpus: PackedCorpus) -> float | None:
        """Return the operations of scoring the whole corpus; None where they are not known."""
        ...


@dataclass(frozen=True)
class ScoreOptions:
    """``rho1bench score``: one of ``reference`` (a folder or hub id) and ``server`` with ``model``."""

    corpus: Path
    output: Path
    reference: str | None = None
    reference_name: str | None = None
    """What the store calls the reference; default: ``reference``."""
    server: str | None = None
    model: str | None = None
    tokenizer: Path | None = None
    precision: str = "fp32"
    batch_size: int = 64
    entropies: bool = True
    """Keep them, beside the losses."""
    shard_tokens: int = TOKENS_PER_SHARD
    part_tokens: int = TOKENS_PER_PART
    num_threads: int | None = None


def run(context: StageContext) -> None:
    """Write the score store; raises CheckpointError for an unfit reference, DataError for an unfit corpus.

    EngineError where a server scores and does not answer; ScoreStoreError for a folder with other scores.
    """
    stage = context.config(ScoreStage)
    packed = context.recipe.stage(stage.corpus)
    assert isinstance(packed, CorpusStage)
    reference = name = None
    if isinstance(stage.reference, PretrainedModel):
        name = stage.reference.pretrained
        reference = str(find_model(stage.reference.pretrained, stage.reference.revision)[0])
    elif stage.reference is not None:
        name = f"stage {stage.reference}"
        reference = str(context.input(stage.reference) / "checkpoint")
    options = ScoreOptions(
        corpus=context.input(stage.corpus),
        output=context.folder,
        reference=reference,
        reference_name=name,
        server=stage.server.base_url if stage.server else None,
        model=stage.server.model if stage.server else None,
        tokenizer=context.input(packed.tokenizer) / "tokenizer",
        precision=stage.precision,
        batch_size=stage.batch_size,
        entropies=stage.entropies,
        num_threads=context.options.num_threads,
    )
    score(options, context.progress)


def run_score(options: ScoreOptions) -> None:
    """Carry out ``rho1bench score``; the same command again continues or is done. Raises as :func:`run` does."""
    if options.reference is not None and Path(options.reference).is_dir():
        check_made_by_stage(Path(options.reference))
    with disk_errors(options.output):
        score(options, Progress("score"))


def score(options: ScoreOptions, progress: Progress) -> None:
    """Write the store that ``options`` ask for, alone or with other processes."""
    if options.num_threads is not None:
        torch.set_num_threads(options.num_threads)
    corpus = PackedCorpus(options.corpus)
    if (options.reference is None) == (options.server is None) or (options.server is None) != (options.model is None):
        raise ScoreStoreError("expected either a reference (--reference) or a server and its model (--server, --model)")
    processes = Processes()
    try:
        if processes.is_main:
            corpus.check_files()
        write_store(_reference(options, corpus, processes), corpus, options, progress, processes)
    finally:
        progress.close()
        processes.close()


def _reference(options: ScoreOptions, corpus: PackedCorpus, processes: Processes) -> Reference:
    if options.server is not None:
        return ServedReference(options.server, str(options.model), corpus)
    folder, _ = find_model(str(options.reference))
    return LocalReference(
        folder,
        options.reference_name or str(options.reference),
        corpus,
        precision=options.precision,
        batch_size=options.batch_size,
        device=processes.device,
        tokenizer=options.tokenizer,
    )


def write_store(
    reference: Reference, corpus: PackedCorpus, options: ScoreOptions, progress: Progress, processes: Processes
) -> None:
    """Write the missing shards, shared among the processes, and ``scores.json`` when all are there."""
    shard_blocks = max(options.shard_tokens // corpus.block_size, 1)
    has_entropy = options.entropies and reference.identity["has_entropy"]
    identity = {**reference.identity, **corpus_identity(corpus), "has_entropy": has_entropy}
    identity["shard_blocks"] = shard_blocks
    part_blocks = max(options.part_tokens // corpus.block_size, 1)
    parts = parts_of(options.output, len(corpus), shard_blocks, part_blocks)
    missing: list[int] = []
    if processes.is_main:
        _claim(options.output, identity)
        missing = _missing(options.output, parts, progress)
    own = [parts[number] for number in processes.from_main(missing)[processes.index :: processes.count]]
    shown = progress if processes.is_main else SilentProgress()
    shown.start(sum(part.last - part.first for part in own), "blocks")
    done, clock = 0, ShardClock(options.output, processes.is_main)
    for part in own:
        scores = reference.scores(corpus, part.first, part.last, _reporter(shown, done, corpus.block_size))
        part.path.parent.mkdir(exist_ok=True)
        _write(part.path, scores if has_entropy else scores[..., :1])
        note_hash(part.path)
        done += part.last - part.first
        clock.shard_is_done()
    shown.close()
    processes.wait()
    paths = list(dict.fromkeys(part.shard for part in parts))
    for path in paths[processes.index :: processes.count]:
        _join([part for part in parts if part.shard == path])
    processes.wait()
    if processes.is_main:
        cost = Cost(flops=reference.flops(corpus), seconds=clock.seconds, hardware=device())
        _finish(options.output, {**identity, "cost": cost.model_dump()}, paths)
        shutil.rmtree(options.output / PARTS, ignore_errors=True)
        clock.remove()


def _missing(folder: Path, parts: Sequence[Part], progress: Progress) -> list[int]:
    """Return the numbers of the parts that are to be scored, those that have changed since they were written too."""
    files = {path for part in parts for path in (part.path, part.shard)}
    changed = {folder / name for name in changed_files(folder, noted_hashes(folder))} & files
    pieces = folder / PARTS
    changed |= {pieces / name for name in changed_files(pieces, noted_hashes(pieces))} & files
    intact = {path for path in files if path.exists()} - changed
    missing = [number for number, part in enumerate(parts) if not {part.path, part.shard} & intact]
    if damaged := sorted(path.name for path in changed if path.exists()):
        progress.message(f"{', '.join(damaged)}: changed after the shard was written; scored again")
        for path in changed:
            path.unlink(missing_ok=True)
    if 0 < len(missing) < len(parts):
        word = "shards" if parts[0].path == parts[0].shard else "parts"
        progress.message(f"{len(parts) - len(missing)} of {len(parts)} {word} are there")
    return missing


def _join(parts: Sequence[Part]) -> None:
    """Put the parts of a shard together, and remove them; a shard that is there stays as it is."""
    shard = parts[0].shard
    if not shard.exists():
        pieces = [np.load(part.path, mmap_mode="r", allow_pickle=False) for part in parts]
        shape = (sum(len(piece) for piece in pieces), *pieces[0].shape[1:])
        with atomic_path(shard) as temporary:
            joined = open_memmap(temporary, mode="w+", dtype=pieces[0].dtype, shape=shape)  # type: ignore[no-untyped-call]
            for part, piece in zip(parts, pieces, strict=True):
                joined[part.first - parts[0].first : part.last - parts[0].first] = piece
            joined.flush()
        note_hash(shard)
    for part in parts:
        if part.path != shard:
            part.path.unlink(missing_ok=True)


def _finish(folder: Path, identity: Mapping[str, object], paths: Sequence[Path]) -> None:
    noted = noted_hashes(folder)
    found = noted | content_hashes(folder, [path.name for path in paths if path.name not in noted])
    write_json(folder / FINISHED, {**identity, "sha256": {path.name: found[path.name] for path in paths}})
    remove_notes(folder)


class ShardClock:
    """Wall seconds of a store's shards over all attempts, in a file of its own until the store is finished."""

    def __init__(self, folder: Path, is_main: bool) -> None:
        self._path, self._is_main = folder / "seconds.json", is_main
        self.seconds = _seconds(folder / FINISHED, self._path)
        self._began = time.monotonic()

    def shard_is_done(self) -> None:
        """Add the time since the last shard; the main process stands for those that work beside it."""
        now = time.monotonic()
        self.seconds, self._began = round(self.seconds + now - self._began, 3), now
        if self._is_main:
            write_json(self._path, {"seconds": self.seconds})

    def remove(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


def _seconds(finished: Path, under_way: Path) -> float:
    """Return the seconds of earlier attempts; stores of earlier versions tell none."""
    found = read_json(under_way) if under_way.is_file() else {}
    if finished.is_file():
        found = read_json(finished).get("cost", {})
    return float(found.get("seconds", 0.0))


def _claim(folder: Path, identity: dict[str, Any]) -> None:
    """Note whose scores follow; raises ScoreStoreError if the folder holds those of another reference or corpus."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporaries(folder, deep=False)
    note = folder / NOTE
    found = read_json(note) if note.exists() else None
    # Where weights have a hash, what they are called does not matter.
    compared = {key: value for key, value in identity.items() if key != "reference" or not identity["reference_sha256"]}
    if found is not None and differences(found, compared):
        raise ScoreStoreError(
            f"{folder}: holds token scores of another reference, tokenizer or packing:\n"
            f"{differences(found, compared)}\nGive another folder, or remove this one."
        )
    if found is None:
        write_json(note, identity)


def _reporter(progress: Progress, before: int, block_size: int) -> Callable[[int], None]:
    return lambda done: progress.update(before + done, tokens=(before + done) * block_size)


def _write(path: Path, scores: Array) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, scores, allow_pickle=False)
