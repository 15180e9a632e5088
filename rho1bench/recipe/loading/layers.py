"""Recipe files as raw data: YAML and ``extends:``, with the line that every value came from.

Merging is deep for mappings; ``stages`` is merged stage by stage, by name, without those that ``drop:`` names; any
other list is replaced.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from rho1bench.errors import RecipeError
from rho1bench.recipe.loading.yaml_text import NOT_YAML, Yaml, YamlMap, read_yaml

Path_ = tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """Where a value was written; ``folder`` is what a relative file name in it is relative to."""

    label: str
    folder: Path


@dataclass
class RawRecipe:
    """Merged data, the origin of every key path (stages addressed by name), and the problems met so far."""

    data: YamlMap
    origins: dict[Path_, Origin]
    problems: list[str] = field(default_factory=list)
    moved: dict[Path_, Path_] = field(default_factory=dict)
    """Places that matrices and patterns have made, and where each was written."""
    told: set[Path_] = field(default_factory=set)
    """Places whose problem has been told: what else is found there follows from it."""

    def written(self, path: Path_) -> Path_:
        """Return where the value at ``path`` was written: in a matrix, say, for a stage that it expands into."""
        for depth in range(len(path), 0, -1):
            if path[:depth] in self.moved:
                return self.moved[path[:depth]] + path[depth:]
        return path

    def origin(self, path: Path_) -> Origin:
        """Return the origin of ``path``, or of the nearest place above it."""
        path = self.written(path)
        while path not in self.origins and path:
            path = path[:-1]
        return self.origins[path]

    def problem(self, path: Path_, message: str) -> None:
        """Note one problem at ``path``, where it was written."""
        path = self.written(path)
        if any(path[:depth] in self.told for depth in range(1, len(path) + 1)):
            return
        where = f"{'.'.join(path)}: " if path else ""
        self.problems.append(f"{self.origin(path).label}: {where}{message}")


def nearest(word: object, valid: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest valid word, or an empty string."""
    close = difflib.get_close_matches(str(word), list(valid), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def read_layers(path: Path, bases: dict[str, Path], chain: tuple[Path, ...] = ()) -> RawRecipe:
    """Read ``path`` and what it extends; ``bases`` are the recipes that ``extends:`` may name.

    Raises ``RecipeError`` for what leaves nothing to check: a missing file, broken YAML, a circle of ``extends``.
    """
    resolved = path.resolve()
    if resolved in chain:
        circle = " -> ".join(item.name for item in (*chain[chain.index(resolved) :], resolved))
        raise RecipeError(f"{path}: the recipes extend each other in a circle: {circle}. Remove one of the 'extends:'.")
    layer = _read_layer(path)
    base_name, dropped = layer.data.pop("extends", None), layer.data.pop("drop", [])
    if base_name is None:
        if dropped:
            layer.problem(("drop",), "a recipe that extends no other has no stages to drop; remove the key")
        return layer
    base_path = _base_path(path, base_name, bases, layer)
    base = read_layers(base_path, bases, (*chain, resolved))
    _drop_stages(base, dropped, layer)
    return RawRecipe(merge(base.data, layer.data), {**base.origins, **layer.origins}, [*base.problems, *layer.problems])


def merge(base: YamlMap, top: YamlMap) -> YamlMap:
    """Lay ``top`` over ``base``: mappings deeply, ``stages`` by name, all else replaced."""
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        if key == "stages" and isinstance(old, list) and isinstance(value, list):
            merged[key] = _merge_stages(old, value)
        else:
            merged[key] = _merge_values(old, value)
    return merged


def _read_layer(path: Path) -> RawRecipe:
    try:
        node, data = read_yaml(path.read_text(encoding="utf-8"))
        lines = dict(_lines(node, ())) if node is not None else {}
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 text (byte {error.start}); a recipe is a YAML file.") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}. Give a recipe's name or a YAML file.") from None
    except NOT_YAML as error:
        raise RecipeError(f"{_yaml_position(path, error)}: not valid YAML: {yaml_words(error)}") from None
    if not isinstance(data, dict):
        what = "is empty" if data is None else f"holds {type(data).__name__} at its top"
        raise RecipeError(f"{path}: {what}; expected a mapping with 'name' and 'stages'.")
    origins = {key: Origin(f"{path}:{line}", path.parent) for key, line in lines.items()}
    layer = RawRecipe(data, {**origins, (): Origin(str(path), path.parent)})
    _note_duplicate_stages(layer, node, str(path))
    return layer


def _lines(node: yaml.Node, path: Path_) -> Iterator[tuple[Path_, int]]:
    """Yield every key path below ``node`` with its line."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _lines(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            name = _scalar(item, "name") if path == ("stages",) else None
            inner = (*path, name or str(index))
            yield inner, item.start_mark.line + 1
            yield from _lines(item, inner)


def _scalar(node: yaml.Node, wanted: str) -> str | None:
    """Return the text under the key ``wanted``; the last one counts: merged keys stand first."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    texts = [value.value for key, value in pairs if key.value == wanted and isinstance(value, yaml.ScalarNode)]
    return str(texts[-1]) if texts else None


def _note_duplicate_stages(layer: RawRecipe, node: Yaml, label: str) -> None:
    stages = next((value for key, value in node.value if key.value == "stages"), None)
    first: dict[str, int] = {}
    for item in stages.value if isinstance(stages, yaml.SequenceNode) else ():
        name, line = _scalar(item, "name"), item.start_mark.line + 1
        if name in first:
            layer.problems.append(
                f"{label}:{line}: stages.{name}: two stages are called {name!r} (the other on line {first[name]}); "
                "give each its own name"
            )
        elif name is not None:
            first[name] = line


def _base_path(path: Path, name: Yaml, bases: dict[str, Path], layer: RawRecipe) -> Path:
    where = layer.origin(("extends",)).label
    if not isinstance(name, str):
        raise RecipeError(f"{where}: extends: expected the name of a recipe or a file, got {name!r}.")
    beside = path.parent / name
    for candidate in (beside, path.parent / f"{name}.yaml"):
        if candidate.is_file() and candidate.resolve() != path.resolve():
            return candidate
    if name in bases:
        return bases[name]
    if beside.is_file():
        return beside
    raise RecipeError(
        f"{where}: extends: there is no recipe {name!r}, neither beside this file nor among the shipped ones"
        f"{nearest(name, bases)}. Shipped: {', '.join(sorted(bases)) or 'none'}."
    )


def _drop_stages(base: RawRecipe, dropped: Yaml, layer: RawRecipe) -> None:
    """Remove the stages that the layer's ``drop:`` names, so that it can leave them out or put them elsewhere."""
    stages = base.data.get("stages")
    names = [stage.get("name") for stage in stages if isinstance(stage, dict)] if isinstance(stages, list) else []
    valid = [name for name in names if isinstance(name, str)]
    if not isinstance(dropped, list):
        layer.problem(("drop",), f"expected a list of stage names, got {dropped!r}")
        return
    for index, name in enumerate(dropped):
        if name not in valid:
            layer.problem(
                ("drop", str(index)), f"there is no stage {name!r}{nearest(name, valid)}; stages: {', '.join(valid)}"
            )
    if valid:
        base.data["stages"] = [s for s in stages or () if not (isinstance(s, dict) and s.get("name") in dropped)]
    for path in [path for path in base.origins if path[:1] == ("stages",) and path[1:2] and path[1] in dropped]:
        del base.origins[path]


def _merge_values(old: Yaml, new: Yaml) -> Yaml:
    if isinstance(old, dict) and isinstance(new, dict) and _same_sort(old, new):
        return {**old, **{key: _merge_values(old.get(key), value) for key, value in new.items()}}
    return new


def _same_sort(old: YamlMap, new: YamlMap) -> bool:
    """A stage of another kind, or a source of another type, replaces the old one: it has other keys."""
    return all(key not in new or new[key] == old.get(key) for key in ("kind", "type"))


def _merge_stages(base: list[Yaml], top: list[Yaml]) -> list[Yaml]:
    merged = list(base)
    places = {stage.get("name"): index for index, stage in enumerate(base) if isinstance(stage, dict)}
    for stage in top:
        name = stage.get("name") if isinstance(stage, dict) else None
        if isinstance(name, str) and name in places:
            merged[places[name]] = _merge_values(merged[places[name]], stage)
        else:
            merged.append(stage)
    return merged


def _yaml_position(path: Path, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else str(path)


def yaml_words(error: Exception) -> str:
    """Return what is wrong with a text that is not YAML: one of the errors of ``NOT_YAML``."""
    if isinstance(error, RecursionError):
        return "nested too deeply, or an alias that holds itself"
    parts = (getattr(error, "context", None), getattr(error, "problem", None))
    return ", ".join(str(part) for part in parts if part) or str(error).splitlines()[0]
