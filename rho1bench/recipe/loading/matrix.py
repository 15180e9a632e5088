"""``matrix:``: one stage of a recipe file that stands for many variants, one for every combination of labels.

Works on raw data after ``extends:`` and ``--set``, so that every problem is told where it was written. An axis is

* a dotted key of the stage, with a mapping of labels to values or a list of plain values;
* or a word of its own: with a mapping of labels to the keys that each sets, or with a list of plain values that only
  choose among other stages, through ``{word}`` in the texts of the stage.

``{axis}`` in any text of the stage is replaced by the variant's label on that axis.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rho1bench.recipe.loading.json_schema import Node, stage_models, stage_node
from rho1bench.recipe.loading.labels import label_of
from rho1bench.recipe.loading.layers import Path_, RawRecipe, nearest
from rho1bench.recipe.loading.overrides import assign
from rho1bench.recipe.loading.yaml_text import Yaml, YamlMap

MAX_STAGES = 2000
NAME_LENGTH = 64
_LABEL = re.compile(r"[a-z0-9][a-z0-9_-]*")
_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_.-]+)\}")
_FIXED = ("name", "kind", "matrix", "variant")
Stage = YamlMap


@dataclass(frozen=True)
class Choice:
    """One label of an axis, and what it sets."""

    label: str
    settings: dict[Path_, Yaml]
    """Key path inside the stage to value."""
    places: dict[Path_, Path_]
    """The same key path to where inside the stage its value is written."""


@dataclass(frozen=True)
class Axis:
    """One axis of a matrix."""

    name: str
    choices: list[Choice]


def expand_matrices(raw: RawRecipe) -> bool:
    """Replace every stage that has a matrix by its variants; return False where a matrix is wrong, and tells how."""
    stages = raw.data.get("stages")
    if not isinstance(stages, list):
        return True
    before = len(raw.problems)
    expanded: list[Yaml] = []
    for stage in stages:
        if isinstance(stage, dict) and "matrix" in stage:
            expanded += _expand(raw, stage, MAX_STAGES - len(expanded))
        else:
            expanded.append(stage)
    raw.data = {**raw.data, "stages": expanded}
    whole = len(raw.problems) == before
    if whole:
        _note_name_clashes(raw, expanded)
    return len(raw.problems) == before


def _expand(raw: RawRecipe, stage: Stage, room: int) -> list[Stage]:
    """Return the variants of a stage; none where its matrix is wrong, which is told."""
    plain = {key: value for key, value in stage.items() if key != "matrix"}
    name, kind = stage.get("name"), stage.get("kind")
    if stage["matrix"] is None or not isinstance(name, str) or not isinstance(kind, str) or kind not in stage_models():
        return [plain]  # whose own problem will be told
    top = ("stages", name, "matrix")
    before = len(raw.problems)
    axes = _axes(raw, top, plain, stage["matrix"])
    number = math.prod(len(axis.choices) for axis in axes)
    if number > room:
        raw.problem(top, f"expands to {number:,} stages; a recipe has at most {MAX_STAGES:,} in all")
    if len(raw.problems) > before:
        return []
    return list(_variants(raw, plain, axes))


def _axes(raw: RawRecipe, top: Path_, stage: Stage, matrix: Yaml) -> list[Axis]:
    """Return the axes of a matrix; what is wrong with them is told. Null takes an axis away that a base has."""
    if not isinstance(matrix, dict):
        raw.problem(top, f"expected a mapping of keys of the stage to their values, got {matrix!r}")
        return []
    given = {str(name): values for name, values in matrix.items() if values is not None}
    if not given:
        raw.problem(top, "is empty; expected at least one key of the stage with its values, or no matrix")
    axes = []
    for name, values in given.items():
        path = (*top, name)
        if not isinstance(values, list | dict) or not values:
            raw.problem(path, f"expected a list of values or a mapping of labels to values, not empty, got {values!r}")
            continue
        choices = list(_choices(raw, path, stage, name, values))
        for label, count in Counter(choice.label for choice in choices).items():
            if count > 1:
                raw.problem(path, f"{count} values have the label {label!r}; give labels: {{label: value, ...}}")
        axes.append(Axis(name, choices))
    _note_overlaps(raw, top, axes)
    return axes


def _choices(raw: RawRecipe, path: Path_, stage: Stage, name: str, values: Yaml) -> Iterator[Choice]:
    """Yield the choices of one axis."""
    node, inner = stage_node(stage["kind"]), path[2:]
    key = tuple(name.split("."))
    items = [
        (str(label), value) for label, value in (values.items() if isinstance(values, dict) else enumerate(values))
    ]
    wrong = _wrong_key(node, stage, key)
    bundled = (
        bool(wrong) and isinstance(values, dict) and all(_sets_keys(node, stage, value) for value in values.values())
    )
    chooses = bool(wrong) and isinstance(values, list) and f"{{{name}}}" in _texts(stage)
    if wrong and not bundled and not chooses:
        raw.problem(path, wrong)
        return
    for place, value in items:
        label = place if isinstance(values, dict) else label_of(name, value)
        if label is None:
            raw.problem((*path, place), f"a value like {value!r} needs a label; write {{label: value, ...}}")
        elif not _LABEL.fullmatch(label):
            raw.problem(
                (*path, place), f"the label {label!r} becomes part of a name: use lower-case letters, digits, - and _"
            )
        elif bundled:
            settings = {tuple(str(part).split(".")): item for part, item in value.items()}
            yield Choice(label, settings, {one: (*inner, place, ".".join(one)) for one in settings})
        else:
            yield Choice(label, {} if chooses else {key: value}, {} if chooses else {key: (*inner, place)})


def _wrong_key(node: Node, stage: Stage, key: Path_) -> str:
    """Say why ``key`` is no key of the stage that an axis may set; empty if it is one."""
    if key[0] in _FIXED:
        return f"{key[0]} cannot be an axis"
    value: Yaml = stage
    for depth, part in enumerate(key):
        node = node.resolve({} if value is None else value)
        if isinstance(value, list):
            if not part.isdecimal() or int(part) >= len(value):
                return f"{'.'.join(key[:depth])} is a list of {len(value)}; expected a number, got {part!r}"
            node, value = node.child(int(part), value), value[int(part)]
            continue
        if part not in node.keys and not node.takes_any_key:
            valid = [known for known in node.keys if depth or known not in _FIXED]
            close = nearest(part, valid)
            word = "" if depth else " A word of your own takes a mapping of labels to the keys that each sets."
            return f"unknown key {'.'.join(key[: depth + 1])!r}{close}; valid keys here: {', '.join(valid)}.{word}"
        node, value = node.child(part, value), value.get(part) if isinstance(value, dict) else None
    return ""


def _sets_keys(node: Node, stage: Stage, value: Yaml) -> bool:
    """Tell whether ``value`` is a mapping of keys of the stage."""
    return isinstance(value, dict) and not any(_wrong_key(node, stage, tuple(str(key).split("."))) for key in value)


def _note_overlaps(raw: RawRecipe, top: Path_, axes: Sequence[Axis]) -> None:
    """Tell of two axes that set the same key, or one a part of what the other sets to null."""
    for one, other in itertools.permutations(axes, 2):
        for mine, theirs in itertools.product(one.choices, other.choices):
            for key, value in mine.settings.items():
                for inner in theirs.settings:
                    if inner[: len(key)] == key and (inner == key or value is None):
                        what = f"{'.'.join(key)} to null" if inner != key else "the same key"
                        raw.problem(
                            (*top, other.name), f"sets {'.'.join(inner)}, and the axis {one.name!r} sets {what}"
                        )
                        return


def _variants(raw: RawRecipe, stage: Stage, axes: Sequence[Axis]) -> Iterator[Stage]:
    group = stage["name"]
    for choices in itertools.product(*(axis.choices for axis in axes)):
        labels = {axis.name: choice.label for axis, choice in zip(axes, choices, strict=True)}
        name = "-".join([group, *labels.values()])
        raw.moved[("stages", name)] = ("stages", group)
        variant = {**stage, "name": name}
        for choice in choices:
            for key, value in choice.settings.items():
                assign(variant, key, value)
                raw.moved[("stages", name, *key)] = ("stages", group, *choice.places[key])
        filled = {key: _fill(raw, value, labels, ("stages", name, str(key))) for key, value in variant.items()}
        yield {**filled, "name": name, "variant": {"group": group, "labels": labels}}


def _fill(raw: RawRecipe, value: Yaml, labels: dict[str, str], path: Path_) -> Yaml:
    """Return ``value`` with every ``{axis}`` in its texts replaced by the label."""
    if isinstance(value, dict):
        return {key: _fill(raw, item, labels, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(raw, item, labels, (*path, str(index))) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def label(match: re.Match[str]) -> str:
        named = [name for name in labels if match[1] in (name, name.rpartition(".")[2])]
        exact = [name for name in named if name == match[1]] or named
        if len(exact) != 1:
            what = "there is no axis" if not exact else "several axes are called"
            raw.problem(path, f"{what} {match[1]!r}{nearest(match[1], labels)}; axes: {', '.join(labels)}")
            return match[0]
        return labels[exact[0]]

    return _PLACEHOLDER.sub(label, value)


def _texts(value: Yaml) -> str:
    """Return all texts inside ``value``, one a line."""
    if isinstance(value, dict | list):
        return "\n".join(map(_texts, value.values() if isinstance(value, dict) else value))
    return value if isinstance(value, str) else ""


def _note_name_clashes(raw: RawRecipe, stages: Sequence[Yaml]) -> None:
    """Tell of variants with one name, and of names that are too long."""
    names = [stage.get("name") for stage in stages if isinstance(stage, dict)]
    variants = [
        stage for stage in stages if isinstance(stage, dict) and ("stages", str(stage.get("name"))) in raw.moved
    ]
    counts = Counter(name for name in names if isinstance(name, str))
    for stage in variants:
        name, top = stage["name"], ("stages", stage["variant"]["group"], "matrix")
        if counts[name] > 1:
            raw.problem(top, f"two stages are called {name!r}; choose other labels")
        if len(name) > NAME_LENGTH:
            raw.problem(
                top, f"{name!r} has {len(name)} letters, a stage's name at most {NAME_LENGTH}; choose short labels"
            )
            raw.told.add(("stages", stage["variant"]["group"], "name"))
