"""Finds a function by its name ``"module:function"``, so that heavy packages are imported only when they are needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rho1bench.errors import MissingPackageError


def load(target: str) -> Callable[..., Any]:
    """Import and return ``"module:function"``, whose type a name cannot tell."""
    module, _, function = target.partition(":")
    loaded: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return loaded


@contextmanager
def missing_packages(needed_for: str) -> Iterator[None]:
    """Turn the import of a package that is not installed into ``MissingPackageError`` with its install line."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "rho1bench"):
            raise
        raise MissingPackageError(package, needed_for, f"pip install {package}") from error
