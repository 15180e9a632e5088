"""How many machines and processes a run has, and what starts them: said by the command or its surroundings, no recipe.

The runner is one process, on the first node. Stages that work in ranks (``StageBase.in_ranks``) are started once a node
through torchrun (``pipeline.torchrun``): by this machine itself, by SLURM's ``srun``, or by a command line of the user.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from rho1bench.errors import RunError
from rho1bench.recipe import StageBase

LOCAL, SLURM = "local", "slurm"
COMMAND, NODE, NODES = "{command}", "{node}", "{nodes}"
"""What stands in a template for the command of an agent, the number of its node (from 0), and that of all nodes."""
RANK_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE")
"""How a rank knows its place; a runner that finds them in its surroundings is none."""


@dataclass(frozen=True)
class Launch:
    """The processes that a run's stages may use; without more, one."""

    nodes: int = 1
    gpus_per_node: int = 1
    """Processes on each node, one a GPU (on the CPU where there is none)."""
    launcher: str = LOCAL
    """``local``: every node is this machine; ``slurm``: ``srun``; else a shell command with :data:`COMMAND`."""

    @property
    def processes(self) -> int:
        """Ranks of a stage that works in ranks."""
        return self.nodes * self.gpus_per_node

    def starts_ranks(self, stage: StageBase) -> bool:
        """Tell whether ``stage`` runs in several processes, started by torchrun."""
        return self.processes > 1 and stage.in_ranks

    @property
    def options(self) -> str:
        """The options of the command line that say the same."""
        return f"--nodes {self.nodes} --gpus-per-node {self.gpus_per_node}"


def find_launch(
    nodes: int | None = None,
    gpus_per_node: int | None = None,
    launcher: str | None = None,
    environment: Mapping[str, str] | None = None,
    gpus_here: Callable[[], int] | None = None,
    is_planned: bool = False,
) -> Launch:
    """Return the launch that the options ask for; what they leave open is SLURM's or torchrun's, else this machine's.

    Args:
        nodes: number of machines; default: those of the SLURM job, or of torchrun's ``PET_NNODES``, else 1.
        gpus_per_node: processes a node; default: the GPUs that SLURM gives, ``PET_NPROC_PER_NODE``, else those that
            ``gpus_here`` counts, at least 1.
        launcher: ``local``, ``slurm`` or a template; default: ``slurm`` for several nodes of a SLURM job.
        environment: default: that of this process.
        gpus_here: default: :func:`num_gpus`.
        is_planned: nothing is to be started, so that it does not matter where this process runs.

    Raises RunError where the runner itself was started several times, or several nodes are asked for and nothing says
    how to start them, or a template has no place for the command.
    """
    found = os.environ if environment is None else environment
    if not is_planned:
        _check_alone(found)
    nodes = nodes or _number(found, "SLURM_JOB_NUM_NODES", "SLURM_NNODES", "PET_NNODES") or 1
    told = _number(found, "SLURM_GPUS_ON_NODE", "SLURM_GPUS_PER_NODE", "PET_NPROC_PER_NODE")
    gpus_per_node = gpus_per_node or told or max((gpus_here or num_gpus)(), 1)
    if launcher is None and nodes > 1:
        if "SLURM_JOB_ID" not in found:
            raise RunError(
                f"{nodes} nodes, and nothing says how to start them. Give --launcher slurm inside a SLURM job, a "
                "command line such as --launcher 'ssh node{node} {command}', or --launcher local to try several nodes "
                "on this machine."
            )
        launcher = SLURM
    launch = Launch(nodes, gpus_per_node, launcher or LOCAL)
    _check_launcher(launch, found, is_planned)
    return launch


def num_gpus() -> int:
    """Return how many GPUs torch sees on this machine."""
    if version("torch").endswith("+cpu"):
        return 0
    import torch

    return int(torch.cuda.device_count())


def first_node() -> str:
    """Return the name under which other nodes reach this one: ``MASTER_ADDR`` where it is given, else the host's."""
    import socket

    return os.environ.get("MASTER_ADDR") or socket.gethostname()


def leave_ranks_to_stages() -> None:
    """Forget the variables of a rank that the surroundings of the runner hold (a pod's ``WORLD_SIZE``, say)."""
    for name in RANK_VARIABLES:
        os.environ.pop(name, None)


def _check_alone(found: Mapping[str, str]) -> None:
    """Raise RunError where torchrun or srun has started several runners."""
    told = "`rho1bench run` is one process, on the first node, and starts the others itself"
    if "TORCHELASTIC_RUN_ID" in found:
        nodes, processes = found.get("GROUP_WORLD_SIZE", "1"), found.get("LOCAL_WORLD_SIZE", "1")
        raise RunError(
            f"{told}: leave torchrun out, and say --nodes {nodes} --gpus-per-node {processes} instead (several nodes "
            "also need --launcher)."
        )
    if (_number(found, "SLURM_STEP_NUM_TASKS") or 1) > 1:
        raise RunError(f"{told}: call it in the batch script without srun, or with `srun --nodes=1 --ntasks=1`.")


def _check_launcher(launch: Launch, found: Mapping[str, str], is_planned: bool) -> None:
    if launch.launcher == SLURM and not is_planned:
        if "SLURM_JOB_ID" not in found:
            raise RunError("--launcher slurm works inside a SLURM job, and SLURM_JOB_ID is not set here; use sbatch.")
        if launch.nodes > 1 and "SLURMD_NODENAME" not in found:
            raise RunError(
                "--launcher slurm works on the first node of the job, where ranks find each other, and this is no node "
                "of it (SLURMD_NODENAME is not set); use sbatch."
            )
    if launch.launcher not in (LOCAL, SLURM) and COMMAND not in launch.launcher:
        raise RunError(
            f"--launcher {launch.launcher!r}: expected local, slurm, or a command line with {COMMAND} where the "
            "command of a node goes, for example 'ssh node{node} {command}'."
        )


def _number(found: Mapping[str, str], *names: str) -> int | None:
    """Return the number at the end of the first variable that has one: ``8``, ``h100:8``."""
    for name in names:
        match = re.search(r"(\d+)$", found.get(name, ""))
        if match is not None and int(match[1]) > 0:
            return int(match[1])
    return None
