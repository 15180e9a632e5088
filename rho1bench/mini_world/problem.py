"""The `Problem` record of the mini world, its split, and the prompts that show it (appendix E, the authors' harness).

Every problem of every task goes through `split_of`, so a question can never be in both splits: the split is a stable
hash of the question's own words and numbers, not of the order or seed in which it was drawn. `cot_prompt` is what the
evaluation sends; `cot_text` is the same text with its solution, as training documents show it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "test"]

# One question in five is kept for the tests.
_TEST_EVERY = 5

_PROBLEM_SOLUTION_TASKS = frozenset({"math500", "mathqa", "mmlu_stem", "sat"})

# Exemplars are separated, and the question follows them, after two blank lines.
EXEMPLAR_SEPARATOR = "\n\n\n"

# A completion ends where the model starts a new question of its own.
COT_STOP: tuple[str, ...] = ("\n\nQuestion:", "\n\nProblem:")


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
    """The split of a question, the same on any machine and for any seed."""
    digest = hashlib.blake2b(canonical_key(stem).encode("utf-8"), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % _TEST_EVERY == 0 else "train"


def question_prompt(problem: Problem) -> str:
    """The question with the protocol's labels, ready to be continued (no trailing blank)."""
    if problem.task in _PROBLEM_SOLUTION_TASKS:
        return f"Problem:\n{problem.question}\nSolution:"
    return f"Question: {problem.question}\nAnswer:"


def cot_text(problem: Problem) -> str:
    """The question with its worked solution."""
    return f"{question_prompt(problem)} {problem.solution}"


def cot_prompt(problem: Problem, shots: Sequence[Problem]) -> str:
    """The few-shot prompt: `shots` with solutions, then the question, after two blank lines."""
    return EXEMPLAR_SEPARATOR.join([*(cot_text(shot) for shot in shots), question_prompt(problem)])
