"""Tokens of several sources as one stream: one after the other, or mixed by weight (paper section 3.1).

A mixture takes its next document from the source that is furthest behind its share of tokens. That depends on the
lengths of documents alone, so the same sources give the same stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

from rho1bench.corpus.decontamination import OverlapCount, OverlapState
from rho1bench.corpus.encoder import TokenDocument, Workers
from rho1bench.corpus.sources.documents import BadRows, Document, Item
from rho1bench.corpus.sources.local_rows import Position
from rho1bench.corpus.sources.reader import SourceReader
from rho1bench.errors import DataError

_CHUNK_ITEMS = 256
_CHUNK_CHARACTERS = 2**20


@dataclass
class _Chunk:
    """Items read from ``start`` on, and the tokens of the documents among them."""

    start: Position
    items: list[Item]
    tokens: Callable[[], list[TokenDocument]]


class BadRowCounts(TypedDict):
    """What was skipped so far (see :class:`BadRows`)."""

    counts: dict[str, int]
    first: dict[str, str]


class SourceState(TypedDict):
    """What :class:`TokenSource` needs to resume, as JSON."""

    start: Position
    used: int
    documents: int
    tokens: int
    bad: BadRowCounts
    overlap: OverlapState


class TokenSource:
    """Documents of one source as tokens, in order; the next chunks are encoded while one is used."""

    def __init__(
        self,
        reader: SourceReader,
        workers: Workers,
        bad: BadRows,
        overlap: OverlapCount,
        state: SourceState | None,
    ) -> None:
        self.bad, self.overlap = bad, overlap
        self.num_documents = state["documents"] if state else 0
        self.num_tokens = state["tokens"] if state else 0
        self._used = state["used"] if state else 0
        """Items of the current chunk that have been given out."""
        self._reader, self._workers = reader, workers
        self._items = iter(reader)
        self._ahead: deque[_Chunk] = deque()
        self._current: Iterator[TokenDocument | Item] | None = None
        self._start: Position = reader.position()

    def next(self) -> TokenDocument | None:
        """Return the next document; None at the end. Raises DataError for a bad row that may not be skipped."""
        while True:
            if self._current is None and not self._open_chunk():
                return None
            assert self._current is not None
            for item in self._current:
                self._used += 1
                if isinstance(item, TokenDocument):
                    number = self.num_documents + self.overlap.dropped
                    if self.overlap.is_dropped(item.overlap, len(item), number):
                        continue
                    self.num_documents += 1
                    self.num_tokens += len(item)
                    return item
                assert isinstance(item, DataError)
                with self.bad.explained():
                    self.bad.handle(item)
            self._current = None

    def state(self) -> SourceState:
        """Return what ``__init__`` needs to resume after the last document given out, as JSON."""
        return {
            "start": self._start,
            "used": self._used,
            "documents": self.num_documents,
            "tokens": self.num_tokens,
            "bad": {"counts": self.bad.counts, "first": self.bad.first},
            "overlap": self.overlap.state(),
        }

    def _open_chunk(self) -> bool:
        while len(self._ahead) < self._workers.ahead and (chunk := self._read_chunk()) is not None:
            self._ahead.append(chunk)
        if not self._ahead:
            return False
        chunk = self._ahead.popleft()
        if chunk.start != self._start:
            self._start, self._used = chunk.start, 0
        self._current = self._skip_used(chunk)
        return True

    def _skip_used(self, chunk: _Chunk) -> Iterator[TokenDocument | Item]:
        tokens = iter(chunk.tokens())
        filled = [next(tokens) if isinstance(item, Document) else item for item in chunk.items]
        return iter(filled[self._used :])

    def _read_chunk(self) -> _Chunk | None:
        start, items, size = self._reader.position(), [], 0
        for item in self._items:
            items.append(item)
            size += len(item.text) if isinstance(item, Document) else 0
            if len(items) == _CHUNK_ITEMS or size >= _CHUNK_CHARACTERS:
                break
        if not items:
            return None
        return _Chunk(start, items, self._workers.submit([item for item in items if isinstance(item, Document)]))


class Mixture:
    """The documents of all sources as one stream.

    ``weights`` are the sources' shares of tokens; empty: one source after the other. A mixture ends with the first
    source that is used up, since its share could not be kept from there on.
    """

    def __init__(self, sources: Sequence[TokenSource], weights: Sequence[float]) -> None:
        self._sources, self._weights = sources, weights
        self.current = 0
        """The source of the last document."""
        self.used_up: int | None = None
        """The source with which a mixture ended."""

    def __iter__(self) -> Iterator[tuple[int, TokenDocument]]:
        """Yield (number of the source, document)."""
        while self.current < len(self._sources):
            if self._weights:
                self.current = self._furthest_behind()
            document = self._sources[self.current].next()
            if document is not None:
                yield self.current, document
            elif self._weights:
                self.used_up = self.current
                return
            else:
                self.current += 1

    def _furthest_behind(self) -> int:
        done = [source.num_tokens / weight for source, weight in zip(self._sources, self._weights, strict=True)]
        return done.index(min(done))
