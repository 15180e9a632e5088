"""The key reference of recipes as Markdown (``recipes/REFERENCE.md``), made from their schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rho1bench.recipe.loading.file_schema import Json, file_schema
from rho1bench.recipe.loading.json_schema import Node, stage_models
from rho1bench.recipe.models.base import STAGE_KINDS_KEY

HEAD = """# Keys of a recipe

Made by `rho1bench schema --reference > recipes/REFERENCE.md` from the models in `rho1bench/recipe/models`; a test fails
where it is stale. `rho1bench schema > recipe.schema.json` and a first line `# yaml-language-server:
$schema=recipe.schema.json` let an editor complete the keys; `rho1bench init NAME` writes both. Keys without a default
are required; `--set KEY=VALUE` sets any of them (`stages.slm.selection.ratio=0.5`, `stages.*.max_steps=100`).
"""


def reference() -> str:
    """Return the reference: the recipe, its stages by kind, and the mappings that stand inside them."""
    root = file_schema()
    models = {model.__name__: kind for kind, model in stage_models().items()}
    required = {"Recipe": ["name", "stages"]} | {
        model.__name__: model.model_json_schema().get("required", []) for model in stage_models().values()
    }
    parts = [HEAD, *_section("The recipe", root, required["Recipe"])]
    for name, kind in models.items():
        parts += _section(f"Stage `{kind}`", root["$defs"][name], required[name], root)
    for name, definition in sorted(root["$defs"].items()):
        if name not in models and definition.get("properties") and name != "Variant":
            parts += _section(name, definition, definition.get("required", []), root)
    return "\n".join(parts)


def _section(title: str, schema: Json, required: list[str], root: Json | None = None) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"{schema.get('description', '')}\n"
    yield "| key | expected | default | |\n|---|---|---|---|"
    for key, place in schema["properties"].items():
        default = "" if key in required else f"`{json.dumps(place.get('default'), ensure_ascii=False)}`"
        cells = (f"`{key}`", _expected(place, root or schema), default, place.get("description", ""))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _expected(place: Any, root: Json) -> str:
    """Say in words what belongs at a place, with a link where it is a mapping of known keys."""
    if not isinstance(place, dict) or not place:
        return "anything"
    if kinds := place.get(STAGE_KINDS_KEY):
        optional = any(item.get("type") == "null" for item in place.get("anyOf", ()))
        return f"an earlier stage of kind {' or '.join(kinds)}{' or null' if optional else ''}"
    if reference := place.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if root["$defs"][name].get("properties") else _plain(place, root)
    if items := place.get("anyOf") or place.get("oneOf"):
        return " or ".join(dict.fromkeys(_expected(item, root) for item in items))
    if place.get("type") == "array" and place.get("items"):
        if "allOf" in place["items"]:
            return "a list of stages"
        return f"a list of: {_expected(place['items'], root)}"
    inner = place.get("additionalProperties") or next(iter(place.get("patternProperties", {}).values()), None)
    if place.get("type") == "object" and isinstance(inner, dict):
        return f"a mapping of names to: {_expected(inner, root)}"
    return _plain(place, root)


def _plain(place: Json, root: Json) -> str:
    if isinstance(place.get("type"), list):
        return " or ".join(Node({"type": kind}, root).expectation() for kind in place["type"])
    return Node(place, root).expectation() or "anything"
