"""Saved outputs as a table (CSV, TSV): rows with the keys of our own JSON lines (``rho1bench grade``)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from rho1bench.errors import DataError
from rho1bench.grading.paper.gold import Row

DELIMITERS = {".csv": ",", ".tsv": "\t"}
"""By the end of a file's name."""


def read_table(text: str, path: Path) -> Iterator[tuple[int, Row]]:
    """Yield the rows below the header with the numbers of their last lines, empty cells left out.

    Raises DataError for a table without a column ``completion``, or a row with other cells than the header.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=DELIMITERS[path.suffix.lower()], strict=True)
    try:
        columns = list(reader.fieldnames or ())
        if "completion" not in columns:
            found = ", ".join(map(repr, columns)) or "none"
            wanted = "expected a header with completion, task, gold"
            raise DataError(f"{path}: no column 'completion'; {wanted}; got {found}.")
        for row in reader:
            if None in row or None in row.values():
                raise DataError(f"{path}, line {reader.line_num}: expected {len(columns)} cells, as the header has.")
            yield reader.line_num, {key: value for key, value in row.items() if value != ""}
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: is not CSV ({error}).") from error
