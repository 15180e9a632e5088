"""``rho1bench plan``: what a recipe takes, and what a launch starts for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rho1bench.cli.console import WIDTH_OF_FILES, JsonFile, console, gpu_names, recipe_names, show
from rho1bench.cli.run import Every, GpusPerNode, LauncherOption, Nodes

if TYPE_CHECKING:
    from rho1bench.pipeline.launch import Launch
    from rho1bench.recipe import Recipe


def plan(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="Name of a shipped recipe, or the path of a YAML file; default: suggest one for the GPUs here.",
            autocompletion=recipe_names,
        ),
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(min=1, help="All GPUs, on nodes of 8 where there are more; default: 1.")
    ] = None,
    nodes: Nodes = None,
    gpus_per_node: GpusPerNode = None,
    launcher: LauncherOption = None,
    gpu: Annotated[
        str | None,
        typer.Option(
            help="h100, h200, a100-80, a100-40, l40s, rtx4090 ...; default: the one here, else h100.",
            autocompletion=gpu_names,
        ),
    ] = None,
    mfu: Annotated[float | None, typer.Option(min=0.01, max=1, help="Share of the peak; default: 0.4.")] = None,
    tokens_per_second: Annotated[
        float | None, typer.Option(min=0.001, help="Measured on one GPU with the recipe's largest model; not --mfu.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe; may be repeated.")
    ] = None,
    every: Every = False,
    resolve: Annotated[
        bool,
        typer.Option("--resolve", help="First write NAME.lock.json: the hub's commits, which the recipe is read with."),
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Print what a recipe would take, and what `run` would start. Only --resolve needs a network."""
    if recipe is None:
        _print_suggestion(json_file)
        return
    from rho1bench.recipe.loading.load import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    if resolve:
        from rho1bench.plan.revisions import resolve_revisions

        typer.echo(f"wrote {resolve_revisions(loaded, recipe)}", err=True)
    from rho1bench.plan.launched import planned_launch

    launch = planned_launch(nodes, gpus_per_node, gpus, launcher)
    _print_plan(loaded, launch, gpu, mfu, tokens_per_second, every, json_file)


def _print_plan(
    recipe: Recipe,
    launch: Launch,
    gpu: str | None,
    mfu: float | None,
    tokens_per_second: float | None,
    every: bool,
    json_file: Path | None,
) -> None:
    from dataclasses import asdict

    from rho1bench.plan.launched import starts
    from rho1bench.plan.suggestion import ASSUMED, gpu_here
    from rho1bench.plan.tables import make_plan, print_plan, print_starts

    here = gpu_here() if gpu is None else None
    found = make_plan(recipe, gpu or here or ASSUMED, launch.processes, mfu, tokens_per_second, launch.nodes)
    totals = {"hours": found.hours, "gpu_hours": found.hours * found.machine.num_gpus, "disk": found.disk}
    launched = {"launch": asdict(launch), "starts": [asdict(start) for start in starts(recipe, launch, every=True)]}

    def tables() -> None:
        shown = console(WIDTH_OF_FILES + 20)
        print_plan(found, recipe, shown, every)
        if gpu is None and here is None:
            typer.echo(f"GPU: none that is known here, so {ASSUMED} is assumed; name yours: --gpu rtx4090, say")
        print_starts(recipe, launch, shown, every)

    show(asdict(found) | totals | launched, json_file, tables)


def _print_suggestion(json_file: Path | None) -> None:
    """Print which recipe fits the devices of this machine."""
    from dataclasses import asdict

    from rho1bench.plan.suggestion import candidates, find_devices, lines, suggested

    devices = find_devices()
    found = candidates(devices)
    value = {
        "devices": [asdict(one) for one in devices],
        "recipes": [asdict(one) for one in found],
        "suggestion": suggested(found),
    }
    show(value, json_file, lambda: typer.echo("\n".join(lines(devices, found))))
