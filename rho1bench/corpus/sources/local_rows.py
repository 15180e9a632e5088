"""Rows of local files, read one by one: JSON lines (plain or gzip) and Parquet, and the bad ones among them.

A bad row is a value, not the end: the caller decides what becomes of it (``on_bad_line``). No row is held in memory
beyond ``max_bytes``, so one endless line costs nothing.
"""

from __future__ import annotations

import codecs
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
    """The rows of the files of one source, file by file; ``position`` is where a later reader resumes.

    ``columns`` are those that a Parquet file must have and that are read of it; None: all that there are.
    """

    def __init__(
        self, source: LocalSource, max_bytes: int | None, position: Position | None, columns: Sequence[str] | None
    ) -> None:
        self._files = named_files(source.path)
        self._columns = columns
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


def file_rows(path: Path, max_bytes: int | None, skip: int, columns: Sequence[str] | None) -> Iterator[Row | BadRow]:
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
                if number == 1 and isinstance(line, bytes):
                    line = line.removeprefix(codecs.BOM_UTF8)
                if isinstance(line, bytes) and not line.strip():
                    continue
                if skip > 0:
                    skip -= 1
                elif isinstance(line, bytes):
                    yield parse_line(line, f"{path}:{number}")
                else:
                    yield BadRow(
                        "too_long", f"{path}:{number}", f"a line of {line} bytes; max_line_bytes: {max_bytes}."
                    )
    except (OSError, EOFError, zlib.error) as error:
        if skip == 0:  # else an earlier reader has reported it
            yield BadRow("unreadable", f"{path}:{number + 1}", f"cannot be read from here on: {error}")


def parquet_rows(path: Path, skip: int, columns: Sequence[str] | None) -> Iterator[Row | BadRow]:
    """Yield the rows of a Parquet file after the first ``skip``; whole row groups are skipped unread.

    A file without one of ``columns`` is one bad row.
    """
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            missing = next((name for name in columns or () if name not in file.schema_arrow.names), None)
            if missing is not None:
                if skip == 0:
                    yield BadRow("no_column", str(path), _no_column(missing, file.schema_arrow.names))
                return
            groups = list(range(file.num_row_groups))
            while groups and number + file.metadata.row_group(groups[0]).num_rows <= skip:
                number += file.metadata.row_group(groups.pop(0)).num_rows
            for batch in file.iter_batches(_PARQUET_ROWS, row_groups=groups, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    if number > skip:
                        yield f"{path}:{number}", row
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        if number >= skip:
            yield BadRow("unreadable", f"{path}:{number + 1}", f"cannot be read from here on: {error}")


def _no_column(name: str, found: Sequence[str]) -> str:
    return f"no column {name!r}; the file has {', '.join(map(repr, found)) or 'none'}. Check the source's `text_field`."


def text_of(row: dict[str, object], field: str | Sequence[str], where: str, max_bytes: int | None = None) -> str:
    """Return the non-empty text of ``row[field]``, several fields joined by line breaks; raises BadRow.

    A field may hold chat turns or content parts (see :func:`plain_text`).
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
    text = plain_text(row[field])
    if text is None or not text.strip():
        raise BadRow("no_text", where, f"field {field!r} must be a non-empty string.")
    return text


def plain_text(value: object) -> str | None:
    """Return the text of a value; None if it is none.

    A value is a string; content parts (``{"type": "text", "text": ...}``), which are joined as they are; or chat turns
    (objects with ``content`` or ``value``), which are joined by line breaks.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return None
    if all(item.get("type") == "text" for item in value):
        between, texts = "", [item.get("text") for item in value]
    else:
        between, texts = "\n", [plain_text(item.get("content", item.get("value"))) for item in value]
    return between.join(texts) if all(isinstance(text, str) for text in texts) else None


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


def parse_line(line: bytes, where: str) -> Row | BadRow:
    """Return the JSON object of a line, or what is wrong with it."""
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
