"""Documents as tokens, chunk by chunk, in worker processes where wanted; the order is that of the source.

What a chunk holds depends on the source alone, and workers only ever see whole chunks, so their number changes nothing.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rho1bench.corpus.overlap import BenchmarkIndex, Overlap, load_index
from rho1bench.corpus.sources.documents import Document
from rho1bench.corpus.tokenizer import SpecialTokens, load_raw_tokenizer, special_tokens
from rho1bench.errors import RunError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

SPECIAL_KIND = "special"
"""Kind of the tokens between documents, which are no text."""


@dataclass(frozen=True)
class TokenDocument:
    """One document as tokens; ``kinds`` are places in ``names``, which stand in the order of the document's spans."""

    tokens: npt.NDArray[np.uint32]
    kinds: npt.NDArray[np.uint8]
    names: tuple[str, ...]
    overlap: Overlap | None = None
    """Which benchmark texts stand in it; None where none does, or none were looked for."""

    def __len__(self) -> int:
        return len(self.tokens)


class DocumentEncoder:
    """Turns documents into tokens: the tokenizer's own beginning, the text, and the end-of-text token.

    With ``index`` it also looks for benchmark texts in them.
    """

    def __init__(self, tokenizer: Tokenizer, special: SpecialTokens, index: BenchmarkIndex | None = None) -> None:
        self._tokenizer, self._index = tokenizer, index
        self._begin, self._eos = special.begin, special.eos

    def encode(self, documents: Sequence[Document]) -> list[TokenDocument]:
        """Return the documents as tokens, one each."""
        texts = [document.text for document in documents]
        plain = all(len(document.spans) <= 1 for document in documents)
        encode = self._tokenizer.encode_batch_fast if plain else self._tokenizer.encode_batch  # fast: without offsets
        encodings = encode(texts, add_special_tokens=False)
        overlaps = self._index.find(texts) if self._index is not None else [None] * len(texts)
        return [self._document(*one) for one in zip(documents, encodings, overlaps, strict=True)]

    def _document(self, document: Document, encoding: Encoding, overlap: Overlap | None) -> TokenDocument:
        names = tuple(dict.fromkeys((SPECIAL_KIND, *(kind for _, _, kind in document.spans))))
        tokens = np.array([*self._begin, *encoding.ids, self._eos], dtype=np.uint32)
        kinds = np.zeros(len(tokens), dtype=np.uint8)
        if encoding.ids:
            kinds[len(self._begin) : -1] = _token_kinds(document, encoding, names)
        return TokenDocument(tokens, kinds, names, overlap)


def _token_kinds(document: Document, encoding: Encoding, names: Sequence[str]) -> int | list[int]:
    """Give each token the kind of the span that holds its last character."""
    ids = [names.index(kind) for _, _, kind in document.spans]
    if len(ids) == 1:
        return ids[0]
    starts = [start for start, _, _ in document.spans]
    return [ids[max(bisect_right(starts, end - 1) - 1, 0)] for _, end in encoding.offsets]


class Workers:
    """Encodes chunks in ``num_workers`` processes, or here if that is 1.

    ``ahead`` is how many chunks of a source may be submitted before the first is used. ``benchmarks`` is the folder of
    the texts that are looked for, if any.
    """

    def __init__(self, tokenizer_folder: Path, num_workers: int, benchmarks: Path | None = None) -> None:
        self.ahead = 1 if num_workers == 1 else 2 * num_workers
        self._folders = tokenizer_folder, benchmarks
        self._encoder: DocumentEncoder | None = None
        self._pool: ProcessPoolExecutor | None = None
        if num_workers > 1:
            from multiprocessing import get_context

            self._pool = ProcessPoolExecutor(
                num_workers, get_context("spawn"), initializer=_start_worker, initargs=self._folders
            )

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def submit(self, documents: Sequence[Document]) -> Callable[[], list[TokenDocument]]:
        """Begin to encode a chunk; the function returned gives the result, and raises RunError if a worker died."""
        if self._pool is None:
            self._encoder = self._encoder or _encoder(*self._folders)
            encoder = self._encoder
            return lambda: encoder.encode(documents)
        try:
            future = self._pool.submit(_encode, documents)
        except BrokenProcessPool as error:
            raise _dead_worker() from error
        return lambda: _result(future)


def _result(future: Future[list[TokenDocument]]) -> list[TokenDocument]:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise _dead_worker() from error


def _dead_worker() -> RunError:
    return RunError(
        "a tokenising process was killed from outside (out of memory?). Give the same command again, with a "
        "smaller num_workers if need be; it continues after the last finished shard."
    )


def _encoder(folder: Path, benchmarks: Path | None) -> DocumentEncoder:
    index = load_index(benchmarks) if benchmarks is not None else None
    return DocumentEncoder(load_raw_tokenizer(folder), special_tokens(folder), index)


_WORKER: list[DocumentEncoder] = []
"""The encoder of a worker process; empty in every other one."""


def _start_worker(folder: Path, benchmarks: Path | None) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _WORKER.append(_encoder(folder, benchmarks))


def _end_with_parent() -> None:
    """End this process when its parent is gone, killed for example: nobody else would end it."""
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _encode(documents: Sequence[Document]) -> list[TokenDocument]:
    return _WORKER[0].encode(documents)
