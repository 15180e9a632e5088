"""Starts a training stage in several processes through torchrun, and says in one message why they ended early.

Used by ``stage_children`` for a stage with ``distributed:``. torchrun starts the ranks, tells them of each other, and
ends all of them when one dies; each rank finds its place in the environment (RANK, WORLD_SIZE, LOCAL_RANK).
"""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

from rho1bench.errors import RunError
from rho1bench.recipe import Distributed

_TAIL_LINES = 40
_TORCHRUN_LINE = re.compile(r"^[EW]\d{4} .*torch/distributed/elastic/.* failed \(exitcode", re.MULTILINE)
"""What torchrun writes when a rank has ended: the rank's own words stand before it."""


def launch_command(stage: str, distributed: Distributed, job: Path) -> list[str]:
    """Return the command that runs ``job`` in every rank; raises RunError where the number of ranks is unknown."""
    return [
        sys.executable,
        *("-m", "torch.distributed.run", "--standalone"),
        f"--nproc-per-node={distributed.num_processes or _num_gpus(stage)}",
        *("-m", "rho1bench.pipeline.stage_process", str(job)),
    ]


def _num_gpus(stage: str) -> int:
    import torch

    found: int = torch.cuda.device_count()
    if not found:
        raise RunError(
            f"stage {stage!r}: `distributed:` starts one process for each GPU, and this machine shows none. Give "
            f"`--set stages.{stage}.distributed.num_processes=2`, or leave `distributed:` out."
        )
    return found


def launch_failure(stage: str, log: str) -> Exception:
    """Return the error for ranks that ended without telling why; ``log`` is what they and torchrun wrote to stderr."""
    cause = log.rpartition("Root Cause")[2]
    rank = re.search(r"rank\s*:\s*(\d+)", cause)
    code = re.search(r"exitcode\s*:\s*(-?\d+)", cause)
    if rank is not None and code is not None and int(code[1]) < 0:
        name = signal.Signals(-int(code[1])).name
        hint = " (often the system's answer to too little memory)" if name == "SIGKILL" else ""
        return RunError(
            f"stage {stage!r}: rank {rank[1]} was ended by {name}{hint}, and the other ranks were stopped. Run the "
            "same command again: the stage goes on from its last resume point."
        )
    ours = _TORCHRUN_LINE.split(log, maxsplit=1)[0].rstrip().splitlines()
    return RuntimeError(f"a rank of stage {stage!r} failed:\n" + "\n".join(ours[-_TAIL_LINES:]))
