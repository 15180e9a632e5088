"""In which keys stages of a recipe differ: whether arms of an experiment differ in nothing but what is tested.

Variants of a matrix that differ in one label should differ in the key of that axis alone, and in the stages that they
read for it (``init: "base-{seed}"``). A dry run shows it, and tests hold it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rho1bench.recipe import Recipe, StageBase, Variant, references

Pair = tuple[StageBase, StageBase]
NAMES = {"name", "variant"}


def differing_keys(one: StageBase, other: StageBase) -> list[str]:
    """Return the dotted keys, the nearest to the top, in which two stages differ apart from their names."""
    found = differences(one.model_dump(exclude=NAMES), other.model_dump(exclude=NAMES))
    return [key for key, _, _ in found]


def keys_by_axis(recipe: Recipe, group: str) -> dict[str, list[str]]:
    """Return for every axis of a matrix the keys in which variants differ that have another label on it alone."""
    return {
        axis: list(dict.fromkeys(key for one, other in pairs for key in differing_keys(one, other)))
        for axis, pairs in _pairs_by_axis(recipe, group).items()
    }


def unfair_keys(recipe: Recipe, group: str) -> dict[str, list[str]]:
    """Return what differs along an axis besides its own key and the stages of its labels; empty if nothing does.

    A stage that is read belongs to a label if it is a variant that has the label itself, and else differs in none. An
    axis that is no key of the stage sets what its labels say, and is not judged.
    """
    unfair = {}
    for axis, pairs in _pairs_by_axis(recipe, group).items():
        if any(_has_key(stage.model_dump(), axis) for pair in pairs for stage in pair):
            keys = [key for pair in pairs for key in differing_keys(*pair) if not _belongs(recipe, pair, axis, key)]
            unfair[axis] = list(dict.fromkeys(keys))
    return {axis: keys for axis, keys in unfair.items() if keys}


def _pairs_by_axis(recipe: Recipe, group: str) -> dict[str, list[Pair]]:
    """Return for every axis the pairs of variants that differ in their label on it alone: each with the first one."""
    variants = [(stage, labels) for stage in recipe.stages if (labels := labels_in(stage, group))]
    pairs: dict[str, list[Pair]] = {}
    for axis in variants[0][1] if variants else ():
        first: dict[tuple[str, ...], StageBase] = {}
        pairs[axis] = []
        for stage, labels in variants:
            one = first.setdefault(tuple(label for name, label in labels.items() if name != axis), stage)
            if one is not stage:
                pairs[axis].append((one, stage))
    return pairs


def labels_in(stage: StageBase, group: str) -> dict[str, str]:
    """Return the labels of a variant of ``group``; empty for any other stage."""
    return stage.variant.labels if stage.variant is not None and stage.variant.group == group else {}


def _belongs(recipe: Recipe, pair: Pair, axis: str, key: str) -> bool:
    """Tell whether a difference is that of the axis: its key, or a stage that is read and has the label itself."""
    if key == axis or key.startswith(f"{axis}."):
        return True
    one, other = (_variant_read(recipe, stage, key) for stage in pair)
    mine, theirs = (stage.variant.labels[axis] for stage in pair if stage.variant is not None)
    if one is None or other is None or one.group != other.group:
        return False
    differing = [name for name, label in one.labels.items() if other.labels.get(name) != label]
    return differing == [axis] and (one.labels[axis], other.labels[axis]) == (mine, theirs)


def _variant_read(recipe: Recipe, stage: StageBase, key: str) -> Variant | None:
    """Return which variant the stage is that ``stage`` reads under ``key``; None where it reads none there."""
    names = {path: name for path, name, _ in references(stage)}
    return recipe.stage(names[key]).variant if key in names else None


def _has_key(data: Any, axis: str) -> bool:
    for part in axis.split("."):
        data = data[int(part)] if isinstance(data, list) else data.get(part, ...) if isinstance(data, dict) else ...
    return data is not ...


def differences(one: Any, other: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted keys, the nearest to the top, in which two mappings or lists differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one | other:
            yield from differences(one.get(name), other.get(name), f"{key}.{name}" if key else str(name))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{key}.{index}")
    elif one != other:
        yield key, one, other
