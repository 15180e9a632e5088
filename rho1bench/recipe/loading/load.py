"""From a recipe's name or file to a checked :class:`Recipe`; every problem in it is told at once.

``layers`` reads YAML and ``extends:``, ``overrides`` is ``--set``, ``sweep`` adds axes from the command line;
``matrix`` and ``patterns`` expand stages and what names them; ``json_schema`` knows what each place expects;
``local_files`` finds the files that a recipe names, ``lock`` the commits; ``rules`` judges what is valid by itself
(``valid_part``). This module puts them together and words pydantic's findings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from rho1bench.errors import RecipeError
from rho1bench.recipe import Recipe, ReportStage, Selection
from rho1bench.recipe.loading.json_schema import Node, model_node, recipe_node, stage_models, stage_node
from rho1bench.recipe.loading.layers import Origin, RawRecipe, nearest, read_layers
from rho1bench.recipe.loading.local_files import resolve_local_files
from rho1bench.recipe.loading.lock import apply_lock, lock_path, read_lock
from rho1bench.recipe.loading.matrix import expand_matrices
from rho1bench.recipe.loading.overrides import apply_override
from rho1bench.recipe.loading.patterns import expand_patterns
from rho1bench.recipe.loading.suites import expand_suites
from rho1bench.recipe.loading.sweep import Sweep, apply_sweep
from rho1bench.recipe.loading.valid_part import valid_part
from rho1bench.recipe.loading.yaml_text import Yaml
from rho1bench.recipe.models.base import StageBase
from rho1bench.recipe.models.score_names import spec_if_known
from rho1bench.recipe.rules.check import check
from rho1bench.system.paths import recipes_dir

PLACEHOLDER = ReportStage(name="report", kind="report", comparison="compare", evaluation="eval").model_dump()
M = TypeVar("M", bound=BaseModel)
LOW_LEVEL_TYPES = ("string_type", "model_type", "model_attributes_type", "dict_type")


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that ship with the package, by name."""
    return {path.stem: path for path in sorted(recipes_dir().glob("*.yaml"))}


def find_recipe(name_or_path: str) -> Path:
    """Return the file of a shipped recipe or the path itself; raises ``RecipeError`` if there is neither."""
    shipped = shipped_recipes()
    path = Path(name_or_path)
    if name_or_path in shipped and not path.is_file():
        return shipped[name_or_path]
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml") or "/" in name_or_path:
        what = "is a folder" if path.is_dir() else "does not exist"
        raise RecipeError(
            f"{name_or_path}: this recipe file {what}{nearest(path.stem, shipped)}; "
            "`rho1bench recipes` lists the shipped ones."
        )
    raise RecipeError(
        f"there is no recipe {name_or_path!r}{nearest(name_or_path, shipped)}; "
        f"expected the path of a YAML file or one of: {', '.join(shipped) or 'none is shipped'}."
    )


def load_recipe(
    name_or_path: str, overrides: Sequence[str] = (), seed: int | None = None, sweep: Sweep | None = None
) -> Recipe:
    """Load, merge, override and check a recipe.

    Args:
        name_or_path: a shipped recipe's name, or a YAML file.
        overrides: ``key=value`` texts as of ``--set``; a stage is addressed by its name
            (``stages.slm.selection.ratio=0.4``) or a pattern (``stages.*.max_steps=100``), an item of another list by
            its number.
        seed: replaces the recipe's seed, and its ``seeds`` too.
        sweep: axes that matrices of the recipe get besides.

    Raises:
        RecipeError: lists every problem with file and line, key path, what was expected and the nearest valid word.
    """
    path = find_recipe(name_or_path)
    raw = read_layers(path, shipped_recipes())
    for override in overrides:
        apply_override(raw, override, Path.cwd())
    if seed is not None:
        raw.data |= {"seed": seed, "seeds": []}
        raw.origins |= {("seed",): Origin("--seed", Path.cwd()), ("seeds",): Origin("--seed", Path.cwd())}
    if sweep is not None:
        apply_sweep(raw, sweep, Path.cwd())
    expanded = expand_matrices(raw)
    if expanded:
        expand_patterns(raw)
    expand_suites(raw)
    resolve_local_files(raw)
    apply_lock(raw, read_lock(lock_path(path)))
    recipe = _validate(raw, with_rules=expanded)
    if recipe is None or raw.problems:
        problems = list(dict.fromkeys(raw.problems))
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise RecipeError(f"the recipe {path} has {count}:\n" + "\n".join(f"  {problem}" for problem in problems))
    return recipe


def read_selection(data: Mapping[str, Yaml]) -> Selection:
    """Return a selection that stands in no recipe; raises RecipeError in the words of a recipe's problems."""
    raw = RawRecipe({}, {(): Origin("selection", Path.cwd())})
    found = _note(raw, (), model_node(Selection), Selection, dict(data))
    _note_parameters(raw, (), {"parts": [data]})
    if found is None or raw.problems:
        raise RecipeError("; ".join(dict.fromkeys(raw.problems)))
    return found


def _validate(raw: RawRecipe, with_rules: bool) -> Recipe | None:
    """Note what is wrong, ``with_rules`` between stages too, and return the recipe if nothing is."""
    stages = raw.data.get("stages")
    if isinstance(stages, list) and stages:
        _note(raw, (), recipe_node(), Recipe, {**raw.data, "stages": [PLACEHOLDER]})
        typed = [_validate_stage(raw, index, stage) for index, stage in enumerate(stages)]
        for path, message in check([stage for stage in typed if stage is not None]) if with_rules else ():
            raw.problem(path, message)
    else:
        _note(raw, (), recipe_node(), Recipe, raw.data)
    return None if raw.problems else Recipe.model_validate(raw.data)


def _validate_stage(raw: RawRecipe, index: int, stage: Yaml) -> StageBase | None:
    """Note the problems of one stage, and return what is valid of it; None where nobody can know what it is."""
    name = stage.get("name") if isinstance(stage, dict) else None
    path = ("stages", name if isinstance(name, str) else str(index))
    kinds = stage_models()
    if not isinstance(stage, dict):
        raw.problem(path, f"expected a mapping with 'name' and 'kind', got {stage!r}")
    elif "kind" not in stage:
        raw.problem((*path, "kind"), f"missing; expected one of {', '.join(kinds)}")
    elif not isinstance(stage["kind"], str) or stage["kind"] not in kinds:
        raw.problem(
            (*path, "kind"),
            f"unknown kind {stage['kind']!r}{nearest(stage['kind'], kinds)}; expected one of {', '.join(kinds)}",
        )
    else:
        model = kinds[stage["kind"]]
        whole = _note(raw, path, stage_node(stage["kind"]), model, stage)
        _note_parameters(raw, path, stage)
        if whole is None and isinstance(name, str):
            return valid_part(model, stage).model_copy(update={"name": name})
        return whole
    return None


def _note_parameters(raw: RawRecipe, path: tuple[str, ...], data: Yaml) -> None:
    """Note what is wrong with the parameters of the selection rules that ``data`` names, by the rules' own types."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        given = value.get("parameters") if isinstance(value, dict) else None
        if isinstance(given, dict) and (spec := spec_if_known(value.get("score", "excess_loss"))) is not None:
            _note(raw, (*path, str(key), "parameters"), model_node(spec.parameters), spec.parameters, given)
        _note_parameters(raw, (*path, str(key)), value)


def _note(raw: RawRecipe, path: tuple[str, ...], node: Node, model: type[M], data: Yaml) -> M | None:
    """Return ``data`` as ``model``; or None, and note each of pydantic's findings in our words."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found: dict[tuple[str, ...], str] = {}
        for detail in error.errors(include_url=False):
            inner, message = _word(detail, node, data)
            if message:
                found.setdefault(inner, message)
        for inner, message in found.items():
            raw.problem((*path, *inner), message)
        return None


def _word(detail: Mapping[str, Yaml], node: Node, data: Yaml) -> tuple[tuple[str, ...], str]:
    """Return key path and message of one finding; the message is empty where another one says it better."""
    parts = list(_path_in_data(detail["loc"], data, missing=detail["type"] == "missing"))
    path = tuple(str(part) for part in parts)
    parent, value, place = node, data, node
    for part in parts:
        parent, place = place.resolve(value), place.child(part, value)
        value = _get(value, part)
    kind = detail["type"]
    if kind == "extra_forbidden":
        valid = parent.keys
        return path, f"unknown key {path[-1]!r}{nearest(path[-1], valid)}; valid keys here: {', '.join(valid)}"
    if kind == "invalid_key":
        return path, f"unknown key {detail['input']}, a number; valid keys here: {', '.join(parent.keys)}"
    if kind == "missing":
        return path, f"missing; expected {place.expectation()}"
    if kind in LOW_LEVEL_TYPES and isinstance(value, dict | str) and place.resolve(value).schema != place.schema:
        branch = place.resolve(value).schema.get("type")
        if branch == {dict: "object", str: "string"}[type(value)]:
            return path, ""  # the other alternative of a union complains; its own problems are reported
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _word_tag(path, place, value)
    if kind == "value_error":  # a rule between the fields of a model, in its own words
        return path, str(detail["ctx"]["error"])
    expected = place.expectation()
    hint = nearest(value, place.resolve(value).schema.get("enum", ())) if isinstance(value, str) else ""
    return path, f"expected {expected or detail['msg']}, got {_short(value)}{hint}"


def _word_tag(path: tuple[str, ...], place: Node, value: Yaml) -> tuple[tuple[str, ...], str]:
    discriminator = place.schema["discriminator"]
    key, valid = discriminator["propertyName"], list(discriminator["mapping"])
    given = value.get(key) if isinstance(value, dict) else None
    got = "missing" if given is None else f"unknown {key} {given!r}{nearest(given, valid)}"
    return (*path, key), f"{got}; expected one of {', '.join(valid)}"


def _path_in_data(loc: Sequence[str | int], data: Yaml, *, missing: bool) -> Iterator[str | int]:
    """Yield pydantic's location without the labels of union branches, which are not in the data."""
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int)):
            yield part
            data = _get(data, part)
        elif last and missing:
            yield part


def _get(data: Yaml, part: str | int) -> Yaml:
    try:
        return data[part]
    except (KeyError, IndexError, TypeError):
        return None


def _short(value: Yaml) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
