"""The word-problem families: gsm8k, svamp, asdiv, mawps, tabmwp and gsm_hard (paper section 3.2).

Each maker draws one problem from a `random.Random`; `problems.py` registers them and sorts them into train and test.
Questions are short, operands are small, and every solution shows its arithmetic as `a+b=c`, so that a very small model
can learn them in a few hundred steps.
"""

from __future__ import annotations

from random import Random

from rho1bench.mini_world.lexicon import PEOPLE, THINGS
from rho1bench.mini_world.problem import Problem


def _built(task: str, question: str, steps: str, answer: object, expression: str) -> Problem:
    """A free-answer problem; `expression` is the Python expression that computes the answer."""
    solution = f"{steps} The answer is {answer}."
    return Problem(task, question, solution, str(answer), f"print({expression})", stem=question)


def _larger_smaller(rng: Random) -> tuple[int, int]:
    """Two numbers a > b, b from 2 to 9, whose difference is 1 to 8."""
    small = rng.randint(2, 9)
    return small + rng.randint(1, 8), small


def make_gsm8k(rng: Random) -> Problem:
    """Two steps: something is added, then something is taken away."""
    name, things = rng.choice(PEOPLE), rng.choice(THINGS)
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    total = a + b
    c = rng.randint(1, min(9, total - 1))
    question = f"{name} has {a} {things}. {name} gets {b} more and loses {c}. How many {things} now?"
    steps = f"{a}+{b}={total}. {total}-{c}={total - c}."
    return _built("gsm8k", question, steps, total - c, f"{a} + {b} - {c}")


def make_svamp(rng: Random) -> Problem:
    """Two owners compared."""
    (name, other), things = rng.sample(PEOPLE, 2), rng.choice(THINGS)
    a, b = _larger_smaller(rng)
    question = f"{name} has {a} {things}. {other} has {b} {things}. How many more {things} has {name}?"
    return _built("svamp", question, f"{a}-{b}={a - b}.", a - b, f"{a} - {b}")


def make_asdiv(rng: Random) -> Problem:
    """Equal groups."""
    name, things = rng.choice(PEOPLE), rng.choice(THINGS)
    groups, each = rng.randint(2, 5), rng.randint(2, 5)
    holders = rng.choice(("bags", "boxes"))
    question = f"{name} has {groups} {holders} of {each} {things}. How many {things} in all?"
    return _built("asdiv", question, f"{groups}*{each}={groups * each}.", groups * each, f"{groups} * {each}")


def make_mawps(rng: Random) -> Problem:
    """One step: two heaps come together."""
    (name, other), things = rng.sample(PEOPLE, 2), rng.choice(THINGS)
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    question = f"{name} had {a} {things}. {other} gave {name} {b} {things}. How many {things} in all?"
    return _built("mawps", question, f"{a}+{b}={a + b}.", a + b, f"{a} + {b}")


def make_tabmwp(rng: Random) -> Problem:
    """A table of two rows: their sum, or (with options) whose number is larger."""
    (name, other), things = rng.sample(PEOPLE, 2), rng.choice(THINGS)
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    table = f"Name | {things}\n{name} | {a}\n{other} | {b}"
    if rng.random() < 0.3 and a != b:
        stem = f"{table}\nWho has more {things}?"
        winner, sign = (name, ">") if a > b else (other, "<")
        question = f"{stem} Options: A) {name} B) {other}"
        program = f'print("{name}" if {a} > {b} else "{other}")'
        solution = f"{a}{sign}{b}. The answer is {winner}."
        return Problem("tabmwp", question, solution, winner, program, (name, other), stem)
    return _built("tabmwp", f"{table}\nHow many {things} in all?", f"{a}+{b}={a + b}.", a + b, f"{a} + {b}")


def make_gsm_hard(rng: Random) -> Problem:
    """A gsm8k story with numbers too large for the head; meant for the tool-integrated suite."""
    name, things = rng.choice(PEOPLE), rng.choice(THINGS)
    a, b = rng.randint(100, 999), rng.randint(100, 999)
    total = a + b
    c = rng.randint(11, 99)
    question = f"{name} has {a} {things}. {name} gets {b} more and loses {c}. How many {things} now?"
    steps = f"{a}+{b}={total}. {total}-{c}={total - c}."
    return _built("gsm_hard", question, steps, total - c, f"{a} + {b} - {c}")
