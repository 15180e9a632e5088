"""The JSON Schema of recipe files, for editors: what a person may write, before `extends:`, matrices and patterns.

Made from the models, whose documented keys become descriptions. A file may say less than a recipe (what it extends says
the rest), and more: ``extends``, ``drop``, ``matrix``, ``{axis}`` and patterns in the place of names.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from inspect import getdoc, getsourcefile
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rho1bench.recipe import Recipe
from rho1bench.recipe.loading.json_schema import MATRIX, stage_models
from rho1bench.recipe.models.base import NAME_PATTERN, STAGE_KINDS_KEY, Model

Json = dict[str, Any]
_PAIR_SIDES = "A stage, a pattern, or labels of a matrix: {AXIS: LABEL}."
EXTENDS = "A shipped recipe or a file that this one builds on: mappings merge, stages merge by name."
DROP = "Stages of the extended recipe to leave out."


@cache
def file_schema() -> Json:
    """Return the schema (draft 2020-12) of a recipe file."""
    schema = Recipe.model_json_schema()
    for name, definition in [("Recipe", schema), *schema["$defs"].items()]:
        if (model := models_by_name().get(name)) is not None:
            _describe(definition, model)
    kinds = {kind: schema["$defs"][model.__name__] for kind, model in stage_models().items()}
    required = {kind: definition.pop("required", []) for kind, definition in kinds.items()}
    name = dict(schema["properties"]["name"])
    _relax_names(schema)
    schema["properties"]["name"] = name
    for definition in kinds.values():
        definition["properties"] |= {"name": name}
        definition["properties"].pop("variant")
        definition["properties"]["matrix"] = {"type": ["object", "null"], "description": MATRIX}
    for side in ("treatment", "baseline"):
        schema["$defs"]["Pair"]["properties"][side] = {"type": ["string", "object"], "description": _PAIR_SIDES}
    schema["properties"] |= {
        "extends": {"type": "string", "description": EXTENDS},
        "drop": {"type": "array", "items": {"type": "string"}, "description": DROP},
    }
    schema["properties"]["stages"]["items"] = _stage(kinds)
    schema["anyOf"] = [{"required": ["extends"]}, {"required": ["name", "stages"]}]
    schema["if"] = {"not": {"required": ["extends"]}}
    schema["then"] = {"properties": {"stages": {"items": _whole_stage(required)}}}
    del schema["required"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "rho1bench recipe"}


def _stage(kinds: Json) -> Json:
    """Return the schema of one stage: that of its kind, where it says it."""
    described = {"description": "What the stage does.", "enum": list(kinds)}
    return {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "kind": described},
        "allOf": [{"if": _is_of(kind), "then": {"$ref": f"#/$defs/{stage_models()[kind].__name__}"}} for kind in kinds],
    }


def _whole_stage(required: dict[str, list[str]]) -> Json:
    """Return what a stage needs in a file that extends nothing; the axes of a matrix may give it as well."""
    return {
        "required": ["name", "kind"],
        "allOf": [
            {"if": _is_of(kind) | {"not": {"required": ["matrix"]}}, "then": {"required": keys}}
            for kind, keys in required.items()
        ],
    }


def _is_of(kind: str) -> Json:
    return {"properties": {"kind": {"const": kind}}, "required": ["kind"]}


def _relax_names(schema: Any) -> None:
    """Let a pattern or ``{axis}`` stand where something is named, and one pattern for several names."""
    if isinstance(schema, list):
        for item in schema:
            _relax_names(item)
    elif isinstance(schema, dict):
        if schema.get("pattern") == NAME_PATTERN:
            del schema["pattern"]
        if STAGE_KINDS_KEY in schema.get("items", ()):
            schema.pop("minItems", None)
        for item in schema.values():
            _relax_names(item)


def _describe(definition: Json, model: type[BaseModel]) -> None:
    """Put the documentation of a model and of its keys into its schema."""
    definition["description"] = plain(getdoc(model) or "")
    for key, text in documented_keys(model).items():
        if key in definition.get("properties", {}):
            definition["properties"][key]["description"] = text


def plain(text: str) -> str:
    """Return documentation as one line, without the marks of docstrings."""
    return " ".join(text.replace("``", "`").replace(":data:`", "`").replace(":attr:`", "`").split())


def documented_keys(model: type[BaseModel]) -> dict[str, str]:
    """Return what the text below each key of a model says, base classes included."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, Model) and (file := getsourcefile(cls)) is not None:
            found |= _documented(Path(file)).get(cls.__name__, {})
    return found


@cache
def _documented(file: Path) -> dict[str, dict[str, str]]:
    classes = [node for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    return {node.name: dict(_texts_below_keys(node)) for node in classes}


def _texts_below_keys(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for above, below in zip(node.body, node.body[1:], strict=False):
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name) and isinstance(below, ast.Expr):
            value = below.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield above.target.id, plain(value.value)


def models_by_name() -> dict[str, type[BaseModel]]:
    """Return every model of a recipe by the name that its schema has."""
    found: dict[str, type[BaseModel]] = {}
    waiting: list[type[BaseModel]] = [Model]
    while waiting:
        model = waiting.pop(0)
        found.setdefault(model.__name__, model)
        waiting += model.__subclasses__()
    return found
