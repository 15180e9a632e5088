"""Which test questions stand in a text: words in a row as corpus stages look for them, very short ones as a whole.

A question of fewer than 8 words, which corpus stages do not look for, counts here where it stands letter by letter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice

from rho1bench.corpus.overlap import build_index

AT_ONCE = 200


class QuestionIndex:
    """Test questions, to be looked for in many texts."""

    def __init__(self, questions: Sequence[str]) -> None:
        self.questions = questions
        self._index = build_index(questions)
        self._short: dict[str, set[int]] = defaultdict(set)
        for number, question in enumerate(questions):
            if number not in self._index.looked_for:
                self._short[_plain(question)].add(number)

    def found_in(self, texts: Iterable[str]) -> set[int]:
        """Return the numbers of the questions that stand in one of ``texts``."""
        found: set[int] = set()
        remaining = iter(texts)
        while texts_at_once := list(islice(remaining, AT_ONCE)):
            for overlap in self._index.find(texts_at_once):
                found |= set(overlap.texts) if overlap else set()
            plain = "\n".join(map(_plain, texts_at_once)) if self._short else ""
            found |= {number for short, numbers in self._short.items() if short in plain for number in numbers}
        return found


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
