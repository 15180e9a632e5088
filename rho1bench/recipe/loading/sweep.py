"""``rho1bench sweep``: axes from the command line, as a matrix on the stage that has the key.

Works on raw data before matrices expand. A stage that reads a swept one follows it (SFT of a swept SLM, say): it gets
an axis that chooses among the variants. Lists of stages and pairs name matrices as they are, so evaluation, comparison
and report need no change. Seeds go to all training stages that are swept, and to those that they are compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rho1bench.errors import RecipeError
from rho1bench.recipe.loading.json_schema import Node, stage_models, stage_node
from rho1bench.recipe.loading.labels import label_of
from rho1bench.recipe.loading.layers import Origin, Path_, RawRecipe, nearest, yaml_words
from rho1bench.recipe.loading.matrix import MAX_STAGES
from rho1bench.recipe.loading.overrides import apply_override, assign
from rho1bench.recipe.loading.yaml_text import NOT_YAML, Yaml, YamlMap, parse_yaml

_TRAINED = ("pretrain", "sft")
_EXAMPLE = "stages.slm.selection.ratio=0.4,0.6 for example"


@dataclass(frozen=True)
class Sweep:
    """What a sweep adds to a recipe: ``KEY=a,b,c`` settings, and the seeds of training (none: the recipe's own)."""

    settings: Sequence[str] = ()
    seeds: Sequence[int] = ()


def read_seeds(text: str | None) -> list[int]:
    """Return the seeds of ``--seeds``: ``3`` is 0, 1 and 2, ``1,2,5`` these; raises ``RecipeError`` for other texts."""
    parts = [part.strip() for part in text.split(",")] if text is not None else []
    if not all(part.isdecimal() for part in parts) or (len(parts) == 1 and not 0 < int(parts[0]) <= MAX_STAGES):
        raise RecipeError(f"--seeds {text}: expected the number of seeds (3), or seeds (1,2,5).")
    numbers = [int(part) for part in parts]
    return list(range(numbers[0])) if len(numbers) == 1 else numbers


@dataclass
class _Axes:
    """New axes by stage; ``had_matrix`` are stages whose variants had names of their own before."""

    by_stage: dict[str, dict[str, list[Yaml]]] = field(default_factory=dict)
    inherited: dict[str, set[str]] = field(default_factory=dict)
    had_matrix: set[str] = field(default_factory=set)

    def add(self, stage: str, axis: str, values: list[Yaml], *, inherited: bool = False) -> None:
        """Give ``stage`` an axis, once."""
        if axis not in self.by_stage.setdefault(stage, {}):
            self.by_stage[stage][axis] = values
            self.inherited.setdefault(stage, set()).update([axis] if inherited else [])

    def target(self, text: str) -> str | None:
        """Return which stage with new axes a reference means, by its name or by that of its variants."""
        if text in self.by_stage:
            return text
        begun = [name for name in self.by_stage if name in self.had_matrix and text.startswith(f"{name}-")]
        return max(begun, key=len, default=None)


def apply_sweep(raw: RawRecipe, sweep: Sweep, folder: Path) -> None:
    """Give stages their axes, and those that read them theirs; what a setting lacks is told."""
    stages = [stage for stage in _list(raw.data.get("stages")) if isinstance(stage, dict) and _is_known(stage)]
    axes = _Axes(had_matrix={stage["name"] for stage in stages if stage.get("matrix")})
    for setting in sweep.settings:
        _add_setting(raw, axes, stages, setting, folder)
    _follow(axes, stages)
    if sweep.seeds:
        for name in _to_be_seeded(raw, axes, stages):
            axes.add(name, "seed", list(sweep.seeds))
        _follow(axes, stages)
        raw.data = {**raw.data, "seeds": []}
    for stage in stages:
        _write(raw, axes, stage, folder)
    if axes.by_stage and isinstance(raw.data.get("name"), str):
        raw.data = {**raw.data, "name": f"{raw.data['name']}-sweep"}


def _add_setting(raw: RawRecipe, axes: _Axes, stages: Sequence[YamlMap], setting: str, folder: Path) -> None:
    """Add the axis of one ``KEY=a,b,c``; one value alone is a plain ``--set``."""
    label = f"--set {setting}"
    key, _, text = setting.partition("=")
    try:
        values = parse_yaml(f"[{text}]")
    except NOT_YAML as error:
        raw.problems.append(f"{label}: the values are not YAML: {yaml_words(error)}")
        return
    parts, names = key.strip().split("."), [stage["name"] for stage in stages]
    if len(values) < 2:
        apply_override(raw, setting, folder)
    elif len(parts) < 3 or parts[0] != "stages" or not all(parts):
        raw.problems.append(f"{label}: expected stages.NAME.KEY=VALUE,VALUE, {_EXAMPLE}")
    elif parts[1] not in names:
        close = nearest(parts[1], names)
        raw.problems.append(f"{label}: there is no stage {parts[1]!r}{close}; stages: {', '.join(names)}")
    elif parts[2] == "matrix":
        apply_override(raw, f"{key}=[{text}]", folder)
    else:
        axis = ".".join(parts[2:])
        axes.add(parts[1], axis, values)
        raw.origins["stages", parts[1], "matrix", axis] = Origin(label, folder)


def _follow(axes: _Axes, stages: Sequence[YamlMap]) -> None:
    """Give every stage the axes of what it reads."""
    for stage in stages:
        for _, text in _names(stage_node(stage["kind"]), stage):
            read = axes.target(text)
            if read is None or read == stage["name"]:
                continue
            for axis, values in list(axes.by_stage[read].items()):
                if axis == "seed":
                    axes.add(stage["name"], axis, values)
                elif axis in axes.inherited[read]:
                    axes.add(stage["name"], axis, values, inherited=True)
                else:
                    labels = [label_of(axis, value) for value in values]
                    axes.add(stage["name"], f"{read}.{axis}", labels, inherited=True)


def _to_be_seeded(raw: RawRecipe, axes: _Axes, stages: Sequence[YamlMap]) -> list[str]:
    """Return the training stages that are swept and what they are paired with; without a sweep all paired ones."""
    trained = [stage["name"] for stage in stages if stage["kind"] in _TRAINED]
    pairs = [
        {axes.target(side) or side for side in pair.values() if isinstance(side, str)}
        for stage in stages
        if stage["kind"] == "compare"
        for pair in _list(stage.get("pairs"))
        if isinstance(pair, dict)
    ]
    swept = set(axes.by_stage) if axes.by_stage else {name for pair in pairs for name in pair}
    wanted = swept.union(*(pair for pair in pairs if pair & swept))
    found = [name for name in trained if name in wanted]
    if not found:
        raw.problems.append("--seeds: no training stage is swept or compared; sweep one with --set, too")
    return found


def _write(raw: RawRecipe, axes: _Axes, stage: YamlMap, folder: Path) -> None:
    """Write the axes of a stage into its matrix, and into what it reads."""
    name, top = stage["name"], ("stages", stage["name"])
    for path, text in list(_names(stage_node(stage["kind"]), stage)):
        read = axes.target(text)
        if read is not None and read != name:
            places = "-".join(f"{{{_place(axes, read, axis)}}}" for axis in axes.by_stage[read])
            assign(raw.data, (*top, *path), f"{text}-{places}")
    new = axes.by_stage.get(name)
    if new:
        before = stage.get("matrix")
        assign(raw.data, (*top, "matrix"), {**(before if isinstance(before, dict) else {}), **new})
        for axis in new:
            raw.origins.setdefault((*top, "matrix", axis), Origin("rho1bench sweep", folder))


def _place(axes: _Axes, read: str, axis: str) -> str:
    """Return what an axis of the stage ``read`` is called in a stage that reads it."""
    return axis if axis == "seed" or axis in axes.inherited[read] else f"{read}.{axis}"


def _names(node: Node, value: Yaml, path: Path_ = ()) -> Iterator[tuple[Path_, str]]:
    """Yield every single name of a stage below ``value``; lists of names are left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        child, below = node.child(key if isinstance(key, int) else str(key), value), (*path, str(key))
        if not isinstance(inner, str):
            yield from _names(child, inner, below)
        elif isinstance(value, dict) and child.stage_kinds(inner):
            yield below, inner


def _is_known(stage: YamlMap) -> bool:
    return isinstance(stage.get("name"), str) and stage.get("kind") in stage_models()


def _list(value: Yaml) -> list[Yaml]:
    return value if isinstance(value, list) else []
