"""Finds a function by its name ``"module:function"``, so that heavy packages are imported only when they are needed."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from rho1bench.errors import MissingPackageError


def load(target: str) -> Callable[..., Any]:
    """Import and return ``"module:function"``, whose type a name cannot tell."""
    module, _, function = target.partition(":")
    loaded: Callable[..., Any] = getattr(import_at_rest(module), function)
    return loaded


def import_at_rest(name: str) -> ModuleType:
    """Import a module without garbage collections on the way, and let later ones pass over what it has made.

    Torch and transformers make half a million objects that live as long as the process: collections among them took up
    to a quarter of the import, and each later one half a second.
    """
    if name in sys.modules:
        return importlib.import_module(name)
    gc.collect()  # what is garbage now would be kept
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


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
