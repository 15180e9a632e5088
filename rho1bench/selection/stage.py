"""Stage ``score`` and ``rho1bench score``: a reference's scores of every token of a corpus, stored once (section 2.2).

Work is kept in shards of about a million tokens: each is written whole, and a killed run goes on with the first one
missing. Several processes (``accelerate launch``) take whole shards, so they make the files that one would make.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

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
    TOKENS_PER_SHARD,
    corpus_identity,
    differences,
    note_hash,
    noted_hashes,
    remove_notes,
    shard_paths,
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
    shard_tokens: int = TOKENS_PER_SHARD
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
    identity = {**reference.identity, **corpus_identity(corpus), "shard_blocks": shard_blocks}
    paths = shard_paths(options.output, len(corpus), shard_blocks)
    missing: list[int] = []
    if processes.is_main:
        _claim(options.output, identity)
        missing = _missing(options.output, paths, progress)
    missing = processes.from_main(missing)
    own = missing[processes.index :: processes.count]
    shown = progress if processes.is_main else SilentProgress()
    shown.start(sum(_size(index, shard_blocks, corpus) for index in own), "blocks")
    done, clock = 0, ShardClock(options.output, processes.is_main)
    for index in own:
        first = index * shard_blocks
        last = first + _size(index, shard_blocks, corpus)
        _write(paths[index], reference.scores(corpus, first, last, _reporter(shown, done, corpus.block_size)))
        note_hash(paths[index])
        done += last - first
        clock.shard_is_done()
    shown.close()
    processes.wait()
    if processes.is_main:
        cost = Cost(flops=reference.flops(corpus), seconds=clock.seconds, hardware=device())
        _finish(options.output, {**identity, "cost": cost.model_dump()}, paths)
        clock.remove()


def _missing(folder: Path, paths: Sequence[Path], progress: Progress) -> list[int]:
    """Return the shards that are to be written, those that have changed since they were written too."""
    changed = changed_files(folder, noted_hashes(folder))
    missing = [index for index, path in enumerate(paths) if not path.exists() or path.name in changed]
    if damaged := [path.name for path in paths if path.exists() and path.name in changed]:
        progress.message(f"{', '.join(damaged)}: changed after the shard was written; scored again")
    if 0 < len(missing) < len(paths):
        progress.message(f"{len(paths) - len(missing)} of {len(paths)} shards are there")
    return missing


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


def _size(index: int, shard_blocks: int, corpus: PackedCorpus) -> int:
    return min(shard_blocks, len(corpus) - index * shard_blocks)


def _reporter(progress: Progress, before: int, block_size: int) -> Callable[[int], None]:
    return lambda done: progress.update(before + done, tokens=(before + done) * block_size)


def _write(path: Path, scores: Array) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, scores, allow_pickle=False)
