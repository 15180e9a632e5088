"""Documents, and the rows that are none: the items that every source of a recipe gives (paper section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from rho1bench.corpus.sources.local_rows import BadRow
from rho1bench.errors import DataError
from rho1bench.recipe import MiniWorldSource

TEXT_KIND = "text"
_CHUNK = 500


@dataclass(frozen=True)
class Document:
    """One training document; ``spans`` are (start, end, kind) in characters, in order, without gap or overlap."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


Item = Document | DataError
"""What a source gives: a document, a bad row (:class:`BadRow`), or an error that always stops the stage."""


def plain_document(text: str) -> Document:
    """Return ``text`` as a document of one kind."""
    return Document(text, ((0, len(text), TEXT_KIND),))


@dataclass
class BadRows:
    """What becomes of bad rows, and their count: by kind, with the place of the first of each."""

    policy: Literal["error", "skip"] = "error"
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def handle(self, error: DataError) -> None:
        """Count a bad row; raises it where the policy is ``error``, and every other error always."""
        if self.policy == "error" or not isinstance(error, BadRow):
            raise error
        self.counts[error.kind] = self.counts.get(error.kind, 0) + 1
        self.first.setdefault(error.kind, error.where)

    def describe(self) -> str:
        """Return one line about the rows that were skipped; empty if none was."""
        parts = [f"{count} {kind} (first: {self.first[kind]})" for kind, count in sorted(self.counts.items())]
        return f"passed over {sum(self.counts.values())} bad lines: " + ", ".join(parts) if parts else ""

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Add what was skipped to an error about too little text, which may come of just that."""
        try:
            yield
        except DataError as error:
            if not self.counts:
                raise
            raise DataError(f"{error} (With on_bad_line: skip, it {self.describe()}.)") from error


def mini_world_documents(source: MiniWorldSource, seed: int, first: int) -> Iterator[Document]:
    """Yield the documents of ``source`` from number ``first`` on, counted over all epochs."""
    generate = _mini_world_generator(source, seed)
    epoch, place = divmod(first, source.num_documents)
    try:
        for _ in range(epoch, source.epochs):
            for start in range(place, source.num_documents, _CHUNK):
                yield from generate(min(_CHUNK, source.num_documents - start), source.offset + start)
            place = 0
    except ValueError as error:
        raise DataError(f"mini_world, text {source.text}: {error}.") from error


def _mini_world_generator(source: MiniWorldSource, seed: int) -> Callable[[int, int], Iterator[Document]]:
    from rho1bench import mini_world

    coverage = mini_world.Coverage(**source.coverage.model_dump())
    kinds = source.noise_kinds or mini_world.WEB_MIXTURE

    def generate(num: int, offset: int) -> Iterator[Document]:
        if source.text == "sft_cot" or source.text == "sft_tir":
            for sample in mini_world.sft_samples(source.text, num, seed, offset=offset):
                yield plain_document("".join(text for _, text in sample.segments))
            return
        if source.text == "clean":
            documents = mini_world.clean_documents(num, seed, offset, coverage=coverage)
        else:
            documents = mini_world.web_documents(num, seed, offset, noise_share=source.noise_share, noise_kinds=kinds)
        for document in documents:
            yield Document(document.text, tuple(document.spans))

    return generate
