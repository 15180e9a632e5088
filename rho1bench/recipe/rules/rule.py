"""How rules about recipes are written and asked: typed functions of a stage and of the stages before it.

A rule is registered for a model of stages and yields ``(key path inside the stage, message)``. It reads typed fields;
where one of them is itself wrong, and told as such, the rule ends there (``Unknown``), so that one bad field hides
neither the problems of other fields nor those of other stages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from rho1bench.recipe.loading.valid_part import Unknown
from rho1bench.recipe.models.base import StageBase

S = TypeVar("S", bound=StageBase)
Problems = Iterator[tuple[tuple[str, ...], str]]


class Earlier:
    """The stages before the one that is asked about; a look-up that fails has been told as a wrong reference."""

    def __init__(self) -> None:
        self.by_name: dict[str, StageBase] = {}
        self.in_circles: set[str] = set()
        """Stages that name themselves or later ones: to follow what they read might never end."""

    def stage(self, name: str, model: type[S]) -> S:
        """Return the stage called ``name``; raises ``Unknown`` where there is none, or one of another kind."""
        found = self.by_name.get(name)
        if not isinstance(found, model) or name in self.in_circles:
            raise Unknown(name)
        return found


Rule = Callable[[S, Earlier], Problems]
_RULES: list[Rule[StageBase]] = []


def rule(model: type[S]) -> Callable[[Rule[S]], Rule[S]]:
    """Register a function as a rule about all stages that are a ``model``."""

    def register(function: Rule[S]) -> Rule[S]:
        def ask(stage: StageBase, earlier: Earlier) -> Problems:
            if isinstance(stage, model):
                yield from function(stage, earlier)

        _RULES.append(ask)
        return function

    return register


def broken_rules(stage: StageBase, earlier: Earlier) -> Problems:
    """Yield what is wrong with ``stage`` by every rule that holds for it."""
    for ask in _RULES:
        try:
            yield from ask(stage, earlier)
        except Unknown:
            continue
