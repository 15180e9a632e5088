"""Patterns in place of stage names: ``arm-*``, a matrix by its name, and pairs by the labels of variants.

Works on raw data in which matrices are expanded. A list of stage names (``checkpoints``, ``curves``) may hold a pattern
as of a shell, or the name of a stage with a matrix, which stands for all of its variants. A pair of a comparison may
name several treatments in the same ways, and their baselines by labels: ``{treatment: arm, baseline: {selection:
full}}`` is every variant against the one that has this label, and else the same ones.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from functools import cached_property

from rho1bench.recipe.loading.json_schema import Node, stage_models, stage_node
from rho1bench.recipe.loading.labels import label_of
from rho1bench.recipe.loading.layers import Path_, RawRecipe, nearest
from rho1bench.recipe.loading.yaml_text import Yaml, YamlMap

_MAGIC = frozenset("*?[")
_TRAINED = ("pretrain", "sft")
Stage = YamlMap


class _Wrong(Exception):
    """A pattern that names nothing, or a baseline that is not there; the text says what."""


def expand_patterns(raw: RawRecipe) -> None:
    """Put the names of stages in the place of every pattern; what names nothing is told."""
    stages = raw.data.get("stages")
    earlier: list[Stage] = []
    for stage in stages if isinstance(stages, list) else ():
        if not isinstance(stage, dict) or not isinstance(stage.get("name"), str):
            continue
        if isinstance(stage.get("kind"), str) and stage["kind"] in stage_models():
            top = ("stages", stage["name"])
            for holder, key, path, kinds in list(_name_lists(stage_node(stage["kind"]), stage, top)):
                names = _Names([other for other in earlier if other.get("kind") in kinds], earlier)
                holder[key] = _expand_list(raw, holder[key], path, names)
            if stage["kind"] == "compare" and isinstance(stage.get("pairs"), list):
                stage["pairs"] = _expand_pairs(raw, stage, earlier)
            earlier.append(stage)


class _Names:
    """The stages that a place may name, and their variants."""

    def __init__(self, stages: Sequence[Stage], every: Sequence[Stage]) -> None:
        self.by_name = {str(stage["name"]): stage for stage in stages}
        self._others = [str(stage["name"]) for stage in every]

    def matching(self, word: str) -> list[str]:
        """Return the names that ``word`` stands for; raises _Wrong where a pattern stands for none."""
        if word not in self.by_name and (group := self.group(word)):
            return group
        if not _MAGIC & set(word):
            return [word]
        found = fnmatch.filter(self.by_name, word)
        if not found:
            valid = [*dict.fromkeys([*self.groups, *self.by_name])]
            close = nearest(word.replace("*", ""), valid)
            elsewhere = bool(fnmatch.filter(self._others, word))
            why = "only stages of another kind" if elsewhere else "no earlier stage"
            raise _Wrong(f"{word!r} matches {why}{close}; stages that can stand here: {_some(valid)}")
        return found

    def variant(self, name: str) -> YamlMap:
        """Return group and labels of a stage; empty for one that is no variant."""
        variant = self.by_name.get(name, {}).get("variant")
        return variant if isinstance(variant, dict) else {}

    def labels(self, name: str) -> dict[str, str]:
        """Return the labels of a variant."""
        return dict(self.variant(name).get("labels", {}))

    def group(self, group: str) -> list[str]:
        """Return the variants of the matrix ``group``."""
        return self.groups.get(group, [])

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """The matrices, each with the names of its variants."""
        found: dict[str, list[str]] = {}
        for name in self.by_name:
            if self.variant(name):
                found.setdefault(str(self.variant(name)["group"]), []).append(name)
        return found


def _name_lists(node: Node, value: Yaml, path: Path_) -> Iterator[tuple[Yaml, Yaml, Path_, list[str]]]:
    """Yield every list of stage names below ``value``: what holds it, its key there, its path and the kinds."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        child = node.child(key if isinstance(key, int) else str(key), value)
        below = (*path, str(key))
        kinds = child.child(0, inner).stage_kinds("") if isinstance(inner, list) else []
        if kinds:
            yield value, key, below, kinds
        else:
            yield from _name_lists(child, inner, below)


def _expand_list(raw: RawRecipe, items: list[Yaml], path: Path_, names: _Names) -> list[Yaml]:
    found: list[tuple[Yaml, Path_]] = []
    for index, item in enumerate(items):
        place = raw.written((*path, str(index)))
        try:
            matched = names.matching(item) if isinstance(item, str) else [item]
        except _Wrong as wrong:
            raw.problem(place, str(wrong))
            raw.told.add(place)
            matched = [item]
        several = matched != [item]
        given = [name for name, _ in found]
        found += [(name, place) for name in matched if not (several and (name in given or name in items))]
    return _moved(raw, path, found)


def _moved(raw: RawRecipe, path: Path_, found: Sequence[tuple[Yaml, Path_]]) -> list[Yaml]:
    """Return the new items of the list at ``path``, and keep in mind where each was written."""
    raw.moved |= {(*path, str(index)): place for index, (_, place) in enumerate(found)}
    return [item for item, _ in found]


def _expand_pairs(raw: RawRecipe, stage: Stage, earlier: Sequence[Stage]) -> list[Yaml]:
    path: Path_ = ("stages", stage["name"], "pairs")
    names = _Names(list(_evaluated(stage.get("evaluation"), earlier)), earlier)
    found: list[tuple[Yaml, Path_]] = []
    for index, pair in enumerate(stage["pairs"]):
        place = raw.written((*path, str(index)))
        pairs = [pair]
        if isinstance(pair, dict) and set(pair) == {"treatment", "baseline"}:
            try:
                pairs = _pairs(names, pair["treatment"], pair["baseline"])
            except _Wrong as wrong:
                raw.problem(place, str(wrong))
                raw.told.add(place)
        several = pairs != [pair]
        given = [one for one, _ in found]
        found += [(one, place) for one in pairs if not (several and one in given)]
    return _moved(raw, path, found)


def _evaluated(evaluation: Yaml, earlier: Sequence[Stage]) -> Iterator[Stage]:
    """Yield the stages whose last checkpoint an evaluation reads; every trained one where that cannot be told."""
    stage = next((other for other in earlier if other["name"] == evaluation), {})
    items = [item for item in _list(stage.get("evaluations")) if isinstance(item, dict) and not item.get("trajectory")]
    named = [name for item in items for name in _list(item.get("checkpoints")) if isinstance(name, str)]
    known = bool(named) and set(named) <= {other["name"] for other in earlier}
    yield from (other for other in earlier if other.get("kind") in _TRAINED and (other["name"] in named or not known))


def _pairs(names: _Names, treatment: Yaml, baseline: Yaml) -> list[Yaml]:
    """Return the pairs of one entry; raises _Wrong where there are none."""
    if isinstance(treatment, str) and isinstance(baseline, str) and not _stands_for_several(names, treatment, baseline):
        return [{"treatment": treatment, "baseline": baseline}]
    treatments = _members(names, treatment)
    pairs = [(one, other) for one in treatments for other in _baselines(names, one, baseline) if one != other]
    if not pairs:
        raise _Wrong(f"{_short(treatment)} has no other variant than its baseline {_short(baseline)}")
    return [{"treatment": one, "baseline": other} for one, other in pairs]


def _stands_for_several(names: _Names, *words: str) -> bool:
    return any(_MAGIC & set(word) or (word not in names.by_name and names.group(word)) for word in words)


def _members(names: _Names, treatment: Yaml) -> list[str]:
    """Return the treatments: by name or pattern, or by labels inside a group."""
    if isinstance(treatment, str):
        return names.matching(treatment)
    if not isinstance(treatment, dict) or "group" not in treatment:
        raise _Wrong(f"expected a name, a pattern or {{group: ..., AXIS: LABEL}} as treatment, got {treatment!r}")
    group = _group(names, treatment["group"])
    wanted = _wanted(names, group, treatment)
    return [name for name in group if wanted.items() <= names.labels(name).items()]


def _baselines(names: _Names, treatment: str, baseline: Yaml) -> list[str]:
    """Return what one treatment is compared with: what has the wanted labels, and else those of the treatment."""
    if isinstance(baseline, str) and names.group(baseline) and baseline not in names.by_name:
        baseline = {"group": baseline}
    if isinstance(baseline, str):
        found = names.matching(baseline)
        if len(found) > 1:
            raise _Wrong(f"the baseline {baseline!r} matches {_some(found)}; give labels: {{AXIS: LABEL}}")
        return found
    if not isinstance(baseline, dict):
        raise _Wrong(f"expected a name or {{AXIS: LABEL}} as baseline, got {baseline!r}")
    own = names.variant(treatment)
    if "group" not in baseline and not own:
        raise _Wrong(f"{treatment!r} is no variant of a matrix, so its baseline has a name; got {_short(baseline)}")
    group = _group(names, baseline.get("group", own.get("group")))
    wanted = _wanted(names, group, baseline)
    same = {axis: label for axis, label in names.labels(treatment).items() if axis not in wanted}
    found = [name for name in group if wanted.items() <= names.labels(name).items()]
    found = [
        name for name in found if all(same.get(axis, label) == label for axis, label in names.labels(name).items())
    ]
    if not found:
        labels = ", ".join(f"{axis}: {label}" for axis, label in (same | wanted).items())
        raise _Wrong(
            f"{treatment!r} has no baseline: no evaluated variant of {names.variant(group[0])['group']!r} has {labels}"
        )
    return found


def _group(names: _Names, group: Yaml) -> list[str]:
    members = names.group(str(group))
    if not members:
        known = list(names.groups)
        raise _Wrong(
            f"there is no matrix {group!r} that is evaluated{nearest(group, known)}; evaluated: {_some(known)}"
        )
    return members


def _wanted(names: _Names, group: Sequence[str], given: dict[Yaml, Yaml]) -> dict[str, str]:
    """Return the labels that ``given`` asks for, by the full names of axes; raises _Wrong for an unknown one."""
    axes = list(names.labels(group[0]))
    wanted: dict[str, str] = {}
    for word, value in given.items():
        if word == "group":
            continue
        axis = next((axis for axis in axes if word in (axis, axis.rpartition(".")[2])), None)
        if axis is None:
            raise _Wrong(f"there is no axis {word!r}{nearest(word, axes)}; axes: {', '.join(axes)}")
        labels = list(dict.fromkeys(names.labels(name)[axis] for name in group))
        label = str(value) if str(value) in labels else label_of(axis, value)
        if label not in labels:
            raise _Wrong(
                f"no variant has the label {value!r} on {axis}{nearest(label, labels)}; labels: {', '.join(labels)}"
            )
        wanted[axis] = label
    return wanted


def _list(value: Yaml) -> list[Yaml]:
    return value if isinstance(value, list) else []


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "none"


def _short(value: Yaml) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {item}" for key, item in value.items()) + "}"
    return repr(value)
