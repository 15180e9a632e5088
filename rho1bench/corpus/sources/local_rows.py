"""Rows of local files, read one by one: JSON lines (plain or gzip) and Parquet, and the bad ones among them.

A bad row is a value, not the end: the caller decides what becomes of it (``on_bad_line``). No row is held in memory
beyond ``max_bytes``, so one endless line costs nothing.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from rho1bench.errors import DataError
from rho1bench.recipe import LocalSource
from rho1bench.recipe.models.corpus import named_files

_PIECE = 2**16
_PARQUET_ROWS = 256


class BadRow(DataError):
    """A line or row that is no document; ``kind`` is what it is counted by."""

    def __init__(self, kind: str, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.kind, self.where = kind, where


Row = tuple[str, dict[str, object]]
"""Where it stands (``file:line``), and its fields."""
Position = dict[str, Any]
"""Where a reader stands, as JSON: its keys, and the types of their values, are known to that reader alone."""


class LocalRows:
    """The rows of the files of one source, file by file; ``position`` is where a later reader resumes."""

    def __init__(self, source: LocalSource, max_bytes: int | None, position: Position | None) -> None:
        self._files = named_files(source.path)
        self._columns = [source.text_field] if isinstance(source.text_field, str) else source.text_field
        self._max_bytes = max_bytes
        self._file = int(position["file"]) if position else 0
        self._row = int(position["row"]) if position else 0
        missing = next((path for path in self._files if not path.is_file()), None)
        if missing is not None or not self._files:
            raise DataError(
                f"{missing or source.path}: no such file. Check the source's `path` in the recipe: a .jsonl, .jsonl.gz "
                "or .parquet file, a folder with such files, or a glob."
            )

    def position(self) -> Position:
        """Return the place after the last row given out, as JSON."""
        return {"file": self._file, "row": self._row}

    def __iter__(self) -> Iterator[Row | DataError]:
        while self._file < len(self._files):
            for row in file_rows(self._files[self._file], self._max_bytes, self._row, self._columns):
                self._row += 1
                yield row
            self._file, self._row = self._file + 1, 0


def file_rows(path: Path, max_bytes: int | None, skip: int, columns: Sequence[str]) -> Iterator[Row | BadRow]:
    """Yield the rows of one file after the first ``skip``; a file that breaks off ends with a bad row."""
    if path.suffix == ".parquet":
        return parquet_rows(path, skip, columns)
    return json_rows(path, max_bytes, skip)


def json_rows(path: Path, max_bytes: int | None = None, skip: int = 0) -> Iterator[Row | BadRow]:
    """Yield each line of a JSON-lines file that is not blank, parsed or bad, after the first ``skip`` of them."""
    number = 0
    try:
        with _open(path) as handle:
            for number, line in enumerate(_lines(handle, max_bytes), start=1):
                if isinstance(line, bytes) and not line.strip():
                    continue
                if skip > 0:
                    skip -= 1
                elif isinstance(line, bytes):
                    yield _parse(line, f"{path}:{number}")
                else:
                    yield BadRow(
                        "too_long", f"{path}:{number}", f"a line of {line} bytes; max_line_bytes: {max_bytes}."
                    )
    except (OSError, EOFError, zlib.error) as error:
        if skip == 0:  # else an earlier reader has reported it
            yield BadRow("unreadable", f"{path}:{number + 1}", f"cannot be read from here on: {error}")


def parquet_rows(path: Path, skip: int, columns: Sequence[str]) -> Iterator[Row | BadRow]:
    """Yield the rows of a Parquet file after the first ``skip``; whole row groups are skipped unread."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            known = [name for name in columns if name in file.schema_arrow.names]
            groups = list(range(file.num_row_groups))
            while groups and number + file.metadata.row_group(groups[0]).num_rows <= skip:
                number += file.metadata.row_group(groups.pop(0)).num_rows
            for batch in file.iter_batches(_PARQUET_ROWS, row_groups=groups, columns=known):
                for row in batch.to_pylist():
                    number += 1
                    if number > skip:
                        yield f"{path}:{number}", row
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        if number >= skip:
            yield BadRow("unreadable", f"{path}:{number + 1}", f"cannot be read from here on: {error}")


def text_of(row: dict[str, object], field: str | Sequence[str], where: str, max_bytes: int | None = None) -> str:
    """Return the non-empty text of ``row[field]``, several fields joined by line breaks; raises BadRow.

    A field may hold chat turns: a list of objects, whose ``content`` (or ``value``) are joined.
    """
    fields = [field] if isinstance(field, str) else list(field)
    text = "\n".join(_field_text(row, name, where) for name in fields)
    if "\0" in text:
        raise BadRow("nul_bytes", where, f"field {field!r} holds a NUL character, which is no text.")
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise BadRow(
            "lone_surrogate", where, f"field {field!r} holds a lone surrogate, which is no valid text."
        ) from error
    if max_bytes is not None and size > max_bytes:
        raise BadRow("too_long", where, f"a text of {size} bytes; max_line_bytes: {max_bytes}.")
    return text


def _field_text(row: dict[str, object], field: str, where: str) -> str:
    if field not in row:
        found = ", ".join(map(repr, row)) or "no fields"
        raise BadRow("no_text", where, f"no field {field!r}; the line has {found}.")
    value = row[field]
    if isinstance(value, list) and value and all(isinstance(turn, dict) for turn in value):
        turns = [turn.get("content", turn.get("value")) for turn in value]
        value = "\n".join(turns) if all(isinstance(turn, str) for turn in turns) else None
    if not isinstance(value, str) or not value.strip():
        raise BadRow("no_text", where, f"field {field!r} must be a non-empty string.")
    return value


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _lines(handle: IO[bytes], max_bytes: int | None) -> Iterator[bytes | int]:
    """Yield each line, or its length in bytes where that is over ``max_bytes``."""
    if max_bytes is None:
        yield from handle
        return
    while line := handle.readline(max_bytes + 1):
        if len(line.rstrip(b"\r\n")) <= max_bytes and (line.endswith(b"\n") or len(line) <= max_bytes):
            yield line
            continue
        length = len(line)
        while not line.endswith(b"\n") and (line := handle.readline(_PIECE)):
            length += len(line)
        yield length


def _parse(line: bytes, where: str) -> Row | BadRow:
    if b"\0" in line:
        return BadRow("nul_bytes", where, "holds NUL bytes; the file is damaged, or not UTF-8.")
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return BadRow("not_utf8", where, f"not UTF-8 (byte {error.start} of the line). Re-encode the file as UTF-8.")
    except (ValueError, RecursionError) as error:
        return BadRow("not_json", where, f"not valid JSON: {error}. Every line must be one JSON object.")
    if not isinstance(value, dict):
        return BadRow("not_an_object", where, f"expected a JSON object, found {type(value).__name__}.")
    return where, value
