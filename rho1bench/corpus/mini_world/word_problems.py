"""The word-problem families: gsm8k, svamp, asdiv, mawps, tabmwp and gsm_hard (paper section 3.2).

Each maker draws one problem from a `random.Random`; `problems.py` registers them and sorts them into train and test.
Operands are small and every solution shows its arithmetic as `a + b = c`, so that a very small model can learn it.
"""

from __future__ import annotations

from random import Random

from rho1bench.corpus.mini_world.lexicon import DAYS, HOLDERS, PEOPLE, THINGS
from rho1bench.corpus.mini_world.problem import Problem


def _built(task: str, question: str, steps: str, answer: object, expression: str) -> Problem:
    """A free-answer problem; `expression` is the Python expression that computes the answer."""
    solution = f"{steps} The answer is {answer}."
    return Problem(task, question, solution, str(answer), f"print({expression})", stem=question)


def _larger_smaller(rng: Random) -> tuple[int, int]:
    """Two numbers a > b, both of one digit."""
    small = rng.randint(1, 7)
    return rng.randint(small + 1, 9), small


def make_mawps(rng: Random) -> Problem:
    """One step of adding or subtracting, told in a line."""
    (name, pronoun), (other, _) = rng.sample(PEOPLE, 2)
    things, _ = rng.choice(THINGS)
    he = pronoun.capitalize()
    if rng.random() < 0.5:
        a, b = rng.randint(2, 9), rng.randint(2, 9)
        event = rng.choice((f"{other} gave {name} {b} more {things}", f"{he} found {b} more {things}"))
        question = f"{name} had {a} {things}. {event}. How many {things} does {name} have now?"
        return _built("mawps", question, f"{a} + {b} = {a + b}.", a + b, f"{a} + {b}")
    a, b = _larger_smaller(rng)
    event = rng.choice((f"{he} gave {b} {things} to {other}", f"{he} lost {b} {things}"))
    question = f"{name} had {a} {things}. {event}. How many {things} does {name} have now?"
    return _built("mawps", question, f"{a} - {b} = {a - b}.", a - b, f"{a} - {b}")


def make_svamp(rng: Random) -> Problem:
    """One step with a number that plays no part, as in SVAMP."""
    (name, _), (other, _) = rng.sample(PEOPLE, 2)
    (things, _), (extra, _) = rng.sample(THINGS, 2)
    idle = rng.randint(2, 9)
    if rng.random() < 0.5:
        a, b = rng.randint(2, 9), rng.randint(2, 9)
        parts = [f"{name} has {a} {things}", f"{other} has {b} {things}"]
        ask, op, value = f"How many {things} do they have together", "+", a + b
    else:
        a, b = _larger_smaller(rng)
        parts = [f"{name} has {a} {things}", f"{other} has {b} {things}"]
        ask, op, value = f"How many more {things} does {name} have than {other}", "-", a - b
    parts.insert(rng.randint(0, 2), f"There are {idle} {extra}")
    question = f"{'. '.join(parts)}. {ask}?"
    return _built("svamp", question, f"{a} {op} {b} = {value}.", value, f"{a} {op} {b}")


def make_asdiv(rng: Random) -> Problem:
    """Equal groups: how many in all, or how many in each."""
    name, _ = rng.choice(PEOPLE)
    things, thing = rng.choice(THINGS)
    holders, holder = rng.choice(HOLDERS)
    groups, each = rng.randint(2, 4), rng.randint(2, 6)
    total = groups * each
    if rng.random() < 0.5:
        question = rng.choice(
            (
                f"{name} has {groups} {holders} of {each} {things}. How many {things} is that?",
                f"One {holder} holds {each} {things}. How many {things} do {groups} {holders} hold?",
                f"Each {thing} costs {each} dollars. How many dollars does {name} pay for {groups} {things}?",
            )
        )
        return _built("asdiv", question, f"{groups} * {each} = {total}.", total, f"{groups} * {each}")
    question = rng.choice(
        (
            f"{name} puts {total} {things} into {groups} {holders} of equal size. How many {things} go in each {holder}?",
            f"{groups} children share {total} {things}. How many {things} does each child get?",
        )
    )
    return _built("asdiv", question, f"{total} / {groups} = {each}.", each, f"{total} // {groups}")


def make_gsm8k(rng: Random) -> Problem:
    """Two steps: a sum or a product first, then something is added or taken away."""
    name, pronoun = rng.choice(PEOPLE)
    things, _ = rng.choice(THINGS)
    a, b = (rng.randint(2, 9), rng.randint(2, 9)) if rng.random() < 0.5 else (0, 0)
    if a:
        op, first = "+", a + b
        day, later = rng.sample(DAYS, 2)
        start = f"{name} got {a} {things} on {day} and {b} on {later}."
    else:
        a, b = rng.randint(2, 4), rng.randint(2, 6)
        op, first = "*", a * b
        holders, _ = rng.choice(HOLDERS)
        start = f"{name} has {a} {holders} of {b} {things}."
    return _second_step(
        "gsm8k", rng, start, pronoun, f"{things} does {name}", (a, op, b, first), (1, min(9, first - 1))
    )


def make_gsm_hard(rng: Random) -> Problem:
    """A gsm8k story with numbers too large for the head; meant for the tool-integrated suite."""
    name, pronoun = rng.choice(PEOPLE)
    things, _ = rng.choice(THINGS)
    holders, _ = rng.choice(HOLDERS)
    a, b = rng.randint(12, 999), rng.randint(12, 99)
    start = f"{name} has {a} {holders} of {b} {things}."
    return _second_step("gsm_hard", rng, start, pronoun, f"{things} does {name}", (a, "*", b, a * b), (100, 999))


def _second_step(
    task: str,
    rng: Random,
    start: str,
    pronoun: str,
    what: str,
    step: tuple[int, str, int, int],
    bounds: tuple[int, int],
) -> Problem:
    """Adds the second event, by a number within `bounds`, to a story whose first step is a op b = first."""
    a, op, b, first = step
    c = rng.randint(*bounds)
    if rng.random() < 0.5:
        sign, event, final = "-", f"loses {c}", first - c
    else:
        sign, event, final = "+", f"finds {c} more", first + c
    question = f"{start} {pronoun.capitalize()} {event}. How many {what} have now?"
    steps = f"{a} {op} {b} = {first}. {first} {sign} {c} = {final}."
    return _built(task, question, steps, final, f"{a} {op} {b} {sign} {c}")


def make_tabmwp(rng: Random) -> Problem:
    """A small table in text; two rows are added or compared, some questions with options."""
    things, _ = rng.choice(THINGS)
    rows = [(name, rng.randint(2, 9)) for name, _ in rng.sample(PEOPLE, 3)]
    head = f'Read the following table regarding "{things.capitalize()}" and then answer a question.'
    table = "\n".join([f"Name | {things.capitalize()}", *(f"{name} | {value}" for name, value in rows)])
    (n1, a), (n2, b) = rng.sample(rows, 2)
    kind = rng.choice(("sum", "gap", "who"))
    if kind == "who" and a != b:
        ask = f"Who has more {things}, {n1} or {n2}?"
        winner = n1 if a > b else n2
        question = f"{head}\n\n{table}\n\n{ask} Please select from the following options: A) {n1} B) {n2}"
        steps = f"{n1} has {a}. {n2} has {b}. The answer is {winner}."
        program = f'print("{n1}" if {a} > {b} else "{n2}")'
        return Problem("tabmwp", question, steps, winner, program, (n1, n2), f"{head}\n\n{table}\n\n{ask}")
    if kind == "gap" and a > b:
        ask, op, value = f"How many more {things} does {n1} have than {n2}?", "-", a - b
    else:
        ask, op, value = f"How many {things} do {n1} and {n2} have?", "+", a + b
    question = f"{head}\n\n{table}\n\n{ask}"
    steps = f"{n1} has {a}. {n2} has {b}. {a} {op} {b} = {value}."
    return _built("tabmwp", question, steps, value, f"{a} {op} {b}")
