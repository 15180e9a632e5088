"""Reading raw recipe data whose types nobody has checked yet: what is of the wrong type reads as empty.

The rules between stages work on it, and leave wrong types to the schema. A message is ``(key path, text)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rho1bench.sizing.shapes import KNOWN_MODELS

Json = dict[str, Any]
Messages = Iterator[tuple[tuple[str, ...], str]]


def as_dict(value: Any) -> Json:
    """Return a mapping, or an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a list, or an empty one."""
    return value if isinstance(value, list) else []


def as_int(value: Any) -> int | None:
    """Return a whole number, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def named(earlier: Json, name: Any) -> Json:
    """Return the earlier stage called ``name``, or an empty mapping."""
    return as_dict(earlier.get(name)) if isinstance(name, str) else {}


def first_init(stage: Json, earlier: Json) -> Json:
    """Return the model that a training stage's first ancestor starts from: a shape, or given weights."""
    seen: set[str] = set()
    init = stage.get("init")
    while isinstance(init, str) and init in earlier and init not in seen:
        seen.add(init)
        init = earlier[init].get("init")
    return as_dict(init)


def positions(stage: Json, earlier: Json) -> int | None:
    """Return max_position_embeddings of the model of a training stage; None where it is not known."""
    return positions_of_model(first_init(stage, earlier))


def positions_of_model(model: Json) -> int | None:
    """Return max_position_embeddings of a shape or of given weights; None where it is not known."""
    shape = KNOWN_MODELS.get(str(model.get("pretrained")))
    return shape.max_position_embeddings if shape else as_int(model.get("max_position_embeddings"))


def tokenizer_of(stage: Json, earlier: Json) -> str | None:
    """Return the name of the tokenizer stage that a stage reads with, itself or through its corpus."""
    name = stage.get("tokenizer", named(earlier, stage.get("corpus")).get("tokenizer"))
    return name if named(earlier, name).get("kind") == "tokenizer" else None
