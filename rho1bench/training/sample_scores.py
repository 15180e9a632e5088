"""A reference's scores of fine-tuning samples: made once before training, a share by each rank, and kept in one file.

Samples are scored in batches of like length, which are the same whatever the ranks; each rank takes every n-th of them
and leaves its share on the disk that all ranks see, so that none waits for the whole work of another.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from rho1bench.modeling.causal_lm import size_of_model
from rho1bench.modeling.distributed import any_rank, is_main, num_processes, rank, wait_for_everyone
from rho1bench.selection.dataset_scores import (
    RowScores,
    Scores,
    batches_of_like_length,
    check_finite,
    score_batches,
)
from rho1bench.selection.local_reference import scoring_flops
from rho1bench.selection.score_store import note_hash, noted_hashes
from rho1bench.sizing.cost import Cost
from rho1bench.system.files import atomic_path, changed_files, read_json, write_json
from rho1bench.system.provenance import device as device_name
from rho1bench.training.sft_data import TokenisedSample

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SCORES = "reference_scores.npy"
"""Of the samples, in the stage's folder; the shares lie in a folder of the same name until they are joined."""


def stored_scores(
    path: Path,
    load: Callable[[], PreTrainedModel],
    samples: Sequence[TokenisedSample],
    batch_size: int,
    precision: str = "fp32",
    device: torch.device | None = None,
) -> Scores:
    """Return the scores of every sample, made once by all ranks and kept in ``path``; every rank has to call this.

    A file that changed since it was written is made again. What scoring took is beside it, see :func:`scoring_cost`.

    Args:
        path: the file.
        load: gives the reference.
        samples: the same in every rank.
        batch_size: samples of one forward pass.
        precision: that of its products, ``fp32`` or ``bf16``.
        device: on which ranks talk to each other; default: the CPU.

    Raises CheckpointError if a score is not finite.
    """
    if any_rank(is_main() and not _is_stored(path), device or torch.device("cpu")):
        rows = [sample.input_ids for sample in samples]
        batches = batches_of_like_length(rows, batch_size)
        began, model = time.monotonic(), load().eval()
        _write_share(path, score_batches(model, rows, _share(batches, rank()), precision))
        wait_for_everyone()
        if is_main():
            flops = sum(scoring_flops(size_of_model(model), 1, len(row)) for row in rows)
            cost = Cost(flops=flops, seconds=round(time.monotonic() - began, 3), hardware=device_name())
            write_json(path.with_suffix(".json"), cost.model_dump())
            _join_shares(path, rows, batches)
            note_hash(path)
        wait_for_everyone()
    ends = np.cumsum([len(sample.input_ids) - 1 for sample in samples])[:-1]
    return list(np.split(np.load(path, allow_pickle=False), ends))


def scoring_cost(path: Path) -> Cost:
    """Return what making the scores in ``path`` took."""
    return Cost.model_validate(read_json(path.with_suffix(".json")))


def _is_stored(path: Path) -> bool:
    return path.exists() and not changed_files(path.parent, noted_hashes(path.parent))


def _share(batches: Sequence[list[int]], number: int) -> Sequence[list[int]]:
    """Return the batches of one rank; since neighbours are of like length, all ranks have about as many tokens."""
    return batches[number :: num_processes()]


def _write_share(path: Path, scores: dict[int, RowScores]) -> None:
    check_finite(scores.values(), "the reference of the samples")
    _write(_share_path(path, rank()), list(scores.values()))


def _join_shares(path: Path, rows: Sequence[Sequence[int]], batches: Sequence[list[int]]) -> None:
    """Write the shares of all ranks to ``path`` in the order of the samples, and remove them."""
    scores: dict[int, RowScores] = {}
    for number in range(num_processes()):
        numbers = [row for batch in _share(batches, number) for row in batch]
        found = np.load(_share_path(path, number), allow_pickle=False)
        ends = np.cumsum([len(rows[row]) - 1 for row in numbers])
        scores |= zip(numbers, np.split(found, ends), strict=False)  # what is behind the last end is empty
    _write(path, [scores[number] for number in range(len(rows))])
    shutil.rmtree(path.with_suffix(""))


def _share_path(path: Path, number: int) -> Path:
    return path.with_suffix("") / f"rank-{number:05d}.npy"


def _write(path: Path, scores: Sequence[RowScores]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, np.concatenate([np.empty((0, 2), np.float32), *scores]), allow_pickle=False)
