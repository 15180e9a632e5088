"""``answers.html``: a page to read answers, and its chunks beside it; opened as a file, without a server.

Chunks are gzip in base64 inside scripts, as a page that is opened as a file may load nothing else: no text of a model
is ever code. The page writes them as text, and its Content-Security-Policy lets only its own style and script (by their
hashes), and the scripts which that one adds, take effect.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from rho1bench.answers.collection import Chunks, Collection, collect
from rho1bench.answers.sources import Source
from rho1bench.errors import DataError
from rho1bench.rendering.templates import content_policy, html_environment
from rho1bench.system.files import write_text

TEMPLATES = Path(__file__).parent / "templates"
PAGE = "answers.html"
_SCRIPTS = ("data.js", "filters.js", "detail.js", "page.js")
_CHUNK_NAME = re.compile(r"(?:q|a\d+)-\d+\.js")


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
    folder = path.parent / f"{path.stem}_files"
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is no folder, and the page's chunks are to go there. Give the page another name.")
    _remove_chunks(folder)
    _write_chunks(folder, "q", collection.questions)
    for number, chunks in enumerate(collection.answers):
        _write_chunks(folder, f"a{number}", chunks)
    write_text(path, _html(collection, folder.name, title, links))
    return collection


def write_pair_page(path: Path, left: Source, right: Source) -> str:
    """Write a page of two models and return its address with the two set side by side; raises DataError."""
    write_page(path, [left, right], f"Answers of {left.label} and {right.label}")
    return address(str(path), a=left.label, b=right.label)


def address(page: str = PAGE, **choices: str) -> str:
    """Return the page's address with filters set: ``a`` and ``b`` are labels, ``task`` is a task's name."""
    return f"{page}#{urlencode(choices)}" if choices else page


def _remove_chunks(folder: Path) -> None:
    for old in folder.glob("*.js"):
        if _CHUNK_NAME.fullmatch(old.name):
            old.unlink()


def _write_chunks(folder: Path, name: str, chunks: Chunks) -> None:
    for number, part in enumerate(chunks.parts):
        write_text(folder / f"{name}-{number}.js", f'answersChunk("{name}-{number}","{packed(part)}");\n')


def packed(value: object) -> str:
    """Return a value as JSON, gzipped, in base64; the same value gives the same text."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    return base64.b64encode(gzip.compress(text, 6, mtime=0)).decode("ascii")


def _html(collection: Collection, folder: str, title: str, links: Sequence[tuple[str, str]]) -> str:
    style = (TEMPLATES / "answers.css").read_text(encoding="utf-8")
    script = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return (
        html_environment(TEMPLATES)
        .get_template("answers.html.j2")
        .render(
            title=title,
            links=links,
            num_answers=collection.num_answers,
            num_models=len(collection.answers),
            folder=folder,
            index=packed(collection.index),
            style=style,
            script=script,
            policy=content_policy(style, script, loads_scripts=True),
        )
    )
