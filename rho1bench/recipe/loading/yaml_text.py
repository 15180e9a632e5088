"""Recipes as YAML text: safe, numbers as in YAML 1.2, and a key that stands twice is an error.

PyYAML reads YAML 1.1, where ``010`` is eight, ``1:30`` is ninety and ``no`` is false. Here numbers and truth values are
those of YAML 1.2's core schema (and ``14_000_000_000``, as in Python); text that reads as one is written in quotes.

libyaml reads and writes where PyYAML was built with it, several times as fast: the recipe of a map is 1.4 MB. What it
refuses is read again in Python, whose words are told.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

Yaml = Any
"""A value as YAML gives it: anything, until the models of a recipe have looked at it."""
YamlMap = dict[str, Yaml]
NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)
"""What reading raises for a text that is no YAML, or too much of it."""

_TAG = "tag:yaml.org,2002:"
_INT, _FLOAT, _BOOL, _MERGE, _TEXT = (f"{_TAG}{name}" for name in ("int", "float", "bool", "merge", "str"))
_NO_KEY = {_BOOL: "a truth value", f"{_TAG}null": "nothing", f"{_TAG}timestamp": "a date"}
"""What no key of a recipe is; numbers are labels of a matrix."""
MAX_NODES = 2_000_000
"""Values of one document, those behind an alias counted wherever it stands; the largest recipes have some 100,000."""
_RESOLVERS = (
    (_BOOL, r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (_INT, r"[-+]?[0-9]+(?:_[0-9]+)*|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        _FLOAT,
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
)


class _Constructor(yaml.constructor.SafeConstructor):
    """Makes values of nodes; a key that stands twice is an error, and so is one that is no name."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Yaml]:
        """Return a mapping.

        Raises ``ConstructorError`` for a key that stands twice, with both lines, and for one of :data:`_NO_KEY`.
        """
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen and key_node.tag != _MERGE:
                raise _error(f"the key {key!r} stands here and already on line {seen[key]}", key_node)
            if isinstance(key_node, yaml.ScalarNode) and key_node.tag in _NO_KEY:
                raise _error(f"the key {key} is read as {_NO_KEY[key_node.tag]}; keys are text: '{key}'", key_node)
            seen[key] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)

    def construct_text(self, node: yaml.ScalarNode) -> str:
        """Return text, two escaped halves of a character joined, as JSON writes them; one half alone is an error."""
        text = str(self.construct_scalar(node))
        if text.isascii():
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise _error(f"{text!r} holds half of a character (a lone surrogate), which is no text", node) from None

    def construct_int(self, node: yaml.ScalarNode) -> int:
        """Return a decimal or hexadecimal number."""
        text = str(self.construct_scalar(node))
        return int(text, 16) if text.startswith("0x") else int(text)


def _error(message: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, message, node.start_mark)


class _PythonLoader(_Constructor, yaml.SafeLoader):
    """Reads with PyYAML alone."""


_Loader: type[yaml.SafeLoader | yaml.CSafeLoader] = _PythonLoader
_Dumper: type[yaml.SafeDumper | yaml.CSafeDumper] = yaml.SafeDumper
if yaml.__with_libyaml__:

    class _FastLoader(yaml.composer.Composer, _Constructor, yaml.CSafeLoader):
        """Takes words from libyaml and makes nodes in Python: libyaml's own recursion knows no limit."""

        def __init__(self, text: str) -> None:
            yaml.CSafeLoader.__init__(self, text)
            yaml.composer.Composer.__init__(self)

    _Loader, _Dumper = _FastLoader, yaml.CSafeDumper


class _RecipeDumper(_Dumper):  # type: ignore[valid-type, misc]  # chosen above
    """Writes what the loaders read back as it was."""


def _as_in_yaml_1_2(cls: type[yaml.resolver.BaseResolver]) -> None:
    """Replace the resolvers of numbers and truth values."""
    cls.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_INT, _FLOAT, _BOOL)]
        for first, resolvers in cls.yaml_implicit_resolvers.items()
    }
    for tag, pattern, first in _RESOLVERS:
        cls.add_implicit_resolver(tag, re.compile(f"(?:{pattern})$"), list(first))


for _class in {_PythonLoader, _Loader, _RecipeDumper}:
    _as_in_yaml_1_2(_class)
for _loader in {_PythonLoader, _Loader}:
    _loader.add_constructor(_INT, _Constructor.construct_int)  # type: ignore[type-var]  # the stubs know their own only
    _loader.add_constructor(_TEXT, _Constructor.construct_text)  # type: ignore[type-var]


def read_yaml(text: str) -> tuple[yaml.Node | None, Yaml]:
    """Read one YAML document as recipes are read, into its nodes (with their lines) and its value.

    Raises one of :data:`NOT_YAML`.
    """
    try:
        return _read(_Loader, text)
    except (yaml.YAMLError, ValueError):
        return _read(_PythonLoader, text)


def _read(loader_class: type[yaml.SafeLoader | yaml.CSafeLoader], text: str) -> tuple[yaml.Node | None, Yaml]:
    loader = loader_class(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            _check_size(node)
        return node, loader.construct_document(node) if node is not None else None
    finally:
        loader.dispose()


def _check_size(root: yaml.Node) -> None:
    """Raise ``ConstructorError`` if aliases of aliases make more of a document than anybody could read."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = 0  # of one that holds itself, which nobody can construct
            pairs = isinstance(node, yaml.MappingNode)
            inner = [one for pair in node.value for one in pair] if pairs else node.value
            sizes[id(node)] = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(map(size, inner)))
        return sizes[id(node)]

    if size(root) > MAX_NODES:
        raise _error(f"more than {MAX_NODES} values, since aliases stand in what other aliases repeat", root)


def parse_yaml(text: str) -> Yaml:
    """Return the value of one YAML document; raises as :func:`read_yaml` does."""
    return read_yaml(text)[1]


def dump_yaml(data: object) -> str:
    """Write ``data`` so that :func:`parse_yaml` gives it back."""
    return str(yaml.dump(data, Dumper=_RecipeDumper, sort_keys=False, allow_unicode=True, width=120))
