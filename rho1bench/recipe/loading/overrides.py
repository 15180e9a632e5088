"""``--set KEY=VALUE``: one value of a raw recipe changed from the command line, before matrices expand.

A stage is named, or a pattern stands for several (``stages.*.max_steps=100``): the value is set in those of them that
have a place for it.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from rho1bench.recipe.loading.json_schema import stage_models, stage_node
from rho1bench.recipe.loading.layers import Origin, Path_, RawRecipe, nearest, yaml_words
from rho1bench.recipe.loading.yaml_text import NOT_YAML, Yaml, YamlMap, parse_yaml

_MAGIC = frozenset("*?[")


def apply_override(raw: RawRecipe, override: str, folder: Path) -> None:
    """Carry out one ``--set key=value``; notes a problem where the key leads nowhere or the value is not YAML."""
    origin = Origin(f"--set {override}", folder)
    key, equals, text = override.partition("=")
    path = key_path(raw.data, key.strip())
    if not equals or not all(path):
        raw.problems.append(f"{origin.label}: expected KEY=VALUE, stages.slm.selection.ratio=0.4 for example")
        return
    try:
        value = parse_yaml(text)
    except NOT_YAML as error:
        raw.problems.append(f"{origin.label}: the value is not YAML: {yaml_words(error)}")
        return
    paths, complaint = _meant(raw.data, path)
    for one in paths:
        complaint = complaint or assign(raw.data, one, value)
    if complaint:
        raw.problems.append(f"{origin.label}: {complaint}")
        return
    for one in paths:
        for known in [item for item in raw.origins if item[: len(one)] == one]:
            del raw.origins[known]
        raw.origins[one] = origin


def _meant(data: YamlMap, path: Path_) -> tuple[list[Path_], str]:
    """Return the places that a path with a pattern for a stage stands for, and a complaint where it has none."""
    stages = data.get("stages")
    if len(path) < 3 or path[0] != "stages" or not _MAGIC & set(path[1]) or not isinstance(stages, list):
        return [path], ""
    named = [s for s in stages if isinstance(s, dict) and isinstance(s.get("name"), str)]
    matching = [stage for stage in named if fnmatchcase(stage["name"], path[1])]
    paths = [key_path(data, ".".join((path[0], stage["name"], *path[2:]))) for stage in matching]
    meant = [one for one, stage in zip(paths, matching, strict=True) if _has_place(stage, one[2:])]
    if meant:
        return meant, ""
    names = ", ".join(stage["name"] for stage in (matching or named))
    if not matching:
        return [], f"no stage matches {path[1]!r}; stages: {names}"
    return [], f"none of the stages that match {path[1]!r} has a place for {'.'.join(path[2:])!r}: {names}"


def _has_place(stage: YamlMap, key: Path_) -> bool:
    """Tell whether a stage's kind knows the key, and the mapping or list that it lies in is there."""
    if not isinstance(stage.get("kind"), str) or stage["kind"] not in stage_models():
        return False
    node = stage_node(stage["kind"])
    here: Yaml = stage
    for depth, part in enumerate(key):
        node = node.resolve(here)
        if isinstance(here, list):
            if not part.isdecimal() or int(part) >= len(here):
                return False
            node, here = node.child(int(part), here), here[int(part)]
        elif not isinstance(here, dict) or (part not in node.keys and not node.takes_any_key):
            return depth > 0 and key[0] == "matrix" and isinstance(here, dict)
        else:
            node, here = node.child(part, here), here.get(part)
    return True


def key_path(data: YamlMap, key: str) -> Path_:
    """Return the parts of a dotted key; the axis of a matrix is one part, dots and all."""
    path = tuple(key.split("."))
    if len(path) < 4 or path[0] != "stages" or path[2] != "matrix":
        return path
    stages = data.get("stages")
    every = stages if isinstance(stages, list) else []
    matrix = next((s.get("matrix") for s in every if isinstance(s, dict) and s.get("name") == path[1]), None)
    axes = matrix if isinstance(matrix, dict) else {}
    for end in range(len(path), 3, -1):
        if ".".join(path[3:end]) in axes:
            return (*path[:3], ".".join(path[3:end]), *path[end:])
    return (*path[:3], ".".join(path[3:]))


def assign(data: YamlMap, path: Path_, value: Yaml) -> str:
    """Set ``value`` at ``path`` without touching what is shared; returns a complaint or an empty string."""
    here: Yaml = data
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        key, complaint = _step(here, part, path[:depth])
        if complaint:
            return complaint
        if last:
            here[key] = value
        else:
            inner = here[key] if isinstance(here, list) else here.get(key)
            here[key] = inner.copy() if isinstance(inner, dict | list) else {}
            here = here[key]
    return ""


def _step(here: Yaml, part: str, path: Path_) -> tuple[Yaml, str]:
    if isinstance(here, dict):
        return part, ""
    if path == ("stages",):
        names = [stage.get("name") if isinstance(stage, dict) else None for stage in here]
        if part in names:
            return names.index(part), ""
        valid = [name for name in names if isinstance(name, str)]
        group = next((s["name"] for s in here if _has_variant(s, part)), None)
        if group is not None:
            return None, (
                f"the variants of the matrix {group!r} cannot be set one by one; set stages.{group}.KEY for all of "
                f"them, or an axis, stages.{group}.matrix.AXIS"
            )
        return None, f"there is no stage {part!r}{nearest(part, valid)}; stages: {', '.join(valid)}"
    if part.isdecimal() and int(part) < len(here):
        return int(part), ""
    return None, f"{'.'.join(path)} is a list of {len(here)}; expected a number from 0 to {len(here) - 1}, got {part!r}"


def _has_variant(stage: Yaml, name: str) -> bool:
    """Tell whether ``name`` would be a variant of ``stage``."""
    has_matrix = isinstance(stage, dict) and bool(stage.get("matrix")) and isinstance(stage.get("name"), str)
    return has_matrix and name.startswith(f"{stage['name']}-")
