"""The folder of a run, read from outside of the pipeline: its recipe, and what a stage would be given in it."""

from __future__ import annotations

from pathlib import Path

from rho1bench.errors import DataError
from rho1bench.pipeline.stage import RunOptions, StageContext
from rho1bench.recipe import Recipe, StageBase
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.system.progress import Progress


def recipe_of_run(folder: Path) -> Recipe:
    """Return the recipe of a run of one seed; raises DataError for a folder that holds none."""
    if not (folder / "recipe.yaml").is_file():
        raise DataError(f"{folder}: is no run folder (it has no recipe.yaml). Give one that `rho1bench run` made.")
    recipe = load_recipe(str(folder / "recipe.yaml"))
    if recipe.seeds:
        raise DataError(
            f"{folder}: holds a run for each of {len(recipe.seeds)} seeds. Name one: {folder}/seed-{recipe.seeds[0]}"
        )
    return recipe


def context_in_run(
    recipe: Recipe, folder: Path, stage: StageBase, place: Path, progress: Progress, options: RunOptions
) -> StageContext:
    """Return what ``stage`` would be given in the run in ``folder``, to write into ``place``."""
    inputs = {one.name: folder / "stages" / one.name for one in recipe.stages}
    return StageContext(recipe, stage, place, inputs, recipe.seed_of(stage), progress, options)
