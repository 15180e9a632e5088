"""The plan of a run as tables for a terminal: those of ``rho1bench plan``, and the one of ``run --dry-run``."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from rho1bench.pipeline.manifest import Decision
from rho1bench.plan.estimate import Machine, RunPlan, StagePlan, make_machine, plan_run, processes_of
from rho1bench.recipe import Recipe, StageBase, references
from rho1bench.sizing.gpus import find_gpu

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
    "hours",
    "GPU hours",
)


def print_plan(
    recipe: Recipe,
    console: Console,
    gpu: str,
    num_gpus: int | None = None,
    share: float | None = None,
    tokens_per_second: float | None = None,
) -> None:
    """Print the plan of ``recipe``; raises RunError for an unknown GPU or contradictory options."""
    number = num_gpus or processes_of(recipe)
    plan = plan_run(recipe, make_machine(recipe, find_gpu(gpu), number, share, tokens_per_second))
    console.print(table_of(plan))
    for line in explanations(plan):
        console.print(line, highlight=False, soft_wrap=True)


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
    peak = plan.machine.gpu
    return [
        f"time: {plan.machine.assumption}; peak {peak.peak_flops / 1e12:.0f} TFLOP/s bf16, dense ({peak.source})",
        "memory (GB/GPU): model states and saved activations as in rho1bench/plan/memory.py, without fragmentation",
        "disk: checkpoints in float32, one resume point, packed tokens, scores. Evaluation and corpora are not timed",
        *(f"note: {note}" for note in plan.notes),
    ]


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
        "-" if hours is None else _hours(hours),
        "-" if hours is None else _hours(hours * machine.num_gpus),
    ]


def _hours(hours: float) -> str:
    return f"{hours:.2f}" if hours < 10 else f"{hours:,.0f}"


NUMBERS = ("steps", "tokens", "blocks", "weights", "disk")


def plan_table(recipe: Recipe, decisions: Iterable[tuple[StageBase, Decision]]) -> Table:
    """Return the plan as a table, one row a stage; the caption tells why a finished stage would run again."""
    table = Table(title=f"plan of {recipe.name}, seed {recipe.seed}", title_justify="left", box=SIMPLE_HEAD)
    for column in ("stage", "kind", "reads"):
        table.add_column(column, no_wrap=column != "reads")
    for column in NUMBERS:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("would", no_wrap=True)
    reasons = []
    for stage, decision in decisions:
        sizes = stage.sizes(recipe)
        blocks = short(sizes.blocks) if sizes.documents is None else f"{short(sizes.documents)} docs"
        table.add_row(
            stage.name,
            stage.kind,
            ", ".join(dict.fromkeys(name for _, name, _ in references(stage))),
            short(sizes.steps),
            short(sizes.tokens),
            blocks,
            short(sizes.weights),
            short(sizes.bytes, "B"),
            "redo" if decision.wipe else decision.action,
        )
        if decision.wipe:
            reasons.append(f"{stage.name}: {decision.reason}")
    table.caption = "\n".join(reasons) or None
    return table


def short(number: float | None, unit: str = "") -> str:
    """Write a size with three digits: ``1.23M``; an unknown one as ``-``."""
    if number is None:
        return "-"
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {letter}{unit}".strip()
    return f"{number} {unit}".strip()
