"""The face of a room: names that its ``__init__`` exports, imported when they are first asked for.

So ``import rho1bench.training`` stays quick, and no stage's code is said to depend on what it never calls
(``pipeline.code_closure`` reads imports, and a face names its modules apart from the package).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_face(room: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of the package ``room``: name -> module below it that defines the name."""

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return getattr(import_module(f"{room}.{modules[name]}"), name)

    return find, lambda: sorted(modules)
