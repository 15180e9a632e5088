"""Prompt texts of the mini math tasks in the format of the paper's protocol (appendix E and the authors' harness).

`cot_prompt` is what the evaluation sends; `cot_text` is the same text with its solution, as training documents show it.
"""

from __future__ import annotations

from collections.abc import Sequence

from rho1bench.mini_world.problem import Problem
from rho1bench.mini_world.problems import make_problems

_PROBLEM_SOLUTION_TASKS = frozenset({"math500", "mathqa", "mmlu_stem", "sat"})

# Exemplars are separated, and the question follows them, after two blank lines.
EXEMPLAR_SEPARATOR = "\n\n\n"

# A completion ends where the model starts a new question of its own.
COT_STOP: tuple[str, ...] = ("\n\nQuestion:", "\n\nProblem:")

_EXEMPLAR_SEED = 0


def question_prompt(problem: Problem) -> str:
    """The question with the protocol's labels, ready to be continued (no trailing blank)."""
    if problem.task in _PROBLEM_SOLUTION_TASKS:
        return f"Problem:\n{problem.question}\nSolution:"
    return f"Question: {problem.question}\nAnswer:"


def cot_text(problem: Problem) -> str:
    """The question with its worked solution."""
    return f"{question_prompt(problem)} {problem.solution}"


def exemplars(task: str, num_fewshot: int) -> list[Problem]:
    """The fixed worked examples of a task: the first `num_fewshot` of one seeded list from the training side."""
    return make_problems(task, "train", num_fewshot, _EXEMPLAR_SEED)


def cot_prompt(problem: Problem, shots: Sequence[Problem]) -> str:
    """The few-shot prompt: `shots` with solutions, then the question, parted by two blank lines."""
    return EXEMPLAR_SEPARATOR.join([*(cot_text(shot) for shot in shots), question_prompt(problem)])
