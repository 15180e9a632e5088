"""Files that are never half-written: atomic replacement, append-only JSON lines, content hashes.

Every stage writes through these helpers, so a killed process or a full disk leaves either the old file or the new one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path
from typing import Any

from rho1bench.errors import DataError, UserError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it replaces ``path``, on an exception it is removed.

    A device or a pipe, ``/dev/stdout`` for one, is yielded itself: nothing may take its place.
    """
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_temporaries(folder: Path, *, deep: bool = True) -> None:
    """Remove what killed writers of :func:`atomic_path` left in ``folder`` (and below it, if ``deep``)."""
    for path in folder.rglob(".*.tmp") if deep else folder.glob(".*.tmp"):
        if path.is_file():
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, atomically; NaN and infinity raise ``ValueError``."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read one JSON file; what it holds is for the caller to check."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_object(path: Path, error: type[UserError]) -> dict[str, Any]:
    """Read the JSON object of a file that came from elsewhere; raises ``error`` if it holds none."""
    try:
        found = read_json(path)
    except (OSError, ValueError) as reason:
        raise error(f"{path}: cannot be read as JSON ({reason}). Copy or download it again.") from reason
    if not isinstance(found, dict):
        raise error(f"{path}: expected a JSON object. Copy or download it again.")
    return found


def read_own_json(path: Path) -> Any:
    """Read a JSON file that an earlier command has written; raises DataError if it was damaged since."""
    try:
        return read_json(path)
    except ValueError as error:
        what = f"was written whole, and is damaged now ({error})"
        raise DataError(f"{path}: {what}. Restore it, or give another folder with --output.") from error


def write_jsonl(path: Path, rows: Iterable[object]) -> None:
    """Write ``rows`` as JSON lines, atomically."""
    # A lone surrogate, which text of models may hold, has no UTF-8; backslashreplace writes its JSON escape.
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace") as handle:
        for row in rows:
            handle.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def append_jsonl(path: Path, row: object) -> None:
    """Append one JSON line with a single write, after cutting off the torn line that a killed writer may have left."""
    with open_to_append(path) as handle:
        handle.write(jsonl_line(row))


def open_to_append(path: Path) -> BufferedWriter:
    """Open a file of JSON lines for :func:`jsonl_line`, after cutting off the torn line of a killed writer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _cut_torn_line(path)
    return path.open("ab")


def jsonl_line(row: object) -> bytes:
    """Return one JSON line, its end included."""
    return (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")


def _cut_torn_line(path: Path) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("r+b") as handle:
        handle.seek(-1, os.SEEK_END)
        if handle.read(1) == b"\n":
            return
        handle.seek(0)
        complete = handle.read().rfind(b"\n") + 1
        handle.truncate(complete)


def read_jsonl(path: Path) -> list[Any]:
    """Read JSON lines; a torn last line (no newline at its end) is ignored, as a killed writer leaves one."""
    complete = path.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in complete.split(b"\n") if line.strip()]


def sha256_bytes(data: bytes) -> str:
    """Return the hex SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


PIECE_BYTES = 100 * 2**20
"""Of a larger file, the pieces are hashed."""


def content_hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return a hash of each file of ``folder``, read in parallel, large files too.

    It is the SHA-256 of its bytes, and of a file of more than :data:`PIECE_BYTES` that of the SHA-256s of its pieces.
    """
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        running = {
            name: [pool.submit(_piece_sha256, folder / name, start) for start in _pieces(folder / name)]
            for name in names
        }
        found = {name: [piece.result() for piece in pieces] for name, pieces in running.items()}
    return {
        name: pieces[0].hex() if len(pieces) == 1 else sha256_bytes(b"".join(pieces)) for name, pieces in found.items()
    }


def _pieces(path: Path) -> range:
    return range(0, max(path.stat().st_size, 1), PIECE_BYTES)


def _piece_sha256(path: Path, start: int) -> bytes:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(2**20))
    with path.open("rb", buffering=0) as handle:
        handle.seek(start)
        left = PIECE_BYTES
        while left > 0 and (read := handle.readinto(buffer[:left])):
            digest.update(buffer[:read])
            left -= read
    return digest.digest()


def changed_files(folder: Path, hashes: Mapping[str, str]) -> list[str]:
    """Return the files of ``folder`` that are missing or not those whose :func:`content_hashes` are ``hashes``."""
    found = content_hashes(folder, [name for name in hashes if (folder / name).is_file()])
    return [name for name in hashes if found.get(name) != hashes[name]]


def sha256_json(value: object) -> str:
    """Return the hex SHA-256 of the canonical JSON (sorted keys, no spaces) of ``value``."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("utf-8"))
