"""Which test questions stand in a text: 13 words in a row, as GPT-3's report counts (arXiv 2005.14165, appendix C).

A question of 8 to 12 words counts as a whole; a shorter one where it stands letter by letter, signs included.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

WORDS = 13
SHORTEST = 8
AT_ONCE = 200
BETWEEN = " endoftext13 "
"""A word that no question has, so that no words in a row reach from one text into the next."""
_BASE = np.uint64(0x9E3779B97F4A7C15)


class QuestionIndex:
    """Test questions, to be looked for in many texts."""

    def __init__(self, questions: Sequence[str]) -> None:
        self.questions = questions
        self._codes: dict[str, int] = {}
        self._by_length: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        self._short: dict[str, set[int]] = defaultdict(set)
        for number, question in enumerate(questions):
            length = min(WORDS, len(_words(question)))
            if length < SHORTEST:
                self._short[_plain(question)].add(number)
                continue
            for code in self._windows(question, length):
                self._by_length[length][int(code)].add(number)
        self._sorted = {
            length: np.sort(np.array(list(codes), dtype=np.uint64)) for length, codes in self._by_length.items()
        }

    def found_in(self, texts: Iterable[str]) -> set[int]:
        """Return the numbers of the questions that stand in one of ``texts``."""
        found: set[int] = set()
        remaining = iter(texts)
        while texts_at_once := list(islice(remaining, AT_ONCE)):
            found |= self._found_in(BETWEEN.join(texts_at_once))
        return found

    def _found_in(self, text: str) -> set[int]:
        found: set[int] = set()
        for length, wanted in self._sorted.items():
            codes = self._windows(text, length)
            places = np.minimum(np.searchsorted(wanted, codes), len(wanted) - 1)
            for code in codes[wanted[places] == codes]:
                found |= self._by_length[length][int(code)]
        plain = _plain(text) if self._short else ""
        return found | {number for short, numbers in self._short.items() if short in plain for number in numbers}

    def _windows(self, text: str, length: int) -> npt.NDArray[np.uint64]:
        """Return a hash of every ``length`` words in a row."""
        words = np.array([self._code(word) for word in _words(text)], dtype=np.uint64)
        number = max(len(words) - length + 1, 0)
        codes = np.zeros(number, dtype=np.uint64)
        for place in range(length):
            codes = codes * _BASE + words[place : place + number]
        return codes

    def _code(self, word: str) -> int:
        if word not in self._codes:
            self._codes[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
        return self._codes[word]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
