"""The plan of a run on GPUs as a table for a terminal (``rho1bench plan``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from rho1bench.pipeline.launch import Launch
from rho1bench.plan.communication import BETWEEN_NODES
from rho1bench.plan.estimate import Machine, RunPlan, StagePlan, make_machine, plan_run
from rho1bench.plan.evaluation import MOST_TOKENS_A_SECOND, WRITING
from rho1bench.plan.launched import command_line, starts
from rho1bench.recipe import Recipe
from rho1bench.sizing.gpus import find_gpu

N = TypeVar("N", int, float)
COLUMNS = (
    "steps",
    "tokens",
    "params",
    "weights",
    "grads",
    "optim.",
    "activ.",
    "GB/GPU",
    "disk",
    "comm. h",
    "hours",
    "GPU hours",
)


def make_plan(
    recipe: Recipe,
    gpu: str,
    num_gpus: int = 1,
    share: float | None = None,
    tokens_per_second: float | None = None,
    nodes: int = 1,
) -> RunPlan:
    """Return the plan of ``recipe``; raises RunError for an unknown GPU or contradictory options."""
    return plan_run(recipe, make_machine(recipe, find_gpu(gpu), num_gpus, share, tokens_per_second, nodes))


def print_plan(plan: RunPlan, recipe: Recipe, console: Console, every: bool = False) -> None:
    """Print the plan of ``recipe``, the variants of a matrix in one row, or in ``every`` its own."""
    console.print(table_of(plan if every else with_variants_together(plan, recipe)))
    for line in explanations(plan):
        console.print(line, highlight=False, soft_wrap=True)


def print_starts(recipe: Recipe, launch: Launch, console: Console, every: bool = False) -> None:
    """Print what ``rho1bench run`` starts for each stage, and by which command."""
    title = f"what `rho1bench run {recipe.name} {launch.options}` starts"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("stage", no_wrap=True)
    table.add_column("processes", justify="right", no_wrap=True)
    table.add_column("each of them")
    rows = starts(recipe, launch, every)
    for start in rows:
        table.add_row(start.stage, str(start.processes), start.how)
    console.print(table)
    if any(start.processes > 1 for start in rows):
        lines = f"each stage in {launch.processes} processes, by the runner on the first node:\n{command_line(launch)}"
        console.print(lines, markup=False, highlight=False, soft_wrap=True)


def with_variants_together(plan: RunPlan, recipe: Recipe) -> RunPlan:
    """Return the plan with one row for the variants of a matrix: sums, and the memory of the largest."""
    variants = {stage.name: f"{stage.variant.group}-*" for stage in recipe.stages if stage.variant is not None}
    rows = [list(rows) for _, rows in groupby(plan.stages, key=lambda row: variants.get(row.name, row.name))]
    return replace(plan, stages=[rows[0] if len(rows) == 1 else _together(rows, variants) for rows in rows])


def _together(rows: Sequence[StagePlan], variants: Mapping[str, str]) -> StagePlan:
    largest = max(rows, key=lambda row: row.memory.total if row.memory else 0)
    return replace(
        largest,
        name=f"{variants[largest.name]} ({len(rows)})",
        steps=known_sum(row.steps for row in rows),
        tokens=known_sum(row.tokens for row in rows),
        disk=known_sum(row.disk for row in rows),
        hours=known_sum(row.hours for row in rows),
        communication=known_sum(row.communication for row in rows),
    )


def known_sum(numbers: Iterable[N | None]) -> N | None:
    """Add up what is known; None where nothing is."""
    known = [number for number in numbers if number is not None]
    return sum(known[1:], known[0]) if known else None


def table_of(plan: RunPlan) -> Table:
    """Return one row a stage and a total."""
    machine = plan.machine
    title = f"{plan.recipe} on {machine.num_gpus} x {machine.gpu.title}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_footer=True, padding=(0, 1, 0, 0))
    table.add_column("stage", footer="total", no_wrap=True)
    footers = {
        "disk": short(plan.disk, "B"),
        "hours": _hours(plan.hours),
        "GPU hours": _hours(plan.hours * machine.num_gpus),
    }
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True, footer=footers.get(column, ""))
    for stage in plan.stages:
        table.add_row(stage.name, *_cells(stage, machine))
    return table


def explanations(plan: RunPlan) -> list[str]:
    """Return the assumptions behind the numbers, then what does not fit or is not known."""
    machine, gpu = plan.machine, plan.machine.gpu
    between = f", {BETWEEN_NODES / 1e9:.0f} GB/s a GPU between nodes" if machine.nodes > 1 else ""
    return [
        f"time: {machine.assumption}; peak {gpu.peak_flops / 1e12:.0f} TFLOP/s bf16, dense ({gpu.source}), "
        f"{gpu.fp32_flops / 1e12:.4g} fp32. Corpora are not timed",
        f"comm. h: gathering weights, adding up gradients; {gpu.link / 1e9:.0f} GB/s a GPU inside a node{between}, "
        "as in rho1bench/plan/communication.py. It overlaps with computing: hours are the longer of both",
        "memory (GB/GPU): model states and saved activations as in rho1bench/plan/memory.py, without fragmentation",
        "disk: checkpoints in float32, one resume point, packed tokens, scores",
        *(f"{stage.name}: {stage.detail}; {EVALUATION}" for stage in plan.stages if stage.detail),
        *(f"note: {note}" for note in plan.notes),
    ]


EVALUATION = (
    f"assumed: prompts are read at that MFU, answers written at {WRITING:.0%} of the peak and at most "
    f"{MOST_TOKENS_A_SECOND:,.0f} tokens/s a GPU (rho1bench/plan/evaluation.py)"
)


def _cells(stage: StagePlan, machine: Machine) -> list[str]:
    memory = stage.memory
    parts = (memory.weights, memory.gradients, memory.optimizer, memory.activations, memory.total) if memory else ()
    gigabytes = [f"{part / 1e9:.1f}" for part in parts] or ["-"] * 5
    hours = stage.hours
    return [
        short(stage.steps),
        short(stage.tokens),
        short(stage.weights),
        *gigabytes,
        short(stage.disk, "B"),
        "-" if stage.communication is None else _hours(stage.communication),
        "-" if hours is None else _hours(hours),
        "-" if hours is None else _hours(hours * machine.num_gpus),
    ]


def _hours(hours: float) -> str:
    return f"{hours:.2f}" if hours < 10 else f"{hours:,.0f}"


def short(number: float | None, unit: str = "") -> str:
    """Write a size with three digits: ``1.23M``; an unknown one as ``-``."""
    if number is None:
        return "-"
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {letter}{unit}".strip()
    return f"{number} {unit}".strip()
