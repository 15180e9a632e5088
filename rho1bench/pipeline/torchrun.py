"""The agents that start the ranks of a stage, one a node, through torchrun; and one message for why ranks ended early.

torchrun's agent on each node starts the node's ranks, tells them of each other over its c10d rendezvous, and ends them
when one dies; each rank finds its place in the environment (RANK, WORLD_SIZE, LOCAL_RANK). ``pipeline.agents`` starts
the agents.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from rho1bench.errors import RunError
from rho1bench.pipeline.launch import COMMAND, LOCAL, NODE, NODES, SLURM, Launch, first_node, num_gpus

SIGNAL_CODES = 128
"""A shell's exit code, and srun's, for a signal is its number and this."""
_TAIL_LINES = 40
_TORCHRUN_LINE = re.compile(r"^[EW]\d{4} .*torch/distributed/elastic/.* failed \(exitcode", re.MULTILINE)
"""What torchrun writes when a rank has ended: the rank's own words stand before it."""


@dataclass(frozen=True)
class AgentCommand:
    """One process that the runner starts; ``name`` is what messages call it."""

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside that of the runner."""


def agent_commands(launch: Launch, job: Path, nonce: str, endpoint: str | None = None) -> list[AgentCommand]:
    """Return what the runner starts so that every rank of ``launch`` runs ``job``.

    Args:
        launch: how many ranks, and what starts them.
        job: the file of the job, on a disk that all nodes share.
        nonce: a word that stands in the file too, so that a rank can tell that it reads this very file.
        endpoint: host and port of the rendezvous; default: a free port of this machine, the first node.
    """
    if launch.nodes == 1 and launch.launcher == LOCAL:
        return [AgentCommand("torchrun", _torchrun(["--standalone"], launch, job, nonce))]
    if endpoint is None:
        endpoint = f"{'127.0.0.1' if launch.launcher == LOCAL else first_node()}:{free_port()}"
    meeting = [f"--nnodes={launch.nodes}", "--max-restarts=0", "--rdzv-backend=c10d"]
    meeting += [f"--rdzv-endpoint={endpoint}", f"--rdzv-id={nonce}"]
    if launch.launcher == SLURM:
        return [AgentCommand("srun", [*_srun(launch), *_torchrun(meeting, launch, job, nonce)])]
    if launch.launcher != LOCAL and NODE not in launch.launcher:
        return [AgentCommand("the launcher", _shell(launch, 0, _torchrun(meeting, launch, job, nonce)))]
    return [
        _agent(launch, node, _torchrun([*meeting, *_place(launch, node)], launch, job, nonce))
        for node in range(launch.nodes)
    ]


def _agent(launch: Launch, node: int, command: list[str]) -> AgentCommand:
    """Return the agent of one node: the first one's is started here, the others' by the template."""
    if node > 0 and launch.launcher != LOCAL:
        command = _shell(launch, node, command)
    return AgentCommand(f"the agent of node {node}", command)


def _torchrun(meeting: list[str], launch: Launch, job: Path, nonce: str) -> list[str]:
    return [
        sys.executable,
        *("-m", "torch.distributed.run", *meeting),
        f"--nproc-per-node={launch.gpus_per_node}",
        *("-m", "rho1bench.pipeline.stage_process", str(job), nonce),
    ]


def _place(launch: Launch, node: int) -> list[str]:
    """Say which agent serves the rendezvous, and, where all nodes are this machine, its address."""
    local = ["--local-addr=127.0.0.1"] if launch.launcher == LOCAL else []
    return [f"--rdzv-conf=is_host={int(node == 0)}", *local]


def _srun(launch: Launch) -> list[str]:
    command = ["srun", f"--nodes={launch.nodes}", f"--ntasks={launch.nodes}", "--ntasks-per-node=1"]
    if cores := os.environ.get("SLURM_CPUS_PER_TASK"):  # a step does not inherit it from the job
        command.append(f"--cpus-per-task={cores}")
    return [*command, "--kill-on-bad-exit=1"]


def _shell(launch: Launch, node: int, command: list[str]) -> list[str]:
    line = launch.launcher.replace(NODES, str(launch.nodes)).replace(NODE, str(node))
    return ["sh", "-c", line.replace(COMMAND, shlex.join(command))]


def missing_gpus(launch: Launch) -> str | None:
    """Return why this machine cannot be all nodes of a local launch: it has GPUs, but too few."""
    count = num_gpus()
    if launch.launcher != LOCAL or count == 0 or count >= launch.processes:
        return None
    return (
        f"`{launch.options}` on this machine alone takes {launch.processes} GPUs, and it shows {count}. Give fewer, "
        "say with --launcher how to reach other nodes, or hide the GPUs (CUDA_VISIBLE_DEVICES=) to try it on the CPU."
    )


def with_own_gpus(launch: Launch, commands: list[AgentCommand]) -> list[AgentCommand]:
    """Return the agents of a launch with GPUs of their own, where several nodes are this machine."""
    count = num_gpus() if launch.launcher == LOCAL and launch.nodes > 1 else 0
    if count == 0:
        return commands
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = named.split(",") if named else [str(index) for index in range(count)]
    each = launch.gpus_per_node
    shares = [devices[node * each : (node + 1) * each] for node in range(launch.nodes)]
    return [
        replace(command, environment={"CUDA_VISIBLE_DEVICES": ",".join(own)})
        for command, own in zip(commands, shares, strict=True)
    ]


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with closing(socket.socket()) as found:
        found.bind(("", 0))
        port: int = found.getsockname()[1]
        return port


@dataclass(frozen=True)
class Ending:
    """How the process of an agent ended, and what it and its ranks wrote to standard error."""

    name: str
    code: int
    log: str


def launch_failure(stage: str, endings: list[Ending]) -> Exception:
    """Return the error for agents that ended without a user's error; ``endings`` in the order in which they ended."""
    failed = [ending for ending in endings if ending.code != 0]
    for said in (*map(_signal_of_rank, failed), *map(_signal_of_agent, failed)):
        if said is not None:
            return RunError(
                f"stage {stage!r}: {said}, and all other ranks were stopped. Run the same command again: the stage "
                "goes on from its last resume point."
            )
    ours = _TORCHRUN_LINE.split(failed[0].log, maxsplit=1)[0].rstrip().splitlines()[-_TAIL_LINES:]
    if "Traceback" not in failed[0].log:
        said = "\n".join(ours) or "it said nothing"
        return RunError(f"stage {stage!r}: {failed[0].name} ended with code {failed[0].code}:\n{said}")
    return RuntimeError(f"a rank of stage {stage!r} failed:\n" + "\n".join(ours))


def _signal_of_rank(ending: Ending) -> str | None:
    """Say which rank was ended by which signal, from what torchrun says of the first one that failed."""
    cause = ending.log.rpartition("Root Cause")[2]
    rank = re.search(r"rank\s*:\s*(\d+)", cause)
    code = re.search(r"exitcode\s*:\s*(-?\d+)", cause)
    if rank is None or code is None or int(code[1]) >= 0:
        return None
    return f"rank {rank[1]} was ended by {_signal_words(-int(code[1]))}"


def _signal_of_agent(ending: Ending) -> str | None:
    number = -ending.code if ending.code < 0 else ending.code - SIGNAL_CODES
    return f"{ending.name} was ended by {_signal_words(number)}" if 0 < number <= signal.SIGRTMAX else None


def _signal_words(number: int) -> str:
    known = {one.value: one.name for one in signal.Signals}
    hint = " (often the system's answer to too little memory)" if number == signal.SIGKILL else ""
    return known.get(number, f"signal {number}") + hint
