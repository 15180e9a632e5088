"""A part of a recipe: some of its stages and what they need (``rho1bench run --only``), a few cells of a matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from rho1bench.errors import RecipeError
from rho1bench.recipe import Recipe, StageBase
from rho1bench.recipe.texts import stages_read


def part_of(recipe: Recipe, patterns: Sequence[str]) -> Recipe:
    """Return ``recipe`` with the stages that ``patterns`` name and those that they need, in order.

    A pattern is a stage's name, one as of a shell (``compare-n50-*``), or the name of a matrix. Raises RecipeError for
    one that names nothing.
    """
    wanted = {stage.name for pattern in patterns for stage in _named(recipe, pattern)}
    for stage in reversed(recipe.stages):
        if stage.name in wanted:
            wanted.update(stages_read(stage))
    return recipe.model_copy(update={"stages": [stage for stage in recipe.stages if stage.name in wanted]})


def _named(recipe: Recipe, pattern: str) -> Iterator[StageBase]:
    found = [stage for stage in recipe.stages if fnmatchcase(stage.name, pattern) or _group(stage) == pattern]
    if not found:
        words = list(dict.fromkeys(_group(stage) or stage.name for stage in recipe.stages))
        raise RecipeError(
            f"--only {pattern or repr(pattern)}: the recipe {recipe.name!r} has no such stage. Give a name, a pattern "
            f"('compare-*') or the name of a matrix; there are: {', '.join(words)}."
        )
    yield from found


def _group(stage: StageBase) -> str | None:
    return stage.variant.group if stage.variant else None
