"""The processes that work together: ranks of a training stage, or those of ``accelerate launch`` that score a corpus.

Training stages are started by torchrun, whose variables every rank reads here; outside of it the only process is rank 0
of 1. Rows are those of a batch, as selection ranks them over all ranks (paper section 2.2).
"""

from __future__ import annotations

import os
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor


def num_processes() -> int:
    """Return how many ranks work together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Tell whether this is rank 0, the one that writes files and shows progress."""
    return os.environ.get("RANK", "0") == "0"


def in_group() -> bool:
    """Tell whether other processes work beside this one."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """Return the number of this rank, from 0."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Return the number of this rank on its node, which is that of its accelerator."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def wait_for_everyone() -> None:
    """Return when every rank has come here."""
    if in_group():
        dist.barrier()


def all_rows(rows: Tensor) -> Tensor:
    """Return the rows of all ranks, in the order of the ranks; every rank must have equally many."""
    if not in_group():
        return rows
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def own_rows(num_rows: int) -> slice:
    """Return where this rank's ``num_rows`` stand among :func:`all_rows`."""
    rank = dist.get_rank() if in_group() else 0
    return slice(rank * num_rows, (rank + 1) * num_rows)


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return the elementwise sum of a tensor over all ranks, in each of them."""
    if in_group():
        values = values.clone()
        dist.all_reduce(values)
    return values


def any_rank(here: bool, device: torch.device) -> bool:
    """Return whether it is so in any rank; every rank has to ask, each with its ``device``."""
    if not in_group():
        return here
    found = torch.tensor(int(here), device=device)
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return bool(found)


_PATIENCE = timedelta(days=7)
"""How long a process that has done its share waits for the others."""


class Processes:
    """The processes that share the scoring of a corpus; this one is number ``index`` of ``count``.

    ``device`` is the accelerator that is this process's own, else the CPU. Starts the group of processes where
    ``accelerate launch`` or torchrun has started several.
    """

    def __init__(self) -> None:
        self.index, self.count = 0, num_processes()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.count > 1:
            from accelerate import PartialState

            state = PartialState(cpu=self.device.type == "cpu", timeout=_PATIENCE)
            self.index, self.count, self.device = state.process_index, state.num_processes, state.device

    @property
    def is_main(self) -> bool:
        """True for one of the processes."""
        return self.index == 0

    def from_main(self, value: list[int]) -> list[int]:
        """Return the main process's ``value`` in every process."""
        if not in_group():
            return value
        found = [value]
        dist.broadcast_object_list(found, src=0, device=self.device)
        return found[0]

    def wait(self) -> None:
        """Wait until every process is here."""
        wait_for_everyone()

    def close(self) -> None:
        """Leave the group of processes."""
        if in_group():
            dist.destroy_process_group()
