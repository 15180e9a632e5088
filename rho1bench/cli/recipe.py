"""``rho1bench init``, ``validate``, ``schema`` and ``recipes``: recipes themselves, before anything is carried out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rho1bench.cli.console import JsonFile, recipe_names, show
from rho1bench.cli.run import EngineOption, Output, RecipeName, Scale, ScaleOption, Seed


def init(
    name: Annotated[str, typer.Argument(help="Name of the new recipe; the file is NAME.yaml.")],
    base: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RECIPE",
            help="Recipe or file to change; default: quickstart.",
            autocompletion=recipe_names,
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILES", help="Your own text: .jsonl, .parquet, .txt, a folder or a glob; may be repeated."
        ),
    ] = None,
    curated: Annotated[
        list[str] | None,
        typer.Option(metavar="FILES", help="Text that the reference learns from; default: a part of --text."),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(),
) -> None:
    """Write a commented recipe that runs, and the schema with which an editor completes its keys."""
    from rho1bench.recipe.starter.start import write_recipe

    written = write_recipe(name, base, text or (), curated or (), output)
    for path in written:
        typer.echo(f"wrote {path}")
    typer.echo(f"next: rho1bench validate {written[0]}, then rho1bench run {written[0]}")


def validate(
    recipe: RecipeName,
    output: Output = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe; may be repeated.")
    ] = None,
    seed: Seed = None,
    scale: ScaleOption = Scale.full,
    engine: EngineOption = None,
) -> None:
    """Say whether a recipe would start here: its keys, stages, suites, files, packages, engine and disk."""
    from rho1bench.plan.preflight import check_machine
    from rho1bench.recipe.loading.load import load_recipe
    from rho1bench.recipe.smoke import smoke

    loaded = load_recipe(recipe, overrides or [], seed)
    if scale is Scale.smoke:
        loaded = smoke(loaded)
    check_machine(loaded, output or Path("runs") / loaded.name, engine.value if engine else None)
    typer.echo(f"{recipe}: in order, {len(loaded.stages)} stages; `rho1bench run {recipe} --dry-run` shows them")


def schema(
    reference: Annotated[
        bool, typer.Option("--reference", help="Instead the reference of all keys, as Markdown.")
    ] = False,
) -> None:
    """Print the JSON Schema of recipe files, for editors: rho1bench schema > recipe.schema.json."""
    import json

    if reference:
        from rho1bench.recipe.loading.reference import reference as reference_text

        typer.echo(reference_text(), nl=False)
        return
    from rho1bench.recipe.loading.file_schema import file_schema

    typer.echo(json.dumps(file_schema(), indent=2, ensure_ascii=False))


def recipes(json_file: JsonFile = None) -> None:
    """List the shipped recipes."""
    from rich.console import Console
    from rich.table import Table

    from rho1bench.recipe.loading.load import load_recipe, shipped_recipes

    found = [(name, load_recipe(name)) for name in shipped_recipes()]
    table = Table("recipe", "stages", "description")
    for name, loaded in found:
        table.add_row(name, str(len(loaded.stages)), loaded.description)
    rows = [{"recipe": name, "stages": len(one.stages), "description": one.description} for name, one in found]
    show(rows, json_file, lambda: Console().print(table))
