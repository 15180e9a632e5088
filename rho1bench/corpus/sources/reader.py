"""The sources of a recipe as streams of documents; each can be resumed from a position (paper section 3.1).

A source is read row by row, so memory stays flat however large the corpus is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rho1bench.corpus.sources.documents import BadRows, Document, Item, mini_world_documents, plain_document
from rho1bench.corpus.sources.hub_rows import HubRows
from rho1bench.corpus.sources.local_rows import BadRow, LocalRows, Position, Row, text_of
from rho1bench.corpus.sources.package_text import PackageRows
from rho1bench.errors import DataError
from rho1bench.recipe import HubSource, LocalSource, MiniWorldSource, PackageSource, Source


def read_documents(
    sources: Sequence[Source], seed: int, bad: BadRows | None = None, max_bytes: int | None = None
) -> Iterator[Document]:
    """Yield the documents of all ``sources``, one source after the other.

    ``seed`` shapes generated text only. Raises DataError, naming file and line, for a row that is no document, unless
    ``bad`` skips it.
    """
    bad = bad or BadRows()
    for source in sources:
        for item in SourceReader(source, seed, max_bytes):
            if isinstance(item, Document):
                yield item
            else:
                bad.handle(item)


class SourceReader:
    """Documents and bad rows of one source, in order.

    Args:
        source: which.
        seed: shapes generated text only.
        max_bytes: a longer line or text is a bad row; None: any length.
        position: where to resume, from ``position()`` of an earlier reader; None: from the start.

    Raises DataError for files that are not there, or a data set that cannot be opened.
    """

    def __init__(
        self, source: Source, seed: int, max_bytes: int | None = None, position: Position | None = None
    ) -> None:
        self._source, self._seed, self._max_bytes = source, seed, max_bytes
        self._found = int(position["found"]) if position else 0
        rows = position["rows"] if position else None
        self._rows: LocalRows | HubRows | PackageRows | None = None
        if isinstance(source, LocalSource):
            columns = [source.text_field] if isinstance(source.text_field, str) else source.text_field
            self._rows = LocalRows(source, max_bytes, rows, columns)
        elif isinstance(source, HubSource):
            self._rows = HubRows(source, seed, rows)
        elif isinstance(source, PackageSource):
            self._rows = PackageRows(source, max_bytes, rows)

    def position(self) -> Position:
        """Return the place after the last item given out, as JSON."""
        return {"found": self._found, "rows": None if self._rows is None else self._rows.position()}

    def __iter__(self) -> Iterator[Item]:
        if isinstance(self._source, MiniWorldSource):
            for document in mini_world_documents(self._source, self._seed, self._found):
                self._found += 1
                yield document
        elif self._rows is not None:
            yield from self._documents(self._source, self._rows)

    def _documents(
        self, source: LocalSource | HubSource | PackageSource, rows: LocalRows | HubRows | PackageRows
    ) -> Iterator[Item]:
        last = None if source.num_documents is None else source.offset + source.num_documents
        if self._found == last:
            return
        for row in rows:
            item = self._item(source, row)
            self._found += isinstance(item, Document)
            if not isinstance(item, Document) or self._found > source.offset:
                yield item
            if self._found == last:
                return
        if last is not None:
            yield DataError(f"{source.place}: has {self._found} documents, but the recipe asks for {last}.")

    def _item(self, source: LocalSource | HubSource | PackageSource, row: Row | Item) -> Item:
        if isinstance(row, Document | DataError):
            return row
        assert not isinstance(source, PackageSource), "gives documents"
        try:
            return plain_document(text_of(row[1], source.text_field, row[0], self._max_bytes))
        except BadRow as bad:
            return bad
