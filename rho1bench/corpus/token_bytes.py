"""How many bytes of text each token of a vocabulary stands for, so that losses can be told a byte instead of a token.

A token is worth what it adds to a text: one byte for each character of a byte-level piece (GPT-2's, Llama-3's and our
own tokenizers), the UTF-8 length of a SentencePiece piece with its blank, one byte for ``<0x0A>``. Special tokens are
no text and have none.
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
    """Return the bytes of every token id, shape (largest id + 1,); ids that no token has count 0."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    kinds = set(_kinds(json.loads(tokenizer.to_str()).get("decoder")))
    added = tokenizer.get_added_tokens_decoder()
    lengths = np.zeros(max(vocabulary.values(), default=-1) + 1, dtype=np.int64)
    for piece, token in vocabulary.items():
        if token in added:
            lengths[token] = 0 if added[token].special else len(piece.encode("utf-8"))
        elif "ByteLevel" in kinds:
            lengths[token] = len(piece)
        elif "ByteFallback" in kinds and _BYTE.fullmatch(piece):
            lengths[token] = 1
        elif kinds & {"ByteFallback", "Metaspace", "Replace"}:
            lengths[token] = len(piece.replace(_BLANK, " ").encode("utf-8"))
        else:
            lengths[token] = len(tokenizer.decode([token], skip_special_tokens=False).encode("utf-8"))
    return lengths


def _kinds(decoder: Any) -> Iterator[str]:
    """Yield the types of a decoder and of those that it is made of."""
    if isinstance(decoder, dict):
        yield str(decoder.get("type"))
        for part in decoder.get("decoders") or []:
            yield from _kinds(part)
