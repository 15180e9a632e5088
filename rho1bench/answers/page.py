"""``answers.html``: a page to read answers, and its chunks beside it; opened as a file (``rendering.viewer``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlencode

from rho1bench.answers.collection import Collection, collect
from rho1bench.answers.sources import Source
from rho1bench.rendering import numbers as fmt
from rho1bench.rendering.viewer import chunk_name, packed_json, write_viewer

TEMPLATES = Path(__file__).parent / "templates"
PAGE = "answers.html"
_SCRIPTS = ("data.js", "filters.js", "detail.js", "page.js")


def write_page(
    path: Path, sources: Sequence[Source], title: str, links: Sequence[tuple[str, str]] = ()
) -> Collection | None:
    """Write the page ``path`` and the folder of its chunks (``answers_files`` for ``answers.html``).

    ``links`` (name, address) are shown at the top. Returns what was written; None, writing nothing, where no source has
    an answer. Raises DataError for a malformed line.
    """
    collection = collect(sources)
    if collection.num_answers == 0:
        return None
    write_viewer(
        path,
        TEMPLATES,
        "answers",
        _SCRIPTS,
        collection.index,
        _chunks(collection),
        title=title,
        links=links,
        amount=fmt.count(collection.num_answers),
        things="answers",
    )
    return collection


def write_pair_page(path: Path, left: Source, right: Source) -> str:
    """Write a page of two models and return its address with the two set side by side; raises DataError."""
    write_page(path, [left, right], f"Answers of {left.label} and {right.label}")
    return address(str(path), a=left.label, b=right.label)


def address(page: str = PAGE, **choices: str) -> str:
    """Return the page's address with filters set: ``a`` and ``b`` are labels, ``task`` is a task's name."""
    return f"{page}#{urlencode(choices)}" if choices else page


def _chunks(collection: Collection) -> Iterator[tuple[str, str]]:
    columns = [("q", collection.questions), *((f"a{i}", part) for i, part in enumerate(collection.answers))]
    for column, chunks in columns:
        for number, part in enumerate(chunks.parts):
            yield chunk_name(column, number), packed_json(part)
