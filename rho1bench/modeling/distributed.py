"""What a rank of a distributed training stage knows of itself; outside one, the only process is rank 0 of 1.

And the processes that share a piece of work, as accelerate finds them: one, or those of ``accelerate launch``.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist


def num_processes() -> int:
    """Return how many ranks train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Tell whether this is rank 0, the one that writes files and shows progress."""
    return os.environ.get("RANK", "0") == "0"


def wait_for_everyone() -> None:
    """Return when every rank has come here."""
    if num_processes() > 1 and dist.is_initialized():
        dist.barrier()


def allow_fsdp_on_cpu() -> None:
    """Let accelerate shard a model over CPU processes, which it offers for accelerators only; torch does it on any.

    For small runs and tests. Called between the training arguments, which start the process group, and the trainer.
    """
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    if PartialState().distributed_type == DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


_PATIENCE = timedelta(days=7)
"""How long a process that has done its share waits for the others."""


class Processes:
    """This process among ``count``; ``device`` is the accelerator that is its own, else the CPU."""

    def __init__(self) -> None:
        self.index, self.count = 0, 1
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._state: Any = None
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState

            self._state = PartialState(cpu=self.device.type == "cpu", timeout=_PATIENCE)
            self.index, self.count = self._state.process_index, self._state.num_processes
            self.device = self._state.device

    @property
    def is_main(self) -> bool:
        """True for one of the processes."""
        return self.index == 0

    def from_main(self, value: list[int]) -> list[int]:
        """Return the main process's ``value`` in every process."""
        if self._state is None:
            return value
        from accelerate.utils import broadcast_object_list

        found: list[list[int]] = broadcast_object_list([value])
        return found[0]

    def wait(self) -> None:
        """Wait until every process is here."""
        if self._state is not None:
            self._state.wait_for_everyone()

    def close(self) -> None:
        """Leave the group of processes."""
        if self._state is not None:
            self._state.destroy_process_group()
