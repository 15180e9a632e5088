"""What the folder of one checkpoint keeps when ``rho1bench eval`` is asked for several things, one after the other.

Results of the same settings (limit, engine, context length, code) stand side by side in the folder, and its
``results.json`` holds all of their suites. Results of other settings are set aside in ``earlier/<settings>/``, from
where the next request with those settings takes them back; ``leaderboard add`` reads both places.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from rho1bench.comparison.eval_results import EARLIER, SETTINGS
from rho1bench.system.files import read_own_json, sha256_json, write_json

_UNKNOWN = "unknown"
_FILES = ("samples_*.jsonl", "bits_*.jsonl", "bits_*.json", "unit_*.json", "results.json", SETTINGS)
"""In the order in which they are moved: a folder with the last one is complete."""


def select_settings(folder: Path, settings: Mapping[str, object]) -> None:
    """Leave in ``folder`` the results of ``settings`` alone; a move that was killed is completed by the next call."""
    wanted = _name(settings)
    present = _name(read_own_json(folder / SETTINGS)) if (folder / SETTINGS).is_file() else _UNKNOWN
    if present != wanted:
        _move(folder, folder / EARLIER / present)
        write_json(folder / SETTINGS, settings)
    _move(folder / EARLIER / wanted, folder)


def _name(settings: Mapping[str, object]) -> str:
    limit = settings.get("limit")
    return f"{'whole' if limit is None else f'limit{limit}'}-{sha256_json(settings)[:12]}"


def _move(source: Path, target: Path) -> None:
    for path in _files(source):
        target.mkdir(parents=True, exist_ok=True)
        os.replace(path, target / path.name)
    if source.parent.name == EARLIER and source.is_dir() and not any(source.iterdir()):
        source.rmdir()


def _files(folder: Path) -> Iterator[Path]:
    for pattern in _FILES:
        yield from sorted(folder.glob(pattern))
