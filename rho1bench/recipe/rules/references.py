"""Stages name each other rightly: what a stage reads stands before it and is of a fitting kind."""

from __future__ import annotations

from collections.abc import Mapping

from rho1bench.recipe.loading.layers import nearest
from rho1bench.recipe.models.base import StageBase, references
from rho1bench.recipe.rules.rule import Earlier, Problems


def wrong_references(stage: StageBase, earlier: Earlier, every: Mapping[str, StageBase]) -> Problems:
    """Yield every stage that ``stage`` names and may not read; ``every`` holds the later ones too."""
    for place, name, mark in references(stage):
        path, kinds, found = tuple(place.split(".")), mark.kinds, earlier.by_name.get(name)
        wanted = f"expected an earlier stage of kind {' or '.join(kinds)}"
        if found is not None and found.kind in kinds:
            continue
        fitting = [other for other, candidate in earlier.by_name.items() if candidate.kind in kinds]
        if name == stage.name:
            yield path, f"a stage cannot read itself; {wanted}"
        elif found is not None:
            yield path, f"the stage {name!r} is of kind {found.kind}; {wanted}{nearest(name, fitting)}"
        elif name in every:
            yield path, f"the stage {name!r} comes later; a stage reads only those before it"
        elif variants := [one.name for one in every.values() if one.variant and one.variant.group == name]:
            words = f"name one of its variants, {variants[0]} for example, or by label, {name}-{{AXIS}}"
            yield path, f"{name!r} has a matrix: {words}"
        else:
            yield path, f"there is no stage {name!r}; {wanted}{nearest(name, fitting or every)}"
