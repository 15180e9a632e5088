"""Asks all rules about the stages of a recipe, each with those before it; importing the modules registers them."""

from __future__ import annotations

from collections.abc import Sequence

from rho1bench.recipe.models.base import StageBase, references
from rho1bench.recipe.rules import (  # noqa: F401
    analysis,
    atlas,
    contests,
    evaluation,
    selection,
    training,
    tuning,
    vocabulary,
)
from rho1bench.recipe.rules.references import wrong_references
from rho1bench.recipe.rules.rule import Earlier, Problems, broken_rules


def check(stages: Sequence[StageBase]) -> Problems:
    """Yield every problem between and inside stages, whose wrong fields are absent; paths begin with the stage."""
    earlier, every = Earlier(), {stage.name: stage for stage in stages}
    for stage in stages:
        for inner, message in (*wrong_references(stage, earlier, every), *broken_rules(stage, earlier)):
            yield ("stages", stage.name, *inner), message
        if any(name in every and name not in earlier.by_name for _, name, _ in references(stage)):
            earlier.in_circles.add(stage.name)
        earlier.by_name[stage.name] = stage
