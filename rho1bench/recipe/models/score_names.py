"""The rules that a recipe may name: our own, and those of other installed packages (section 3.4).

A package adds one with an entry point of the group ``rho1bench.score_functions``: its name is the rule's, and its
object a :class:`rho1bench.selection.score_functions.ScoreFunction`. It is imported where a recipe names the rule.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Collection
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from rho1bench.errors import PluginError
from rho1bench.recipe.models.built_in_rules import BUILT_IN
from rho1bench.recipe.models.rule_specs import INPUTS, Parameters, RuleSpec, is_input

GROUP = "rho1bench.score_functions"


def score_names() -> list[str]:
    """Return every name; raises PluginError as :func:`plugins`."""
    return [*BUILT_IN, *sorted(plugins())]


def known_score(name: str) -> str:
    """Return ``name``; raises ValueError with the known names if it is none, PluginError as :func:`plugins`."""
    names = score_names()
    if name not in names:
        raise ValueError(f"expected one of {', '.join(names)}, got {name!r}{_near(name, names)}")
    return name


def rule_spec(name: str) -> RuleSpec:
    """Return what a recipe may know of the rule ``name``.

    Raises KeyError if there is none, PluginError if another package's cannot be used.
    """
    return BUILT_IN[name] if name in BUILT_IN else load_plugin(name)[0]


def spec_if_known(name: object) -> RuleSpec | None:
    """Return the same for a name that is one; None for anything else."""
    return rule_spec(name) if isinstance(name, str) and name in score_names() else None


def load_plugin(name: str) -> tuple[RuleSpec, object]:
    """Return spec and object of another package's rule; raises KeyError or PluginError as :func:`rule_spec`."""
    point = plugins()[name]
    where = f"the score function {name!r} of the package {package(point)} (entry point {point.value})"
    try:
        loaded = point.load()
    except Exception as error:
        raise PluginError(
            f"{where} cannot be loaded: {type(error).__name__}: {error}. Fix or uninstall the package."
        ) from error
    spec = getattr(loaded, "spec", None)
    if not isinstance(spec, RuleSpec) or spec.name != name:
        raise PluginError(f"{where} is {loaded!r:.200}; expected a ScoreFunction whose name is {name!r}.")
    for wanted in spec.inputs:
        if not is_input(wanted):
            known = [one.name for one in INPUTS]
            raise PluginError(
                f"{where} reads {wanted!r}{_near(wanted, known)}, but what a rule may read is {', '.join(known)}."
            )
    if spec.gives not in ("scores", "weights") or not issubclass(spec.parameters, Parameters):
        raise PluginError(
            f"{where} gives {spec.gives!r} with the parameters {spec.parameters!r}; expected scores or weights, and "
            "parameters that are a subclass of Parameters."
        )
    return spec, loaded


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


def _near(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
