"""Draws the mini world's problems: nine math tasks plus gsm_hard, each split into train and test by its own words.

Feeds `documents.py` and `sft.py` (train side only) and the evaluation suites (test side). Pure Python and seeded: the
same arguments give the same list on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from rho1bench.mini_world import symbolic_problems as symbolic
from rho1bench.mini_world import word_problems as word
from rho1bench.mini_world.problem import Problem, Split, canonical_key, split_of

_MAKERS: dict[str, Callable[[Random], Problem]] = {
    "gsm8k": word.make_gsm8k,
    "math500": symbolic.make_math500,
    "svamp": word.make_svamp,
    "asdiv": word.make_asdiv,
    "mawps": word.make_mawps,
    "tabmwp": word.make_tabmwp,
    "mathqa": symbolic.make_mathqa,
    "mmlu_stem": symbolic.make_mmlu_stem,
    "sat": symbolic.make_sat,
    "gsm_hard": word.make_gsm_hard,
}

MATH_TASKS: tuple[str, ...] = tuple(task for task in _MAKERS if task != "gsm_hard")
TOOL_TASKS: tuple[str, ...] = ("gsm8k", "math500", "svamp", "asdiv", "mawps", "tabmwp", "gsm_hard")

# Draws without a new question after which a family counts as exhausted.
_PATIENCE = 20_000

_EXEMPLAR_SEED = 0


def any_problem(task: str, rng: Random) -> Problem:
    """One problem of `task`, of either side. Raises ValueError for an unknown task."""
    return _maker(task)(rng)


def draw_problem(task: str, split: Split, rng: Random) -> Problem:
    """One problem of `task` on the given side. Raises ValueError for an unknown task."""
    while True:
        problem = any_problem(task, rng)
        if split_of(problem.stem) == split:
            return problem


def make_problems(task: str, split: Split, num: int, seed: int) -> list[Problem]:
    """`num` problems of `task` with distinct questions, in a fixed random order.

    Raises ValueError if the task is unknown, `num` is negative, or the family has fewer than `num` questions there.
    """
    if num < 0:
        raise ValueError(f"num must be >= 0, got {num}")
    rng = Random(f"problems/{task}/{split}/{seed}")
    return list(_distinct(task, split, num, rng))


def exemplars(task: str, num_fewshot: int) -> list[Problem]:
    """The fixed worked examples of a task: the first `num_fewshot` of one seeded list from the training side."""
    return make_problems(task, "train", num_fewshot, _EXEMPLAR_SEED)


def _distinct(task: str, split: Split, num: int, rng: Random) -> Iterator[Problem]:
    seen: set[str] = set()
    misses = 0
    while len(seen) < num:
        problem = draw_problem(task, split, rng)
        key = canonical_key(problem.stem)
        if key in seen:
            misses += 1
            if misses > _PATIENCE:
                raise ValueError(f"{task}: fewer than {num} distinct {split} questions (found {len(seen)})")
            continue
        misses = 0
        seen.add(key)
        yield problem


def _maker(task: str) -> Callable[[Random], Problem]:
    if task not in _MAKERS:
        raise ValueError(f"unknown mini-world task {task!r}; expected one of {', '.join(_MAKERS)}")
    return _MAKERS[task]
