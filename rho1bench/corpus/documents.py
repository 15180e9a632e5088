"""Sources of a recipe as one stream of documents: the first step of the pipeline (paper section 3.1).

Everything streams: a source is read document by document, so memory stays flat however large the corpus is.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from rho1bench.errors import DataError
from rho1bench.recipe import LocalSource, MiniWorldSource, Source

TEXT_KIND = "text"
_CHUNK = 500


@dataclass(frozen=True)
class Document:
    """One training document; ``spans`` are (start, end, kind) in characters, in order, without gap or overlap."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


def plain_document(text: str) -> Document:
    """Return ``text`` as a document that says nothing about what its parts are."""
    return Document(text, ((0, len(text), TEXT_KIND),))


def read_documents(sources: Sequence[Source], seed: int) -> Iterator[Document]:
    """Yield the documents of all ``sources``, one source after the other.

    ``seed`` shapes generated text only. Raises DataError, naming file and line, for a local line that is no document.
    """
    for source in sources:
        if isinstance(source, LocalSource):
            yield from _local_documents(source)
        else:
            yield from _mini_world_documents(source, seed)


def read_json_lines(path: Path, limit: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (``file:line``, object) for each line of a JSON-lines file, plain or gzip; blank lines are passed over.

    Raises DataError, naming file and line, for what is not UTF-8, not JSON, or not an object.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. Check the source's `path` in the recipe.")
    found = 0
    try:
        with _open(path) as handle:
            for number, line in enumerate(handle, start=1):
                if found == limit:
                    return
                if not line.strip():
                    continue
                yield f"{path}:{number}", _parse(line, f"{path}:{number}")
                found += 1
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 (byte {error.start} of the line). Re-encode the file as UTF-8.") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON: {error}. Every line must be one JSON object.") from error
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(value).__name__}.")
    return value


def text_of(row: dict[str, Any], field: str, where: str) -> str:
    """Return the non-empty text of ``row[field]``; raises DataError."""
    if field not in row:
        raise DataError(f"{where}: no field {field!r}; the line has {', '.join(map(repr, row)) or 'no fields'}.")
    text = row[field]
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where}: field {field!r} must be a non-empty string.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: field {field!r} holds a lone surrogate, which is no valid text.") from error
    return text


def _local_documents(source: LocalSource) -> Iterator[Document]:
    found = 0
    last = None if source.num_documents is None else source.offset + source.num_documents
    for where, row in islice(read_json_lines(Path(source.path).expanduser(), last), source.offset, None):
        yield plain_document(text_of(row, source.text_field, where))
        found += 1
    if source.num_documents is not None and found < source.num_documents:
        raise DataError(f"{source.path}: has {found} documents, but the recipe asks for {source.num_documents}.")


def _mini_world_documents(source: MiniWorldSource, seed: int) -> Iterator[Document]:
    generate = _mini_world_generator(source, seed)
    for first in range(0, source.num_documents, _CHUNK):
        yield from generate(min(_CHUNK, source.num_documents - first), source.offset + first)


def _mini_world_generator(source: MiniWorldSource, seed: int) -> Callable[[int, int], Iterator[Document]]:
    from rho1bench.corpus import mini_world

    def generate(num: int, offset: int) -> Iterator[Document]:
        if source.text == "sft_cot" or source.text == "sft_tir":
            for sample in mini_world.sft_samples(source.text, num, seed, offset=offset):
                yield plain_document("".join(text for _, text in sample.segments))
            return
        if source.text == "clean":
            documents = mini_world.clean_documents(num, seed, offset=offset)
        else:
            documents = mini_world.web_documents(num, seed, offset=offset, noise_share=source.noise_share)
        for document in documents:
            yield Document(document.text, tuple(document.spans))

    return generate
