"""Pages to browse much data: one HTML file, and a folder of chunks beside it; opened as files, without a server.

Part of ``rendering``; the pages of answers and of tokens are made of it. Chunks are gzip in base64 inside scripts, as a
page that is opened as a file may load nothing else: no text of a corpus or a model is ever code. The page writes them
as text, and its Content-Security-Policy lets only its own style and script (by their hashes), and the scripts that
these add, take effect.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from rho1bench.errors import DataError
from rho1bench.rendering.templates import content_policy, html_environment
from rho1bench.system.files import write_text

FRAME = Path(__file__).parent / "viewer"
"""The parts that all these pages have: frame, style, reading of chunks, the list that the keyboard moves in."""
_FRAME_SCRIPTS = ("chunks.js", "elements.js", "list.js")
_CHUNK_NAME = re.compile(r"[a-z]\d*-\d+\.js")


def chunk_name(column: str, number: int) -> str:
    """Return the name of a chunk; ``column`` is a small letter and digits after it."""
    return f"{column}-{number}"


def packed(data: bytes) -> str:
    """Return bytes, gzipped, in base64; the same bytes give the same text."""
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode("ascii")


def packed_json(value: object) -> str:
    """Return a value as JSON, gzipped, in base64."""
    return packed(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace"))


def write_viewer(
    path: Path,
    templates: Path,
    name: str,
    scripts: Sequence[str],
    index: object,
    chunks: Iterable[tuple[str, str]],
    **variables: object,
) -> None:
    """Write the page ``path`` and the folder of its chunks (``answers_files`` for ``answers.html``).

    Args:
        path: the page.
        templates: the folder with ``name.html.j2``, which extends ``viewer.html.j2``, ``name.css`` and ``scripts``.
        name: what the page's own files are called.
        scripts: file names, in order.
        index: what the page needs at once, as JSON.
        chunks: names and packed contents of the rest.
        variables: those of the template; each is escaped.

    Raises:
        DataError: a file stands in the place of the folder.
    """
    folder = path.parent / f"{path.stem}_files"
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is no folder, and the page's chunks are to go there. Give the page another name.")
    for old in folder.glob("*.js"):
        if _CHUNK_NAME.fullmatch(old.name):
            old.unlink()
    for chunk, content in chunks:
        write_text(folder / f"{chunk}.js", f'pageChunk("{chunk}","{content}");\n')
    style = _joined([FRAME / "viewer.css", templates / f"{name}.css"])
    script = _joined([*(FRAME / one for one in _FRAME_SCRIPTS), *(templates / one for one in scripts)])
    page = (
        html_environment(templates, FRAME)
        .get_template(f"{name}.html.j2")
        .render(
            folder=folder.name,
            index=packed_json(index),
            style=style,
            script=script,
            policy=content_policy(style, script, loads_scripts=True),
            **variables,
        )
    )
    write_text(path, page)


def _joined(files: Iterable[Path]) -> str:
    return "".join(file.read_text(encoding="utf-8") for file in files)
