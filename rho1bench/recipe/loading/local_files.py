"""Finds the files and folders that a recipe names: each is sought beside the recipe file that says so.

Fields say by their type that they name something local (``LocalRef``), so a new one needs nothing here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from rho1bench.recipe.loading.json_schema import Node, stage_models, stage_node
from rho1bench.recipe.loading.layers import RawRecipe
from rho1bench.recipe.loading.yaml_text import Yaml, YamlMap
from rho1bench.recipe.models.base import LOCAL_KEY
from rho1bench.recipe.models.corpus import named_files

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?", re.ASCII)
Place = tuple[YamlMap, str, tuple[str, ...], str]
"""A mapping, the key in it, the key path inside the stage, and what the value names."""


def resolve_local_files(raw: RawRecipe) -> None:
    """Make the paths of local files absolute, each against the file that named it; note those that do not exist."""
    stages = raw.data.get("stages")
    for stage in stages if isinstance(stages, list) else ():
        kind = stage.get("kind") if isinstance(stage, dict) else None
        if not isinstance(kind, str) or kind not in stage_models():
            continue
        for holder, key, inner, what in _local_places(stage_node(kind), stage):
            path = ("stages", str(stage.get("name")), *inner)
            if what == "files":
                _resolve_files(raw, holder, key, path)
            else:
                _resolve_folder(raw, holder, key, path)


def folder_or_hub_places(raw: RawRecipe) -> Iterator[tuple[YamlMap, str]]:
    """Yield every mapping of a recipe whose value under a key is a folder or the name of something on the hub."""
    stages = raw.data.get("stages")
    for stage in stages if isinstance(stages, list) else ():
        kind = stage.get("kind") if isinstance(stage, dict) else None
        if isinstance(kind, str) and kind in stage_models():
            places = _local_places(stage_node(kind), stage)
            yield from ((holder, key) for holder, key, _, what in places if what == "folder")


def _local_places(node: Node, value: Yaml, path: tuple[str, ...] = ()) -> Iterator[Place]:
    """Yield every place below ``value`` whose text names something local."""
    items: list[tuple[str | int, Yaml]] = []
    if isinstance(value, dict):
        items = [(str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, inner in items:
        child = node.child(key, value)
        what = child.resolve(inner).schema.get(LOCAL_KEY)
        if what and isinstance(inner, str) and isinstance(value, dict):
            yield value, str(key), (*path, str(key)), what
        else:
            yield from _local_places(child, inner, (*path, str(key)))


def _resolve_files(raw: RawRecipe, holder: YamlMap, key: str, path: tuple[str, ...]) -> None:
    """Make a path, folder or glob absolute; it must name a file that is there."""
    file = (raw.origin(path).folder / os.path.expanduser(holder[key])).absolute()
    found = named_files(str(file))
    if not found or not found[0].is_file():
        what = "the file" if found else "a .jsonl, .jsonl.gz or .parquet file in"
        raw.problem(path, f"{what} {holder[key]!r} does not exist (looked for {file})")
    holder[key] = str(file)


def _resolve_folder(raw: RawRecipe, holder: YamlMap, key: str, path: tuple[str, ...]) -> None:
    """Make a folder beside the recipe absolute; anything else is the name of something on the hub, if it can be."""
    named = holder[key]
    if not named:
        return
    folder = raw.origin(path).folder / os.path.expanduser(named)
    if os.path.isdir(folder):  # unlike Path's, false for names that no disk can hold
        holder[key] = str(folder.absolute())
    elif not _HUB_ID.fullmatch(named):
        raw.problem(
            path,
            f"there is no folder {named!r} (looked for {folder.absolute()}), and a name on the hub is OWNER/NAME",
        )
