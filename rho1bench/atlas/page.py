"""``atlas.html``: browse the documents of an atlas, and what each of its tokens costs; opened as a file.

The index holds the vocabulary and the documents; the tokens and each column of numbers lie in chunks of 65,536 tokens,
which are read when they are shown (``rendering.viewer``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rho1bench.atlas.columns import STEPS, Bytes
from rho1bench.atlas.measures import Column
from rho1bench.atlas.text import AtlasText, Vocabulary, previews
from rho1bench.comparison.result_files import JsonObject
from rho1bench.corpus.token_bytes import token_pieces
from rho1bench.corpus.tokenizer import load_raw_tokenizer
from rho1bench.rendering import numbers as fmt
from rho1bench.rendering.viewer import chunk_name, packed, write_viewer

TEMPLATES = Path(__file__).parent / "templates"
CHUNK = 1 << 16
_SCRIPTS = ("data.js", "measures.js", "tokens.js", "page.js")


@dataclass(frozen=True)
class Atlas:
    """Everything that the page shows."""

    text: AtlasText
    vocabulary: Vocabulary
    tokenizer: Path
    """Folder of the tokenizer."""
    corpus: str
    checkpoints: Sequence[str]
    columns: Sequence[Column]
    ratio: float
    """Share of tokens that is shown as kept at first."""


def write_page(path: Path, atlas: Atlas, title: str, links: Sequence[tuple[str, str]] = ()) -> None:
    """Write the page and the folder of its chunks; ``links`` (name, address) are shown at the top."""
    write_viewer(
        path,
        TEMPLATES,
        "atlas",
        _SCRIPTS,
        _index(atlas),
        _chunks(atlas),
        title=title,
        links=links,
        amount=fmt.count(atlas.text.num_tokens),
        things="documents",
        precision=_precision(atlas.columns),
    )


def _precision(columns: Sequence[Column]) -> str:
    """Return how far a number about 1 nat may be from what it was: half a step."""
    top = max(one.top for one in columns)
    return f"{math.sqrt(top) / STEPS:.2f}"


def _index(atlas: Atlas) -> JsonObject:
    text = atlas.text
    tokenizer = load_raw_tokenizer(atlas.tokenizer)
    pieces = token_pieces(tokenizer)
    special = [token for token, added in tokenizer.get_added_tokens_decoder().items() if added.special]
    ids = atlas.vocabulary.ids.tolist()
    names = {token: (tokenizer.id_to_token(token) or "").encode("utf-8") for token in special}
    return {
        "corpus": atlas.corpus,
        "size": text.ids_BT.shape[1],
        "blocks": text.blocks,
        "chunk": CHUNK,
        "planes": _num_planes(len(ids)),
        # Bytes as letters, for a token need not be whole characters.
        "pieces": [(names.get(token) or pieces.get(token, b"")).decode("latin-1") for token in ids],
        "ids": ids,
        "special": [place for place, token in enumerate(ids) if token in names],
        "lengths": text.lengths.tolist(),
        "numbers": text.numbers.tolist(),
        "previews": previews(text, pieces),
        "checkpoints": list(atlas.checkpoints),
        "columns": [{"kind": one.kind, "of": one.of, "at": one.at, "top": one.top} for one in atlas.columns],
        "keep": round(100 * atlas.ratio),
    }


def _num_planes(num_tokens: int) -> int:
    return max((num_tokens - 1).bit_length() + 7, 8) // 8


def _chunks(atlas: Atlas) -> Iterator[tuple[str, str]]:
    places_N = atlas.vocabulary.places_N
    planes: list[Bytes] = [
        ((places_N >> (8 * plane)) & 0xFF).astype(np.uint8) for plane in range(_num_planes(len(atlas.vocabulary.ids)))
    ]
    columns = [("t", planes), *((f"v{number}", [one.codes_N]) for number, one in enumerate(atlas.columns))]
    for name, parts in columns:
        for number, start in enumerate(range(0, atlas.text.num_tokens, CHUNK)):
            data = b"".join(part[start : start + CHUNK].tobytes() for part in parts)
            yield chunk_name(name, number), packed(data)
