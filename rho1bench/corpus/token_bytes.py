"""Which bytes of text each token of a vocabulary stands for: what a loss a byte divides by, and what pages show.

A token is what it adds to a text: one byte for each character of a byte-level piece (GPT-2's, Llama-3's and our own
tokenizers), the UTF-8 of a SentencePiece piece with its blank, one byte for ``<0x0A>``. Special tokens are no text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_BLANK = "\N{LOWER ONE EIGHTH BLOCK}"
"""What SentencePiece writes for a blank."""


def token_bytes(tokenizer: Tokenizer) -> npt.NDArray[np.int64]:
    """Return how many bytes every token id stands for, shape (largest id + 1,); ids that no token has count 0."""
    pieces = token_pieces(tokenizer)
    lengths = np.zeros(max(pieces, default=-1) + 1, dtype=np.int64)
    for token, piece in pieces.items():
        lengths[token] = len(piece)
    return lengths


def token_pieces(tokenizer: Tokenizer) -> dict[int, bytes]:
    """Return the bytes of every token by its id, which need not be whole characters; none for special tokens."""
    kinds = set(_kinds(json.loads(tokenizer.to_str()).get("decoder")))
    added = tokenizer.get_added_tokens_decoder()
    found = {}
    for piece, token in tokenizer.get_vocab(with_added_tokens=True).items():
        if token in added:
            found[token] = b"" if added[token].special else piece.encode("utf-8")
        elif "ByteLevel" in kinds:
            found[token] = b"".join(_BYTES.get(letter, letter.encode("utf-8")) for letter in piece)
        elif "ByteFallback" in kinds and _BYTE.fullmatch(piece):
            found[token] = bytes([int(piece[3:5], 16)])
        elif kinds & {"ByteFallback", "Metaspace", "Replace"}:
            found[token] = piece.replace(_BLANK, " ").encode("utf-8")
        else:
            found[token] = tokenizer.decode([token], skip_special_tokens=False).encode("utf-8")
    return found


def _bytes_of_letters() -> Iterator[tuple[str, bytes]]:
    """Yield the letters that byte-level tokenizers write for bytes: those that can be seen for themselves (GPT-2)."""
    seen = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    unseen = [byte for byte in range(256) if byte not in seen]
    yield from ((chr(byte), bytes([byte])) for byte in seen)
    yield from ((chr(0x100 + number), bytes([byte])) for number, byte in enumerate(unseen))


def _kinds(decoder: Any) -> Iterator[str]:
    """Yield the types of a decoder and of those that it is made of."""
    if isinstance(decoder, dict):
        yield str(decoder.get("type"))
        for part in decoder.get("decoders") or []:
            yield from _kinds(part)


_BYTES = dict(_bytes_of_letters())
