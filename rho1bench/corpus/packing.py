"""Packing: documents joined as ``<s> doc </s>`` and cut into blocks of one length (paper section 3.1).

The tail that does not fill a block is dropped. Tokens carry the kind of the text they come from, so that a run can
measure what a selection keeps (figure 13).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from rho1bench.corpus.documents import Document
from rho1bench.corpus.tokenizer import BOS, EOS

SPECIAL_KIND = "special"
"""Kind of the tokens between documents, which are no text."""

Array = npt.NDArray[Any]
_DOCUMENTS_AT_ONCE = 256


class KindTable:
    """Numbers the kinds in order of first use; at most 256 of them."""

    def __init__(self) -> None:
        self.names: list[str] = [SPECIAL_KIND]
        self._ids = {SPECIAL_KIND: 0}

    def id(self, name: str) -> int:
        """Return the number of kind ``name``."""
        if name not in self._ids:
            self._ids[name] = len(self.names)
            self.names.append(name)
            assert len(self.names) <= 256, "kinds are stored as uint8"
        return self._ids[name]


class Packer:
    """Turns documents into blocks; counts the documents it has read."""

    def __init__(self, tokenizer: Any, block_size: int) -> None:
        self.kinds = KindTable()
        self.num_documents = 0
        self._tokenizer = tokenizer
        self._block_size = block_size
        self._bos, self._eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)

    def blocks(self, documents: Iterable[Document]) -> Iterator[tuple[Array, Array]]:
        """Yield (tokens, kinds), both of shape ``(block_size,)``, int64 and uint8."""
        tokens: list[int] = []
        kinds: list[int] = []
        size = self._block_size
        for doc_tokens, doc_kinds in self._encoded(documents):
            tokens += doc_tokens
            kinds += doc_kinds
            whole = len(tokens) // size * size
            for start in range(0, whole, size):
                yield (
                    np.array(tokens[start : start + size], dtype=np.int64),
                    np.array(kinds[start : start + size], dtype=np.uint8),
                )
            del tokens[:whole], kinds[:whole]

    def _encoded(self, documents: Iterable[Document]) -> Iterator[tuple[list[int], list[int]]]:
        remaining = iter(documents)
        while chunk := list(islice(remaining, _DOCUMENTS_AT_ONCE)):
            encodings = self._tokenizer.encode_batch([doc.text for doc in chunk], add_special_tokens=False)
            for document, encoding in zip(chunk, encodings, strict=True):
                self.num_documents += 1
                kinds = self._token_kinds(document, encoding.offsets)
                yield [self._bos, *encoding.ids, self._eos], [0, *kinds, 0]

    def _token_kinds(self, document: Document, offsets: Sequence[tuple[int, int]]) -> list[int]:
        """Give each token the kind of the span that holds its last character."""
        ids = [self.kinds.id(kind) for _, _, kind in document.spans]
        if len(ids) == 1:
            return ids * len(offsets)
        starts = [start for start, _, _ in document.spans]
        return [ids[max(bisect_right(starts, end - 1) - 1, 0)] for _, end in offsets]
