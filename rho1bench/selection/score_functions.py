"""Selection rules by name: how much each token deserves its loss (paper section 2.2, 3.4).

Another package adds its own through an entry point of the group ``rho1bench.score_functions``, whose object is a
:class:`ScoreFunction`; what it needs is importable from here.
"""

from __future__ import annotations

from rho1bench.errors import PluginError
from rho1bench.recipe.models.rule_specs import INPUTS, Parameters, RuleSpec
from rho1bench.recipe.models.score_names import load_plugin, package, plugins
from rho1bench.selection.rule import ScoreFunction, ScoreInputs
from rho1bench.selection.rules import controls, model, reference, weights

__all__ = [
    "INPUTS",
    "Parameters",
    "RuleSpec",
    "ScoreFunction",
    "ScoreInputs",
    "register",
    "score_function",
    "score_function_names",
]

_SCORE_FUNCTIONS: dict[str, ScoreFunction] = {}


def register(function: ScoreFunction) -> None:
    """Add a rule; raises ValueError if the name is taken."""
    if function.name in _SCORE_FUNCTIONS:
        raise ValueError(f"score function {function.name!r} is registered already")
    _SCORE_FUNCTIONS[function.name] = function


def score_function(name: str) -> ScoreFunction:
    """Return the rule called ``name``, from another package if need be.

    Raises ValueError with the known names if there is none, PluginError if another package's cannot be used.
    """
    if name in plugins() and name not in _SCORE_FUNCTIONS:
        register(_load(name))
    if name not in _SCORE_FUNCTIONS:
        raise ValueError(f"unknown score function {name!r}; known: {', '.join(score_function_names())}")
    return _SCORE_FUNCTIONS[name]


def score_function_names() -> list[str]:
    """Return the names of all rules, those of other packages included."""
    return sorted({*_SCORE_FUNCTIONS, *plugins()})


def _load(name: str) -> ScoreFunction:
    _, loaded = load_plugin(name)
    if not isinstance(loaded, ScoreFunction):
        raise PluginError(
            f"the score function {name!r} of the package {package(plugins()[name])} is {loaded!r:.200}; expected a "
            "ScoreFunction."
        )
    return loaded


for _module in (controls, reference, model, weights):
    for _value in list(vars(_module).values()):
        if isinstance(_value, ScoreFunction):
            register(_value)
