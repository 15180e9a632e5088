"""``rho1bench run`` and ``sweep``: carrying out a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rho1bench.cli.console import check_json_file, console, recipe_names, show

if TYPE_CHECKING:
    from rho1bench.pipeline.adoption import Keeping
    from rho1bench.pipeline.launch import Launch
    from rho1bench.pipeline.stage import RunOptions
    from rho1bench.recipe import Recipe


class Engine(StrEnum):
    """Inference engines for evaluation."""

    auto = "auto"
    vllm = "vllm"
    hf = "hf"


class Scale(StrEnum):
    """Sizes that a recipe can be run at."""

    full = "full"
    smoke = "smoke"


RecipeName = Annotated[
    str, typer.Argument(help="Name of a shipped recipe, or the path of a YAML file.", autocompletion=recipe_names)
]
Output = Annotated[Path | None, typer.Option(help="Run folder; default: runs/<recipe name>.")]
Seed = Annotated[int | None, typer.Option(help="Replaces the recipe's seed.")]
ScaleOption = Annotated[Scale, typer.Option(help="smoke: every stage, tiny, to try a recipe out.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STAGE", help="Do these stages and what they need; a name, pattern or matrix; may be repeated."
    ),
]
Every = Annotated[bool, typer.Option("--all", help="A row for every variant of a matrix in the plan.")]
Explain = Annotated[
    bool, typer.Option("--explain", help="Say for each stage what would be done and which field, file or code is why.")
]
AcceptVersions = Annotated[
    bool, typer.Option("--accept-versions", help="Keep results that other versions of packages have made.")
]
Adopt = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STAGE=FOLDER", help="Take in a finished result, if it is what the recipe asks for; may be repeated."
    ),
]
EngineOption = Annotated[Engine | None, typer.Option(help="Inference engine; default: the recipe's.")]
JsonPlan = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        callback=check_json_file,
        help="With --dry-run or --explain: the plan as JSON; - prints that alone.",
    ),
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads for torch.")]
Nodes = Annotated[
    int | None, typer.Option(min=1, help="Machines; default: those of the SLURM job or of PET_NNODES, else this one.")
]
GpusPerNode = Annotated[
    int | None, typer.Option(min=1, help="Processes on each, one a GPU; default: its GPUs (without any, one process).")
]
LauncherOption = Annotated[
    str | None,
    typer.Option(
        metavar="local|slurm|TEMPLATE",
        help="What starts the nodes: this machine is all of them; srun; or a command line with {command} and {node}.",
    ),
]


def run(
    recipe: RecipeName,
    output: Output = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe; may be repeated.")
    ] = None,
    seed: Seed = None,
    scale: ScaleOption = Scale.full,
    only: Only = None,
    dry_run: DryRun = False,
    every: Every = False,
    explain: Explain = False,
    accept_versions: AcceptVersions = False,
    adopt: Adopt = None,
    engine: EngineOption = None,
    threads: Threads = None,
    nodes: Nodes = None,
    gpus_per_node: GpusPerNode = None,
    launcher: LauncherOption = None,
    json_file: JsonPlan = None,
) -> None:
    """Carry out a recipe: train, score, evaluate, compare, report. The same command again continues or is done."""
    from rho1bench.pipeline.adoption import Keeping, read_adoptions
    from rho1bench.pipeline.launch import find_launch
    from rho1bench.pipeline.stage import RunOptions
    from rho1bench.recipe.loading.load import load_recipe
    from rho1bench.recipe.part import part_of

    loaded = load_recipe(recipe, overrides or [], seed)
    if only:
        loaded = part_of(loaded, only)
    options = RunOptions(engine.value if engine else None, threads)
    keeping = Keeping(accept_versions, read_adoptions(adopt or ()))
    launch = find_launch(nodes, gpus_per_node, launcher)
    shown = Shown(plan_only=dry_run, every=every, explain=explain, json_file=json_file)
    _carry_out(loaded, output, scale, options, keeping, launch, shown)


def sweep(
    recipe: RecipeName,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=A,B,C", help="Values that a key of a stage takes in turn; may be repeated."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N|A,B,C", help="Seeds of training: their number, or the seeds themselves.")
    ] = None,
    output: Output = None,
    seed: Seed = None,
    scale: ScaleOption = Scale.full,
    only: Only = None,
    dry_run: DryRun = False,
    every: Every = False,
    explain: Explain = False,
    accept_versions: AcceptVersions = False,
    adopt: Adopt = None,
    engine: EngineOption = None,
    threads: Threads = None,
    nodes: Nodes = None,
    gpus_per_node: GpusPerNode = None,
    launcher: LauncherOption = None,
    json_file: JsonPlan = None,
) -> None:
    """Carry out a recipe with a stage in many variants: every combination of values, for every seed."""
    from rho1bench.pipeline.adoption import Keeping, read_adoptions
    from rho1bench.pipeline.launch import find_launch
    from rho1bench.pipeline.stage import RunOptions
    from rho1bench.recipe.loading.load import load_recipe
    from rho1bench.recipe.loading.sweep import Sweep, read_seeds
    from rho1bench.recipe.part import part_of

    loaded = load_recipe(recipe, (), seed, Sweep(settings or (), read_seeds(seeds)))
    if only:
        loaded = part_of(loaded, only)
    options = RunOptions(engine.value if engine else None, threads)
    keeping = Keeping(accept_versions, read_adoptions(adopt or ()))
    launch = find_launch(nodes, gpus_per_node, launcher)
    shown = Shown(plan_only=dry_run, every=every, explain=explain, json_file=json_file)
    _carry_out(loaded, output, scale, options, keeping, launch, shown)


@dataclass(frozen=True)
class Shown:
    """What is asked for besides a run, or in its place."""

    plan_only: bool
    every: bool
    explain: bool
    json_file: Path | None


def _carry_out(
    loaded: Recipe,
    output: Path | None,
    scale: Scale,
    options: RunOptions,
    keeping: Keeping,
    launch: Launch,
    asked: Shown,
) -> None:
    """Run a recipe, or print its plan or why which stages would run."""
    from rho1bench.errors import RunError
    from rho1bench.pipeline.launch import leave_ranks_to_stages
    from rho1bench.pipeline.runner import run_recipe
    from rho1bench.pipeline.stopping import stops_on_signals
    from rho1bench.plan.preflight import check_machine, obstacles
    from rho1bench.recipe.smoke import smoke

    if asked.json_file is not None and asked.plan_only == asked.explain:
        raise RunError("--json goes with one of --dry-run and --explain; a run writes summary.json into its folder.")

    if scale is Scale.smoke:
        loaded = smoke(loaded, launch.processes)
    folder = output or Path("runs") / (loaded.name if scale is Scale.full else f"{loaded.name}.smoke")
    shown = console()
    if asked.explain:
        print_explanation(loaded, folder, shown, asked.json_file)
    if asked.plan_only:
        print_dry_run(loaded, folder, shown, asked.every, asked.json_file)
        for line in obstacles(loaded, folder, options.engine, launch):
            typer.echo(f"would not start: {line}", err=True)
    if not (asked.explain or asked.plan_only):
        leave_ranks_to_stages()
        check_machine(loaded, folder, options.engine, launch)
        with stops_on_signals():
            result = run_recipe(loaded, folder, options, keeping=keeping, launch=launch)
        print_result(result, shown)


def print_dry_run(recipe: Recipe, folder: Path, shown: Any, every: bool = False, json_file: Path | None = None) -> None:
    """Print what a run would do with each stage, for each seed; the variants of a matrix in one row, or ``every``."""
    from rho1bench.pipeline.runner import preview, runs_of
    from rho1bench.plan.dry_run import plan_rows, plan_table

    runs = [(one, list(preview(one, place))) for one, place in runs_of(recipe, folder)]

    def tables() -> None:
        for one, decided in runs:
            shown.print(plan_table(one, decided, every))
        shown.print(f"run folder: {folder}", highlight=False, soft_wrap=True)

    show([row for one, decided in runs for row in plan_rows(one, decided)], json_file, tables)


def print_explanation(recipe: Recipe, folder: Path, shown: Any, json_file: Path | None = None) -> None:
    """Print for each stage, of each seed, what a run would do, and a line for everything that has changed."""
    from rho1bench.pipeline.runner import preview, runs_of

    rows = []
    for one, place in runs_of(recipe, folder):
        for stage, decision in preview(one, place):
            lines = [*decision.changes, *decision.versions]
            lines += [f"{text}, which changes no result" for text in decision.operational]
            name = f"{place.name}/{stage.name}" if recipe.seeds else stage.name
            rows.append({"stage": name, "would": decision.word, "reason": decision.reason, "changes": lines})

    def texts() -> None:
        for row in rows:
            lines = [f"{row['stage']}: {row['would']} ({row['reason']})", *row["changes"]]
            shown.print("\n    ".join(lines), markup=False, highlight=False, soft_wrap=True)

    show(rows, json_file, texts)


def print_result(result: Any, shown: Any) -> None:
    """Print the scores, the seconds, the pages and the old results of a finished run."""
    from rho1bench.pipeline.set_aside import old_stages
    from rho1bench.plan.tables import short

    summary = result.folder / "summary.json"
    if summary.is_file():
        from rho1bench.comparison.console_table import result_tables
        from rho1bench.comparison.run_summary import read_summary

        for part in result_tables(read_summary(summary)):
            shown.print(part)
    took = "  ".join(f"{stage.name} {stage.seconds:.1f}" for stage in result.stages)
    shown.print(f"seconds: {took}", highlight=False, soft_wrap=True)
    if not result.changed:
        shown.print("nothing changed since the last run")
    if old := old_stages(result.folder):
        size = short(sum(one.bytes for one in old), "B")
        words = f"old results kept: {len(old)} ({size}); `rho1bench runs prune {result.folder}` deletes them"
        shown.print(words, highlight=False, soft_wrap=True)
    for name in ("report.html", "report.md", "summary.json"):
        if (result.folder / name).is_file():
            shown.print(f"{name}: {result.folder / name}", highlight=False, soft_wrap=True)
