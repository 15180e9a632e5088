"""Which benchmark texts stand in a document: 13 words in a row, as in GPT-3's report (arXiv 2005.14165, appendix C).

A text of 8 to 12 words counts as a whole; a shorter one is not looked for. Words are runs of letters and digits without
case; every other sign parts them, so formulas are words too. Words in a row that more than ten benchmark texts share
("which of the following statements ..."), or that are hardly more than a row of figures, are not looked for.

The index is made by the stage ``benchmark_texts`` and read by the workers that tokenise (``corpus.encoder``): hashes in
sorted arrays that all of them map, and a bitmap that answers for nearly every word. A document costs its bytes, not the
number of benchmark texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rho1bench.system.files import atomic_path

WORDS = 13
SHORTEST = 8
MAX_SHARING = 10
"""Words in a row that stand in more benchmark texts than this tell nothing."""
FEWEST_LETTERS = 24
"""So many letters and digits have words in a row at least that tell something; ``0, 1, 2, ... 12`` has 16."""

Codes = npt.NDArray[np.uint64]
_NUMBER_BITS = 22
_LETTERS = 256
_BASE = np.uint64(0x9E3779B97F4A7C15)
_FOREIGN_SIGNS = re.compile(r"[^\x00-\x7f\w]")
_WORD_BYTES = np.array([chr(byte).isalnum() or byte > 0x7F for byte in range(256)]) * np.arange(256)
"""The value of each byte that is part of a word (of lower-case UTF-8), 0 for what parts words."""
_POWERS = np.cumprod(np.full(_LETTERS, _BASE))


@dataclass(frozen=True)
class Overlap:
    """Which benchmark texts stand in one document."""

    texts: tuple[int, ...]
    """Their numbers in the index."""
    words: str
    """The first words that they share."""


class BenchmarkIndex:
    """Hashes of words in a row, each with the benchmark texts that hold it; ``size`` is the number of texts."""

    def __init__(self, codes: Codes, owners: npt.NDArray[np.int32], size: int) -> None:
        self._codes, self._owners, self.size = codes, owners, size
        self._maybe = np.zeros(2**_NUMBER_BITS, dtype=np.bool_)
        self._maybe[_places(codes)] = True

    @property
    def looked_for(self) -> set[int]:
        """Numbers of the texts that can be found: not too short, and with words of their own."""
        return set(np.unique(self._owners).tolist())

    def save(self, folder: Path) -> None:
        """Write the index into ``folder``."""
        for name, array in (("codes", self._codes), ("owners", self._owners), ("size", np.array(self.size))):
            with atomic_path(folder / f"{name}.npy") as temporary, temporary.open("wb") as handle:
                np.save(handle, array, allow_pickle=False)

    def find(self, documents: Sequence[str]) -> list[Overlap | None]:
        """Return for each document which texts stand in it; None where none does."""
        words = _Words(documents)
        hits: dict[int, set[int]] = {}
        first: dict[int, tuple[int, int]] = {}
        for length, starts, codes in words.windows():
            for place, owners in self._owners_of(codes):
                start = int(starts[place])
                number = int(words.document[start])
                hits.setdefault(number, set()).update(owners)
                first[number] = min(first.get(number, (start, length)), (start, length))
        found: list[Overlap | None] = [None] * len(documents)
        for number, texts in hits.items():
            found[number] = Overlap(tuple(sorted(texts)), words.text(*first[number]))
        return found

    def _owners_of(self, codes: Codes) -> Iterator[tuple[int, list[int]]]:
        """Yield the places of ``codes`` that are in the index, with the texts that hold them."""
        likely = np.flatnonzero(self._maybe[_places(codes)])
        left = np.searchsorted(self._codes, codes[likely], "left")
        right = np.searchsorted(self._codes, codes[likely], "right")
        for number in np.flatnonzero(right > left):
            yield int(likely[number]), self._owners[left[number] : right[number]].tolist()


def build_index(texts: Sequence[str]) -> BenchmarkIndex:
    """Return the index of ``texts``, whose numbers are their places."""
    words = _Words(texts)
    lengths = np.minimum(np.bincount(words.document, minlength=len(texts)), WORDS)
    parts = [(np.zeros(0, np.uint64), np.zeros(0, np.int32))]
    for length, starts, codes in words.windows():
        owners = words.document[starts].astype(np.int32)
        wanted = (lengths[owners] == length) & (words.letters(starts, length) >= FEWEST_LETTERS)
        parts.append((codes[wanted], owners[wanted]))
    pairs = np.unique(np.rec.fromarrays([np.concatenate(columns) for columns in zip(*parts, strict=True)]))
    codes, owners = pairs["f0"], pairs["f1"]
    _, group, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    own = sizes[group] <= MAX_SHARING
    return BenchmarkIndex(codes[own].copy(), owners[own].copy(), len(texts))


def load_index(folder: Path) -> BenchmarkIndex:
    """Return the index that a stage has written; its arrays are mapped, so processes share them."""
    codes, owners = (np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("codes", "owners"))
    return BenchmarkIndex(codes, owners, int(np.load(folder / "size.npy", allow_pickle=False)))


class _Words:
    """The words of several texts as hashes; ``document`` is the text of each."""

    def __init__(self, texts: Sequence[str]) -> None:
        plain = [_FOREIGN_SIGNS.sub(" ", text.lower()) for text in texts]
        pieces = [text.encode("utf-8", "replace") for text in plain]
        self._bytes = b"\0".join(pieces)
        values = _WORD_BYTES[np.frombuffer(self._bytes, dtype=np.uint8)].astype(np.uint64)
        inside = values > 0
        self._starts = np.flatnonzero(inside & ~np.concatenate(([False], inside[:-1])))
        ends = np.cumsum([len(piece) + 1 for piece in pieces])
        self.document = np.searchsorted(ends, self._starts, "right")
        self._hashes = self._hash(values)
        self._lengths = np.add.reduceat(inside, self._starts, dtype=np.intp) if len(self._starts) else self._starts

    def windows(self) -> Iterator[tuple[int, npt.NDArray[np.intp], Codes]]:
        """Yield for each length the first word and the hash of so many words in a row, within one text each."""
        number = len(self._hashes)
        codes = np.zeros(number, dtype=np.uint64)
        for length in range(1, min(WORDS, number) + 1):
            codes = codes[: number - length + 1] * _BASE + self._hashes[length - 1 :]
            if length >= SHORTEST:
                within = self.document[: len(codes)] == self.document[length - 1 :]
                yield length, np.flatnonzero(within), _mixed(codes[within])

    def letters(self, starts: npt.NDArray[np.intp], length: int) -> npt.NDArray[np.intp]:
        """Return how many bytes so many words in a row have from each of ``starts`` on, signs between them left out."""
        total = np.concatenate(([0], np.cumsum(self._lengths)))
        counts: npt.NDArray[np.intp] = total[starts + length] - total[starts]
        return counts

    def text(self, start: int, length: int) -> str:
        """Return words in a row as they stand in the text, without case."""
        stop = start + length
        end = int(self._starts[stop]) if stop < len(self._starts) else len(self._bytes)
        text = self._bytes[int(self._starts[start]) : end].partition(b"\0")[0].decode("utf-8", "replace")
        return " ".join(text.split())

    def _hash(self, values: Codes) -> Codes:
        if not len(self._starts):
            return np.zeros(0, dtype=np.uint64)
        first = int(self._starts[0])
        lengths = np.diff(self._starts, append=len(values))
        offsets = np.arange(first, len(values)) - np.repeat(self._starts, lengths)
        values = values[first:] * _POWERS[offsets % _LETTERS]
        return _mixed(np.add.reduceat(values, self._starts - first))


def _mixed(codes: Codes) -> Codes:
    """Spread hashes over all 64 bits (the finaliser of SplitMix64)."""
    codes = (codes ^ (codes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    codes = (codes ^ (codes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return codes ^ (codes >> np.uint64(31))


def _places(codes: Codes) -> npt.NDArray[np.intp]:
    return (codes >> np.uint64(64 - _NUMBER_BITS)).astype(np.intp)
