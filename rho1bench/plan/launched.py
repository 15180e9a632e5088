"""What a launch starts for each stage: in how many processes, how they share a batch, and by which command."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rho1bench.errors import RunError
from rho1bench.pipeline.launch import SLURM, Launch, find_launch
from rho1bench.pipeline.torchrun import agent_commands
from rho1bench.recipe import EvalStage, Recipe, ScoreStage, StageBase, TrainStage

GPUS_OF_A_NODE = 8
"""Of the nodes that ``--gpus 32`` is taken to mean."""
_JOB = Path("RUN/stages/STAGE/launch/job.json")


@dataclass(frozen=True)
class Start:
    """How one stage is started, or all variants of a matrix."""

    stage: str
    processes: int
    how: str
    """What one process does, in words."""


def planned_launch(
    nodes: int | None, gpus_per_node: int | None, gpus: int | None = None, launcher: str | None = None
) -> Launch:
    """Return the launch that a plan is made for; by default one GPU, and ``srun`` for several nodes.

    Raises RunError where ``gpus``, all of them together, is given beside nodes or GPUs a node.
    """
    if gpus is None:
        launcher = launcher or (SLURM if (nodes or 1) > 1 else None)
        return find_launch(nodes, gpus_per_node, launcher, gpus_here=lambda: 1, is_planned=True)
    if nodes is not None or gpus_per_node is not None:
        raise RunError("--gpus counts all GPUs; give it, or --nodes and --gpus-per-node.")
    if gpus > GPUS_OF_A_NODE and gpus % GPUS_OF_A_NODE == 0:
        return Launch(gpus // GPUS_OF_A_NODE, GPUS_OF_A_NODE, launcher or SLURM)
    return Launch(1, gpus)


def starts(recipe: Recipe, launch: Launch, every: bool = False) -> list[Start]:
    """Return how ``launch`` starts each stage; variants of a matrix that are started alike as one, or ``every``."""
    found = [(_title(stage, every), *_start(stage, launch)) for stage in recipe.stages]
    alike = ((key, len(list(members))) for key, members in groupby(found))
    return [Start(name if count == 1 else f"{name} ({count})", number, how) for (name, number, how), count in alike]


def _title(stage: StageBase, every: bool) -> str:
    return stage.name if every or stage.variant is None else f"{stage.variant.group}-*"


def _start(stage: StageBase, launch: Launch) -> tuple[int, str]:
    """Return in how many processes a stage runs, and what one of them does."""
    if not launch.starts_ranks(stage):
        if isinstance(stage, EvalStage) and (copies := copies_of(stage, launch.gpus_per_node)) > 1:
            return 1, f"one process, {copies} copies of the model, each on a GPU of the first node (vllm)"
        alone = isinstance(stage, TrainStage) and launch.processes > 1
        return 1, "one process: the recipe gives no `distributed:`" if alone else "one process"
    if isinstance(stage, ScoreStage):
        return launch.processes, "whole shards of the corpus each"
    if not isinstance(stage, TrainStage) or stage.distributed is None:
        return launch.processes, "a share each"
    micro, times = micro_batches(stage, launch.processes)
    words = f"{stage.distributed.strategy}, takes {times} x {micro} of the {stage.batch_size} in a step"
    if stage.float8 == "tensorwise":
        words += f"; the tokens of {micro} share their scales of float8, so that this number counts"
    elif "micro_batch_size" in stage.depends_on():
        words += f"; tokens are ranked among {micro * launch.processes} at a time, so that their number counts"
    return launch.processes, words


def copies_of(stage: EvalStage, gpus_per_node: int) -> int:
    """Return how many copies of a model an evaluation has side by side on a node with GPUs."""
    if stage.data_parallel_size is not None:
        return stage.data_parallel_size
    return 1 if stage.engine == "hf" else gpus_per_node


def micro_batches(stage: TrainStage, processes: int) -> tuple[int, int]:
    """Return how many blocks (or samples) a process takes at a time, and how many times in a step."""
    micro = stage.micro_batch_size or max(stage.batch_size // processes, 1)
    return micro, stage.batch_size // (micro * processes)


def unfit_batches(recipe: Recipe, launch: Launch) -> Iterator[tuple[str, str]]:
    """Yield the training stages whose ``batch_size`` the processes of ``launch`` cannot share, and why in words."""
    for stage in recipe.stages_of(TrainStage):
        if not launch.starts_ranks(stage):
            continue
        micro, times = micro_batches(stage, launch.processes)
        if micro * times * launch.processes != stage.batch_size:
            whole = stage.batch_size // (stage.micro_batch_size or 1)
            fits = max(number for number in range(1, launch.processes + 1) if whole % number == 0)
            yield (
                stage.name,
                f"{stage.batch_size} is no multiple of {launch.processes} processes x micro_batch_size {micro}; {fits} "
                "would do",
            )


def command_line(launch: Launch) -> str:
    """Return what the runner starts for a stage that works in ranks, as one line of a shell for each process."""
    endpoint = None if launch.nodes == 1 else "FIRST_NODE:PORT"
    commands = (one.command for one in agent_commands(launch, _JOB, "NONCE", endpoint))
    return "\n".join(shlex.join("python" if part == sys.executable else part for part in one) for one in commands)
