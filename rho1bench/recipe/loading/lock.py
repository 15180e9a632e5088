"""The lock file of a recipe: the commit of every model and data set of the hub that it names without a revision.

``rho1bench plan RECIPE --resolve`` writes ``NAME.lock.json`` (``plan.revisions``): beside the recipe's file, for a
shipped recipe into the working folder. Wherever it lies there, the recipe is read with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rho1bench.errors import RecipeError
from rho1bench.recipe.loading.layers import RawRecipe
from rho1bench.recipe.loading.local_files import folder_or_hub_places
from rho1bench.system.files import read_json
from rho1bench.system.paths import recipes_dir

Lock = Mapping[str, Mapping[str, str]]
"""Commits by name: those of ``models``, and those of ``datasets``."""
KINDS = {"pretrained": "models", "dataset": "datasets"}
"""What each field that names something on the hub names."""


def lock_path(recipe: Path) -> Path:
    """Return where the lock file of a recipe's file lies."""
    folder = Path.cwd() if recipe.parent == recipes_dir() else recipe.parent
    return folder / f"{recipe.stem}.lock.json"


def read_lock(path: Path) -> Lock:
    """Return the lock file; an empty one where there is none. Raises RecipeError for a broken one."""
    if not path.is_file():
        return {}
    try:
        lock = read_json(path)
        if isinstance(lock, dict) and set(lock) <= set(KINDS.values()) and all(map(_is_commits, lock.values())):
            return lock
    except (OSError, ValueError):
        pass
    raise RecipeError(
        f'{path}: not a lock file; expected {{"datasets": {{NAME: COMMIT}}, "models": {{NAME: COMMIT}}}}. '
        "`rho1bench plan RECIPE --resolve` writes it; or remove it."
    )


def _is_commits(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(commit, str) for commit in value.values())


def apply_lock(raw: RawRecipe, lock: Lock) -> None:
    """Put the commits into every place of a recipe that names something on the hub and gives no revision."""
    for holder, key in folder_or_hub_places(raw):
        commit = lock.get(KINDS.get(key, ""), {}).get(str(holder[key]))
        if commit is not None and holder.get("revision") is None:
            holder["revision"] = commit
