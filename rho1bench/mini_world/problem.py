"""The `Problem` record of the mini world and the rule that parts training from test problems.

Every problem of every task goes through `split_of`, so a question can never stand on both sides: the side is a stable
hash of the question's own words and numbers, not of the order or seed in which it was drawn.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "test"]

# One question in five is kept for the tests.
_TEST_EVERY = 5


@dataclass(frozen=True)
class Problem:
    """One mini-world problem with its worked solution.

    `question` is the question as a prompt shows it (a table or options included); `stem` is the part that identifies it
    (no options). `solution` is the worked solution up to and including the sentence that states the answer, without a
    leading blank. `answer` is the bare answer: a number, a LaTeX fraction or, for multiple choice, a letter.
    `program` is Python source that prints the answer; `choices` are the option texts, empty where there are none.
    """

    task: str
    question: str
    solution: str
    answer: str
    program: str
    choices: tuple[str, ...] = ()
    stem: str = ""


def canonical_key(stem: str) -> str:
    """The identity of a question: its words and numbers in order, with case and white space ignored."""
    return " ".join(stem.lower().split())


def split_of(stem: str) -> Split:
    """The side on which a question lives, the same on any machine and for any seed."""
    digest = hashlib.blake2b(canonical_key(stem).encode("utf-8"), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % _TEST_EVERY == 0 else "train"
