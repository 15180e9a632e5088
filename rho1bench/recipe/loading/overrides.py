"""``--set KEY=VALUE``: one value of a raw recipe changed from the command line, before matrices expand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from rho1bench.recipe.loading.layers import Origin, Path_, RawRecipe, nearest, yaml_words
from rho1bench.recipe.loading.yaml_text import parse_yaml


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
    except (yaml.YAMLError, ValueError) as error:
        raw.problems.append(f"{origin.label}: the value is not YAML: {yaml_words(error)}")
        return
    complaint = assign(raw.data, path, value)
    if complaint:
        raw.problems.append(f"{origin.label}: {complaint}")
        return
    for known in [item for item in raw.origins if item[: len(path)] == path]:
        del raw.origins[known]
    raw.origins[path] = origin


def key_path(data: dict[str, Any], key: str) -> Path_:
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


def assign(data: dict[str, Any], path: Path_, value: Any) -> str:
    """Set ``value`` at ``path`` without touching what is shared; returns a complaint or an empty string."""
    here: Any = data
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


def _step(here: Any, part: str, path: Path_) -> tuple[Any, str]:
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


def _has_variant(stage: Any, name: str) -> bool:
    """Tell whether ``name`` would be a variant of ``stage``."""
    has_matrix = isinstance(stage, dict) and bool(stage.get("matrix")) and isinstance(stage.get("name"), str)
    return has_matrix and name.startswith(f"{stage['name']}-")
