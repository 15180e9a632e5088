"""What a rank of a distributed training stage knows of itself; outside one, the only process is rank 0 of 1."""

from __future__ import annotations

import os

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
