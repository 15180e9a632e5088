"""Reads the JSON schema of the recipe models: which keys a place knows, what it expects, which stages it may name.

The checks work on raw YAML data with this, so that one bad stage does not hide the problems of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter

from rho1bench.recipe import Recipe, Stage, StageBase
from rho1bench.recipe.models.base import STAGE_KINDS_KEY

Json = dict[str, Any]
MATRIX = "Keys of the stage and their values; the stage stands for every combination (rho1bench.recipe.loading.matrix)."


@dataclass(frozen=True)
class Node:
    """One place of a schema; ``root`` holds the definitions that ``$ref`` points to."""

    schema: Json
    root: Json

    @property
    def keys(self) -> list[str]:
        """Keys that this place knows, for a mapping."""
        return list(self.schema.get("properties", ()))

    @property
    def takes_any_key(self) -> bool:
        """True for a mapping whose keys are the recipe's own, as a rule's parameters and the names of stores."""
        return bool(self._of_any_key)

    @property
    def _of_any_key(self) -> Json | bool:
        """What stands under the keys of a mapping that has no keys of its own."""
        patterns = list(self.schema.get("patternProperties", {}).values())
        found: Json | bool = patterns[0] if patterns else self.schema.get("additionalProperties", False)
        return found

    def resolve(self, raw: Any) -> Node:
        """Follow references and choose the alternative of a union that ``raw`` is meant to be."""
        schema = self.schema
        while True:
            alternatives = [self._dereference(item) for item in _alternatives(schema)]
            if "$ref" in schema:
                schema = self._dereference(schema)
            elif alternatives:
                schema = _choose(alternatives, raw, schema.get("discriminator", {}).get("propertyName"))
            else:
                return Node(schema, self.root)

    def child(self, key: str | int, raw: Any) -> Node:
        """Return the place under ``key`` of the mapping or list ``raw``; an unknown one has an empty schema."""
        node = self.resolve(raw)
        if isinstance(key, int):
            schema = node.schema.get("items")
        else:
            schema = node.schema.get("properties", {}).get(key, node._of_any_key)
        return Node(schema if isinstance(schema, dict) else {}, self.root)

    def stage_kinds(self, raw: Any) -> list[str]:
        """Return the kinds of stages that a name at this place may mean; empty where it means none."""
        kinds = self.schema.get(STAGE_KINDS_KEY) or self.resolve(raw).schema.get(STAGE_KINDS_KEY)
        return list(kinds or ())

    def expectation(self) -> str:
        """Say in words what belongs here; empty if anything may."""
        schema = self._dereference(self.schema)
        kinds = schema.get(STAGE_KINDS_KEY)
        alternatives = _alternatives(schema)
        if kinds:
            text = f"the name of an earlier stage of kind {' or '.join(kinds)}"
        elif alternatives:
            return " or ".join(dict.fromkeys(Node(item, self.root).expectation() for item in alternatives))
        else:
            text = _describe(schema)
        return f"{text} or null" if kinds and any(item.get("type") == "null" for item in alternatives) else text

    def _dereference(self, schema: Json) -> Json:
        while "$ref" in schema:
            schema = self.root["$defs"][schema["$ref"].rpartition("/")[2]]
        return schema


@cache
def stage_models() -> dict[str, type[StageBase]]:
    """Return the model of every stage kind."""
    union = get_args(Stage)[0]
    return {get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(union)}


@cache
def stage_node(kind: str) -> Node:
    """Return the schema of a stage kind."""
    schema = TypeAdapter(stage_models()[kind]).json_schema()
    schema["properties"]["matrix"] = {"type": "object", "description": MATRIX}
    return Node(schema, schema)


@cache
def model_node(model: type[BaseModel]) -> Node:
    """Return the schema of any model of a recipe's parts, a rule's parameters for one."""
    schema = model.model_json_schema()
    return Node(schema, schema)


@cache
def recipe_node() -> Node:
    """Return the schema of a whole recipe."""
    schema = Recipe.model_json_schema()
    return Node(schema, schema)


def _alternatives(schema: Json) -> list[Json]:
    return schema.get("anyOf") or schema.get("oneOf") or []


def _choose(alternatives: list[Json], raw: Any, discriminator: str | None) -> Json:
    if discriminator is not None:
        tag = raw.get(discriminator) if isinstance(raw, dict) else None
        for item in alternatives:
            if item.get("properties", {}).get(discriminator, {}).get("const") == tag:
                return item
        return {}
    wanted = "object" if isinstance(raw, dict) else "array" if isinstance(raw, list) else "null" if raw is None else ""
    exact = [item for item in alternatives if item.get("type") == wanted]
    scalar = [item for item in alternatives if item.get("type") not in ("object", "array", "null")]
    if wanted == "object":
        exact.sort(key=lambda item: len(set(item.get("properties", ())) & set(raw)), reverse=True)
    return (exact or scalar or alternatives)[0]


def _describe(schema: Json) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("pattern"):
        return "a name of lower-case letters, digits, '-' and '_'"
    names = {
        "string": "text",
        "boolean": "true or false",
        "object": "a mapping",
        "null": "null",
        "array": "a list that is not empty" if schema.get("minItems") else "a list",
        "integer": "a whole number",
        "number": "a number",
    }
    return names.get(str(schema.get("type")), "") + _bounds(schema)


def _bounds(schema: Json) -> str:
    whole = schema.get("type") == "integer"
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    if whole and above is not None:
        low, above = above + 1, None
    parts = [
        f"{words} {value:g}"
        for words, value in (
            ("at least", low),
            ("greater than", above),
            ("at most", schema.get("maximum")),
            ("less than", schema.get("exclusiveMaximum")),
        )
        if value is not None
    ]
    return f" {' and '.join(parts)}" if parts else ""
