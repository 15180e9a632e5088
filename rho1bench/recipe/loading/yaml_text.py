"""Recipes as YAML text: safe, numbers as in YAML 1.2, and a key that stands twice is an error.

PyYAML reads YAML 1.1, where ``010`` is eight, ``1:30`` is ninety and ``no`` is false. Here numbers and truth values are
those of YAML 1.2's core schema (and ``14_000_000_000``, as in Python); text that reads as one is written in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

_INT, _FLOAT, _BOOL = (f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool"))
_RESOLVERS = (
    (_BOOL, r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (_INT, r"[-+]?[0-9]+(?:_[0-9]+)*|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        _FLOAT,
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
)


class RecipeLoader(yaml.SafeLoader):
    """Safe YAML with numbers of YAML 1.2, in which a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping; raises ``ConstructorError`` for a key that stands twice, with both lines."""
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen and key_node.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands here and already on line {seen[key]}", key_node.start_mark
                )
            seen[key] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)

    def construct_int(self, node: yaml.ScalarNode) -> int:
        """Return a decimal or hexadecimal number."""
        text = str(self.construct_scalar(node))
        return int(text, 16) if text.startswith("0x") else int(text)


class _RecipeDumper(yaml.SafeDumper):
    """Writes what the loader reads back as it was."""


def _as_in_yaml_1_2(cls: type[RecipeLoader] | type[_RecipeDumper]) -> None:
    """Replace the resolvers of numbers and truth values."""
    cls.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_INT, _FLOAT, _BOOL)]
        for first, resolvers in cls.yaml_implicit_resolvers.items()
    }
    for tag, pattern, first in _RESOLVERS:
        cls.add_implicit_resolver(tag, re.compile(f"(?:{pattern})$"), list(first))


_as_in_yaml_1_2(RecipeLoader)
_as_in_yaml_1_2(_RecipeDumper)
RecipeLoader.add_constructor(_INT, RecipeLoader.construct_int)


def parse_yaml(text: str) -> Any:
    """Parse one YAML document as recipes are parsed; raises ``yaml.YAMLError`` or ``ValueError``."""
    return yaml.load(text, RecipeLoader)


def dump_yaml(data: object) -> str:
    """Write ``data`` so that :func:`parse_yaml` gives it back."""
    return str(yaml.dump(data, Dumper=_RecipeDumper, sort_keys=False, allow_unicode=True, width=120))
