"""The formula families: math500 (LaTeX), mathqa, mmlu_stem and sat (multiple choice) (paper section 3.2).

Same contract as `word_problems.py`: one maker per task, one problem per call.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random

from rho1bench.mini_world.lexicon import PEOPLE, VARIABLES
from rho1bench.mini_world.problem import Problem


def _chosen(task: str, stem: str, value: int, step: str, expression: str, rng: Random, num_options: int) -> Problem:
    """A multiple-choice problem whose options are the value and near neighbours in random order."""
    near = [value + d for d in range(-4, 5) if d and value + d > 0]
    options = [value, *rng.sample(near, num_options - 1)]
    rng.shuffle(options)
    letters = "ABCDE"[:num_options]
    letter = letters[options.index(value)]
    listed = ", ".join(f"({key}) {option}" for key, option in zip(letters, options, strict=True))
    program = f'print("{letters}"[{options}.index({expression})])'
    solution = f"{step}. The answer is ({letter})."
    return Problem(task, f"{stem}\n{listed}", solution, letter, program, tuple(map(str, options)), stem)


def make_sat(rng: Random) -> Problem:
    """A linear equation with four options."""
    v = rng.choice(VARIABLES)
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    total = a + b
    stem = f"If ${v}+{a}={total}$, what is ${v}$?"
    return _chosen("sat", stem, b, f"{total}-{a}={b}", f"{total} - {a}", rng, 4)


def make_mathqa(rng: Random) -> Problem:
    """Ages and prices with five options."""
    name = rng.choice(PEOPLE)
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    stem = rng.choice(
        (
            f"{name} is {a} years old . how old in {b} years ?",
            f"{name} walks {a} km and then {b} km . how many km ?",
        )
    )
    return _chosen("mathqa", stem, a + b, f"{a}+{b}={a + b}", f"{a} + {b}", rng, 5)


def make_mmlu_stem(rng: Random) -> Problem:
    """Formulas of chemistry, physics and geometry with four options."""
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    p, q = rng.randint(2, 5), rng.randint(2, 5)
    unit = rng.choice(("cm", "mm", "m", "km"))
    plane = rng.choice(("wall", "floor", "field", "sheet", "door"))
    body = rng.choice(("cart", "block", "ball", "car", "sled", "stone", "bike", "truck", "boat", "box", "bus", "van"))
    atom = rng.choice(("atom", "ion", "isotope", "nucleus"))
    stem, step, value, expression = rng.choice(
        (
            (f"The {atom} has {a} protons and {b} neutrons. Mass number?", f"{a}+{b}={a + b}", a + b, f"{a} + {b}"),
            (f"A {body} of {p} kg speeds up by {q} m/s^2. Force?", f"{p}*{q}={p * q}", p * q, f"{p} * {q}"),
            (f"A {plane} is {p} {unit} by {q} {unit}. Area?", f"{p}*{q}={p * q}", p * q, f"{p} * {q}"),
        )
    )
    return _chosen("mmlu_stem", stem, value, step, expression, rng, 4)


def _latex(value: Fraction) -> str:
    """A number as LaTeX: an integer or a fraction in lowest terms."""
    if value.denominator == 1:
        return str(value.numerator)
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"


def _fraction_sum(rng: Random) -> tuple[str, str, Fraction, str]:
    """Two fractions of one denominator whose sum is in lowest terms and below 1."""
    while True:
        a, b, d = rng.randint(1, 6), rng.randint(1, 6), rng.randint(3, 9)
        value = Fraction(a + b, d)
        if value < 1 and value.denominator == d:
            break
    program = f"from fractions import Fraction\nprint(Fraction({a}, {d}) + Fraction({b}, {d}))"
    return f"\\frac{{{a}}}{{{d}}}+\\frac{{{b}}}{{{d}}}", f"{a}+{b}={a + b}", value, program


def make_math500(rng: Random) -> Problem:
    """LaTeX questions with a LaTeX answer."""
    verb = rng.choice(("Find", "Compute", "Evaluate", "Calculate", "What is"))
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    p, q, c = rng.randint(2, 5), rng.randint(2, 5), rng.randint(2, 9)
    formula, steps, value, program = rng.choice(
        (
            (f"{a}+{b}", f"{a}+{b}={a + b}", Fraction(a + b), f"print({a} + {b})"),
            (f"{a + b}-{b}", f"{a + b}-{b}={a}", Fraction(a), f"print({a + b} - {b})"),
            (f"{p} \\cdot {q}", f"{p}*{q}={p * q}", Fraction(p * q), f"print({p} * {q})"),
            (
                f"{p} \\cdot {q}+{c}", f"{p}*{q}={p * q}. {p * q}+{c}={p * q + c}",
                Fraction(p * q + c), f"print({p} * {q} + {c})",
            ),
            _fraction_sum(rng),
        )
    )  # fmt: skip
    answer = _latex(value)
    question = f"{verb} ${formula}$."
    solution = f"{steps}. Final Answer: The final answer is ${answer}$. I hope it is correct."
    return Problem("math500", question, solution, answer, program, stem=question)
