"""Names of the score functions that a recipe may use: our own, and those of other installed packages (section 3.4).

A package adds one with an entry point of the group ``rho1bench.score_functions``: its name is the score's, and its
object a :class:`rho1bench.selection.score_functions.ScoreFunction`. Nothing of such a package is imported here.
"""

from __future__ import annotations

import difflib
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from rho1bench.errors import PluginError

GROUP = "rho1bench.score_functions"
BUILT_IN = {
    "excess_loss": True,
    "reference_loss": True,
    "reference_entropy": True,
    "training_loss": False,
    "random": False,
    "full": False,
}
"""Our own scores, and whether each reads the stored scores of a reference model."""


def score_names() -> list[str]:
    """Return every name; raises PluginError as :func:`plugins`."""
    return [*BUILT_IN, *sorted(plugins())]


def known_score(name: str) -> str:
    """Return ``name``; raises ValueError with the known names if it is none, PluginError as :func:`plugins`."""
    names = score_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"expected one of {', '.join(names)}, got {name!r}{hint}")
    return name


def plugins() -> dict[str, EntryPoint]:
    """Return the entry points of other packages by name; raises PluginError where two claim the same name."""
    return _plugins(tuple(sys.path))


@lru_cache(maxsize=1)
def _plugins(path: tuple[str, ...]) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        owner = "rho1bench itself" if point.name in BUILT_IN else None
        if point.name in found and found[point.name].value != point.value:
            owner = f"the package {package(found[point.name])}"
        if owner is not None:
            raise PluginError(
                f"the package {package(point)} offers a score function called {point.name!r}, but {owner} has one of "
                f"that name. Rename it in the package (entry point group {GROUP}), or uninstall the package."
            )
        found[point.name] = point
    return found


def package(point: EntryPoint) -> str:
    """Return name and version of the package that an entry point belongs to."""
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else f"with the module {point.module}"
