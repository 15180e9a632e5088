"""What part of the tested world the curated text shows: kinds of problems, numbers and wordings.

`documents.py` draws the problems of curated documents through `Coverage`; web pages always show the whole world, so
what the curated text lacks stands in the web text alone. The parts are fixed, whatever the seed, and nested: all that
a smaller share covers, a larger one covers too. Train and test sides are not touched by it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

from rho1bench.mini_world.problem import Problem
from rho1bench.mini_world.problems import MATH_TASKS, any_problem, draw_problem

_SAMPLE = 2_000
"""Problems of a task among which a problem is ranked."""
_PATIENCE = 20_000
"""Draws without a covered problem after which there is none."""

Key = tuple[int, tuple[int, ...]]
"""What problems of a task are ordered by: the smallest are covered first."""


@dataclass(frozen=True)
class Coverage:
    """Shares in (0, 1], 1 for everything; a problem is covered where all three cover it.

    tasks: of the nine tested kinds of problems, to the nearest whole kind and at least one.
    operands: of each task's problems, those with the smallest numbers (by the largest number of the question).
    phrasings: of each task's problems, by their wording: the question without its numbers. Names, things and other
    words that not every question of the task has stand in one fixed order, and a wording counts by its last word in
    it, so a smaller share means fewer words.

    Raises ValueError for shares outside (0, 1].
    """

    tasks: float = 1.0
    operands: float = 1.0
    phrasings: float = 1.0

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0.0 < share <= 1.0:
                raise ValueError(f"coverage.{name} must be in (0, 1], got {share}")

    @property
    def covered_tasks(self) -> tuple[str, ...]:
        """The kinds of problems that are covered, in the order of `MATH_TASKS`."""
        number = max(1, math.floor(self.tasks * len(MATH_TASKS) + 0.5))
        covered = sorted(MATH_TASKS, key=_hash)[:number]
        return tuple(task for task in MATH_TASKS if task in covered)

    def covers(self, problem: Problem) -> bool:
        """Whether the curated text may show `problem`, one of `MATH_TASKS`."""
        return (
            problem.task in self.covered_tasks
            and _is_among_first(problem, self.operands, _operands_key)
            and _is_among_first(problem, self.phrasings, _phrasing_key)
        )

    def draw(self, task: str, rng: Random) -> Problem:
        """A covered train-side problem of a covered task; raises ValueError if there is none."""
        for _ in range(_PATIENCE):
            problem = draw_problem(task, "train", rng)
            if self.covers(problem):
                return problem
        raise ValueError(f"{task}: no problem is covered by {self}; raise its shares")


EVERYTHING = Coverage()


def _is_among_first(problem: Problem, share: float, key: Callable[[Problem], Key]) -> bool:
    return share >= 1.0 or key(problem) <= _last_key(problem.task, share, key)


@cache
def _last_key(task: str, share: float, key: Callable[[Problem], Key]) -> Key:
    """The key up to which the share of the task's problems lies."""
    keys = sorted(key(problem) for problem in _sample(task))
    return keys[max(0, math.ceil(share * len(keys)) - 1)]


def _operands_key(problem: Problem) -> Key:
    numbers = tuple(int(digits) for digits in re.findall(r"\d+", problem.stem))
    return max(numbers), numbers


def _phrasing_key(problem: Problem) -> Key:
    words = _words(problem) - _common_words(problem.task)
    wording = re.sub(r"\d+", "#", problem.stem)
    return max(map(_hash, words), default=0), (_hash(wording),)


def _words(problem: Problem) -> set[str]:
    return set(re.findall(r"[a-z]+", problem.stem.lower()))


@cache
def _common_words(task: str) -> set[str]:
    """The words that every question of the task has."""
    return set.intersection(*map(_words, _sample(task)))


@cache
def _sample(task: str) -> tuple[Problem, ...]:
    rng = Random(f"coverage/{task}")
    return tuple(any_problem(task, rng) for _ in range(_SAMPLE))


@cache
def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "big")
