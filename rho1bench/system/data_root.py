"""Where test data lie: in the folder named by ``--data-root`` or ``RHO1BENCH_DATA``, else in the cache of downloads.

Both are laid out alike: ``math/<data set>/test.jsonl``, ``prompts/cot/<name>.md``, ``general/<benchmark>/``.
"""

from __future__ import annotations

import os
from pathlib import Path

from rho1bench.errors import DataError

DATA_VARIABLE = "RHO1BENCH_DATA"
LAYOUT = "math/<data set>/test.jsonl and prompts/cot/<name>.md"


def use_data_folder(folder: Path | None) -> None:
    """Read data from ``folder`` in this process and its children (``--data-root``); None leaves things as they are.

    Raises:
        DataError: there is no such folder.
    """
    if folder is None:
        return
    if not folder.is_dir():
        raise DataError(f"--data-root {folder}: no such folder; it should hold {LAYOUT}.")
    os.environ[DATA_VARIABLE] = str(folder.resolve())


def named_folder() -> Path | None:
    """Return the folder that ``--data-root`` or ``RHO1BENCH_DATA`` names; None if neither does."""
    named = os.environ.get(DATA_VARIABLE)
    return Path(named) if named else None


def cache_folder() -> Path:
    """Return the folder of downloaded data: ``$XDG_CACHE_HOME/rho1bench/data``, else ``~/.cache/rho1bench/data``."""
    return user_cache() / "data"


def user_cache() -> Path:
    """Return the folder of what this user's runs need not make or fetch again."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "rho1bench"
