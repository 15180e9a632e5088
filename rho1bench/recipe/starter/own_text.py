"""Looks at a user's text before a recipe is written over it: which files, which field, how many documents.

JSON lines and Parquet are read where they lie. Plain text becomes JSON lines beside the recipe, a document a paragraph,
in an order of its own, so that what is held out is of all files.
"""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rho1bench.errors import RecipeError
from rho1bench.recipe.models.corpus import LOCAL_SUFFIXES, named_files
from rho1bench.system.files import write_jsonl

FEWEST_DOCUMENTS = 20
COUNTED = 100_000
"""Of longer files, no more rows are counted."""
_PLAIN = (".txt", ".md")
_FIELDS = ("text", "content", "raw_content", "document", "body", "messages", "conversations")


@dataclass(frozen=True)
class OwnText:
    """Text of a user: what a source says of it, paths as seen from the recipe; at least so many documents."""

    paths: Sequence[str]
    text_field: str
    num_documents: int


def read_own_text(option: str, places: Sequence[str], beside: Path, name: str) -> OwnText:
    """Return what is known of the files, folders and globs in ``places``, which ``option`` of the command gave.

    Plain text is written to ``beside``/``name``.jsonl. Raises RecipeError for what cannot be trained on.
    """
    try:
        return _read(places, beside, name)
    except RecipeError as error:
        raise RecipeError(f"{option}: {error}") from error


def _read(places: Sequence[str], beside: Path, name: str) -> OwnText:
    if any(map(_is_plain, places)):
        places = [_as_json_lines(places, beside / f"{name}.jsonl")]
    counts, fields = 0, set()
    for place in places:
        for path in _files(place):
            fields.add(_text_field(path))
            counts += sum(1 for _ in islice(_rows(path), COUNTED))
    if len(fields) > 1:
        raise RecipeError(
            f"the files hold their text under different keys ({', '.join(sorted(fields))}); give files of one "
            "kind, and add the others to the recipe as sources with a text_field of their own."
        )
    if counts < FEWEST_DOCUMENTS:
        raise RecipeError(
            f"{', '.join(places)}: {counts} documents, and it takes {FEWEST_DOCUMENTS} at least to hold some "
            "out; give more, or split them: one JSON object a line, or a paragraph each in a .txt file."
        )
    return OwnText([os.path.relpath(place, beside) for place in places], fields.pop(), counts)


def _files(place: str) -> list[Path]:
    found = named_files(place)
    if not found or not found[0].is_file():
        what = "does not exist" if found else f"holds no {', '.join((*LOCAL_SUFFIXES, *_PLAIN))} file"
        raise RecipeError(f"{place}: {what}. Give files, folders or globs with text.")
    wrong = next((path for path in found if not path.name.endswith(LOCAL_SUFFIXES)), None)
    if wrong is not None:
        raise RecipeError(
            f"{wrong}: expected {', '.join((*LOCAL_SUFFIXES, *_PLAIN))}; each row or paragraph is a document."
        )
    return found


def _is_plain(place: str) -> bool:
    """Whether a file, glob or folder holds plain text and no rows."""
    found = named_files(place) or named_files(place, _PLAIN)
    return bool(found) and found[0].suffix.lower() in _PLAIN


def _as_json_lines(places: Sequence[str], output: Path) -> str:
    """Write the paragraphs of plain text files as JSON lines, and return where."""
    documents = []
    for path in (path for place in places for path in _plain_files(place)):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise RecipeError(
                f"{path}: is not UTF-8 (byte {error.start}). Convert it: iconv -f latin1 -t utf-8, say, or "
                "give the others."
            ) from None
        except OSError as error:
            raise RecipeError(f"{path}: cannot be read ({error.strerror}). Give files with text.") from None
        documents += [{"text": part.strip()} for part in text.split("\n\n") if part.strip()]
    random.Random(0).shuffle(documents)
    write_jsonl(output, documents)
    return str(output)


def _plain_files(place: str) -> list[Path]:
    found = named_files(place, _PLAIN)
    wrong = next((path for path in found or [Path(place)] if path.suffix.lower() not in _PLAIN), None)
    if wrong is not None:
        raise RecipeError(f"{wrong}: plain text and other files do not go together; give them apart.")
    return found


def _text_field(path: Path) -> str:
    row = next(_rows(path), None)
    if row is None:
        raise RecipeError(f"{path}: holds no rows. Give files with text.")
    if not isinstance(row, dict):
        raise RecipeError(f"{path}: the first row is no mapping; expected rows such as {{'text': ...}}.")
    field = next((name for name in (*_FIELDS, *row) if isinstance(row.get(name), str | list)), None)
    if field is None:
        raise RecipeError(f"{path}: no key of the first row holds text; keys: {', '.join(map(str, row))}.")
    return str(field)


def _rows(path: Path) -> Iterator[Any]:
    """Yield the rows of a file, of Parquet only their keys' first values; a torn line is a row too."""
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as handle:
            for number, line in enumerate(handle):
                if line.strip():
                    yield json.loads(line) if number == 0 else None
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: cannot be read as JSON lines ({error}). Correct or convert it.") from None


def _parquet_rows(path: Path) -> Iterator[Any]:
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(path)
        first = next(file.iter_batches(batch_size=1), None)
    except (OSError, ValueError) as error:  # pyarrow's own are ValueErrors
        raise RecipeError(f"{path}: cannot be read as Parquet ({error}). Correct or convert it.") from None
    if first is not None and first.num_rows:
        yield first.to_pylist()[0]
        yield from (None for _ in range(file.metadata.num_rows - 1))
