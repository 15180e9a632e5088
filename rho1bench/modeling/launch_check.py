"""What a run on several nodes does before its first stage: every rank starts, reads its job, and meets the others.

That each rank sees the run folder is part of its start (``pipeline.stage_process``). Here they find each other over the
network and compare versions, so that what would stop the run is known before hours of tokenizing and packing.
"""

from __future__ import annotations

import socket
from importlib.metadata import version

import torch.distributed as dist

from rho1bench.errors import RunError
from rho1bench.modeling.distributed import Processes
from rho1bench.pipeline.stage import StageContext

COMPARED = ("rho1bench", "torch", "transformers", "accelerate")


def run(context: StageContext) -> None:
    """Say where the ranks are; raises RunError if nodes have other versions of packages than the first rank's."""
    processes = Processes()
    here = (socket.gethostname(), processes.device.type, {name: version(name) for name in COMPARED})
    found = [here] * processes.count
    dist.all_gather_object(found, here)
    processes.close()
    hosts = dict.fromkeys(host for host, _, _ in found)
    devices = ", ".join(dict.fromkeys(device for _, device, _ in found))
    for host, _, versions in found:
        if versions != found[0][2]:
            theirs = ", ".join(f"{name} {versions[name]}" for name in COMPARED if versions[name] != found[0][2][name])
            raise RunError(
                f"{host} has {theirs}, and {found[0][0]} has not. All nodes need one environment, best one folder that "
                "they share."
            )
    context.progress.message(f"{processes.count} ranks have met, on {', '.join(hosts)} ({devices})")
