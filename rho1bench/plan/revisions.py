"""``rho1bench plan --resolve``: asks the hub for the commit of everything that a recipe names, and writes it down.

What a recipe pins itself is asked for, too, so that a revision that is gone is known before a run; folders need none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from rho1bench.errors import RunError
from rho1bench.recipe import Recipe
from rho1bench.recipe.loading.load import find_recipe
from rho1bench.recipe.loading.lock import KINDS, lock_path
from rho1bench.system.files import write_json
from rho1bench.system.hub import find_commit


def resolve_revisions(recipe: Recipe, name_or_path: str) -> Path:
    """Write the lock file of a recipe and return its path; nothing is written where one name has no commit.

    What the recipe, or an older lock file, gives a revision for is asked for at that revision. Raises RunError that
    names every model and data set which the hub does not give.
    """
    path = lock_path(find_recipe(name_or_path))
    lock: dict[str, dict[str, str]] = {kind: {} for kind in sorted(KINDS.values())}
    problems = []
    for kind, name, revision in sorted(
        set(_named(recipe)), key=lambda one: (one[2] is not None, one[:2], one[2] or "")
    ):
        try:
            commit = find_commit(name, kind, revision)
            lock[kind].setdefault(name, commit)
        except RunError as error:
            problems.append(str(error))
    if problems:
        raise RunError("\n".join([f"{path}: not written:", *problems]))
    write_json(path, lock)
    return path


def _named(model: BaseModel) -> Iterator[tuple[str, str, str | None]]:
    """Yield ``(kind, name, revision)`` of everything on the hub that a recipe, or a part of it, names."""
    for field in type(model).model_fields:
        value = getattr(model, field)
        kind = KINDS.get(field)
        if kind is not None and isinstance(value, str) and not Path(value).expanduser().is_dir():
            yield kind, value, getattr(model, "revision", None)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, BaseModel):
                yield from _named(item)
