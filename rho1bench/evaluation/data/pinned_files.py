"""Reading pinned data files: from a local data folder, from the cache, or downloaded once; checked byte for byte.

Where they lie: ``system.data_root``.
Called while lm-eval builds a task, so a fault stops an evaluation before any model is loaded.
"""

from __future__ import annotations

import http.client
import json
import urllib.request
from pathlib import Path

from rho1bench.errors import DataError
from rho1bench.evaluation.data.diagnose import find_fault
from rho1bench.evaluation.data.math_sets import MathSet, PinnedFile
from rho1bench.evaluation.harness.lm_eval_types import Doc
from rho1bench.system.data_root import DATA_VARIABLE, LAYOUT, cache_folder, named_folder
from rho1bench.system.files import atomic_path, sha256_bytes

SERVER = "https://raw.githubusercontent.com"
TIMEOUT = 30.0
"""Seconds that the server may stay silent."""


def read_rows(math_set: MathSet) -> list[Doc]:
    """Return the rows of a test set in file order.

    Raises:
        DataError: the file is missing, cannot be obtained, or differs from the pinned one (the first faulty line is
            named).
    """
    data = read_pinned(math_set.file, math_set.keys)
    rows: list[Doc] = [json.loads(line) for line in data.splitlines()]
    assert len(rows) == math_set.num_rows, f"{math_set.name}: the pinned hash and the pinned number of rows disagree"
    return rows


def read_pinned(file: PinnedFile, keys: tuple[str, ...] = ()) -> bytes:
    """Return the bytes of ``file``, which are the pinned ones; ``keys`` are those of its JSON lines, if it has any.

    Raises:
        DataError: as :func:`read_rows`.
    """
    root = named_folder()
    return _local(root / file.place, file, keys) if root else _cached(cache_folder() / file.place, file)


def _local(path: Path, file: PinnedFile, keys: tuple[str, ...]) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file. The folder given by --data-root or {DATA_VARIABLE} should hold {LAYOUT}; "
            "without it the data are downloaded."
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    if (found := sha256_bytes(data)) != file.sha256:
        raise DataError(
            f"{path}{find_fault(data, file.place, keys)} "
            f"Expected is the file made from {file.source}, sha256 {file.sha256}; this one has {found}. "
            f"Fix or replace it, or leave out --data-root and {DATA_VARIABLE} to have it downloaded."
        )
    return data


def _cached(path: Path, file: PinnedFile) -> bytes:
    """Return the cached file; one that is not the pinned one (of an older version, or damaged) is replaced."""
    if path.is_file():
        data = path.read_bytes()
        if sha256_bytes(data) == file.sha256:
            return data
    data = file.convert(_download(file, path))
    assert sha256_bytes(data) == file.sha256, f"{file.place}: the conversion does not give the pinned bytes"
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise DataError(
            f"{path}: the downloaded file cannot be stored ({error.strerror}). "
            "Set XDG_CACHE_HOME to a folder that can be written."
        ) from error
    return data


def _download(file: PinnedFile, path: Path) -> bytes:
    url = f"{SERVER}/{file.url_path}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            data: bytes = response.read()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{url}: cannot be downloaded ({reason}). Offline, give a local copy: --data-root FOLDER or "
            f"{DATA_VARIABLE}=FOLDER with {LAYOUT} inside. (A download would be kept as {path}.)"
        ) from error
    expected = file.download_sha256 or file.sha256
    if (found := sha256_bytes(data)) != expected:
        raise DataError(
            f"{url}: what came ({len(data)} bytes) has sha256 {found}, expected is {expected}; nothing was stored. "
            "Something between here and the server changed or cut it. Try again, or give a local copy with --data-root."
        )
    return data
