"""The formula families: math500 (LaTeX), mathqa, mmlu_stem and sat (multiple choice) (paper section 3.2).

Same contract as `word_problems.py`: one maker per task, one problem per call.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random

from rho1bench.corpus.mini_world.lexicon import PEOPLE, VARIABLES
from rho1bench.corpus.mini_world.problem import Problem

# The sentence that the math protocol puts before the options of a multiple-choice question.
CHOICE_SENTENCE = "What of the following is the right choice? Explain your answer."


def _chosen(task: str, stem: str, value: int, steps: str, expression: str, rng: Random, num: int) -> Problem:
    """A multiple-choice problem whose options are the value and its near neighbours in random order."""
    near = [value + d for d in (-4, -3, -2, -1, 1, 2, 3, 4, 5, 6) if value + d > 0]
    options = [value, *rng.sample(near, num - 1)]
    rng.shuffle(options)
    letters = "ABCDE"[:num]
    letter = letters[options.index(value)]
    listed = ", ".join(f"({key}) {option}" for key, option in zip(letters, options, strict=True))
    question = f"{stem}\n{CHOICE_SENTENCE}\n{listed}"
    program = f'print("{letters}"[{options}.index({expression})])'
    solution = f"{steps} The answer is ({letter})."
    return Problem(task, question, solution, letter, program, tuple(map(str, options)), stem)


def _plus(rng: Random) -> tuple[int, int, int]:
    """a, b and a + b, operands 1 to 9."""
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    return a, b, a + b


def _times(rng: Random) -> tuple[int, int, int]:
    """a, b and a * b, a from 2 to 4 and b from 2 to 6."""
    a, b = rng.randint(2, 4), rng.randint(2, 6)
    return a, b, a * b


def make_sat(rng: Random) -> Problem:
    """Small algebra with four options."""
    v = rng.choice(VARIABLES)
    a, b, total = _plus(rng)
    p, q, product = _times(rng)
    f = rng.choice("fgh")
    stem, steps, value, expression = rng.choice(
        (
            (f"If ${v} + {a} = {total}$, what is the value of ${v}$?", f"{total} - {a} = {b}.", b, f"{total} - {a}"),
            (f"If ${v} - {a} = {b}$, what is the value of ${v}$?", f"{b} + {a} = {total}.", total, f"{b} + {a}"),
            (
                f"If ${p}{v} = {product}$, what is the value of ${v}$?",
                f"{product} / {p} = {q}.",
                q,
                f"{product} // {p}",
            ),
            (f"If ${f}({v}) = {v} + {a}$, what is ${f}({b})$?", f"{b} + {a} = {total}.", total, f"{b} + {a}"),
            (f"If ${f}({v}) = {p}{v}$, what is ${f}({q})$?", f"{p} * {q} = {product}.", product, f"{p} * {q}"),
        )
    )
    return _chosen("sat", stem, value, steps, expression, rng, 4)


def make_mathqa(rng: Random) -> Problem:
    """Rates, prices and ages with five options."""
    name, _ = rng.choice(PEOPLE)
    other, _ = rng.choice([person for person in PEOPLE if person[0] != name])
    a, b, total = _plus(rng)
    p, q, product = _times(rng)
    stem, steps, value, expression = rng.choice(
        (
            (
                f"{name} walks at {q} km per hour for {p} hours. How many km does {name} walk ?",
                f"{p} * {q} = {product}.", product, f"{p} * {q}",
            ),
            (
                f"a train goes {product} km in {p} hours. find its speed in km per hour for {name} .",
                f"{product} / {p} = {q}.", q, f"{product} // {p}",
            ),
            (
                f"{name} is {a} years old. {other} is {b} years older. how old is {other} ?",
                f"{a} + {b} = {total}.", total, f"{a} + {b}",
            ),
            (
                f"{name} and {other} are {total} years old together. {name} is {a} . how old is {other} ?",
                f"{total} - {a} = {b}.", b, f"{total} - {a}",
            ),
        )
    )  # fmt: skip
    return _chosen("mathqa", stem, value, steps, expression, rng, 5)


def make_mmlu_stem(rng: Random) -> Problem:
    """Physics, geometry, chemistry and computing formulas with four options."""
    a, b, total = _plus(rng)
    p, q, product = _times(rng)
    unit = rng.choice(("cm", "m", "mm", "km", "inches", "feet"))
    body = rng.choice(("cart", "block", "ball", "car", "sled", "stone", "crate", "disk"))
    part = rng.choice(("resistor", "wire", "lamp", "heater", "coil", "motor", "diode", "bulb"))
    atom = rng.choice(("atom", "nucleus", "isotope", "ion"))
    stem, steps, value, expression = rng.choice(
        (
            (
                f"A {body} of mass {q} kg has an acceleration of {p} m/s^2. What is the force in N?",
                f"{p} * {q} = {product}.", product, f"{p} * {q}",
            ),
            (
                f"The voltage at a {part} of {p} ohm is {product} V. What is the current in A?",
                f"{product} / {p} = {q}.", q, f"{product} // {p}",
            ),
            (
                f"A rectangle is {q} {unit} long and {p} {unit} wide. What is its area?",
                f"{p} * {q} = {product}.", product, f"{p} * {q}",
            ),
            (
                f"An {atom} has {a} protons and {b} neutrons. What is its mass number?".replace("An n", "A n"),
                f"{a} + {b} = {total}.", total, f"{a} + {b}",
            ),
            (
                f"A set of {total} {body}s has {a} red ones. How many are not red?",
                f"{total} - {a} = {b}.", b, f"{total} - {a}",
            ),
        )
    )  # fmt: skip
    return _chosen("mmlu_stem", stem, value, steps, expression, rng, 4)


def _latex(value: Fraction) -> str:
    """A number as LaTeX: an integer or a proper fraction in lowest terms."""
    if value.denominator == 1:
        return str(value.numerator)
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"


def make_math500(rng: Random) -> Problem:
    """LaTeX questions with a boxed LaTeX answer."""
    v = rng.choice(VARIABLES)
    verb = rng.choice(("Compute", "Evaluate", "Find", "Calculate"))
    a, b, total = _plus(rng)
    p, q, product = _times(rng)
    c = rng.randint(2, 9)
    top, bottom = rng.randint(1, 5), rng.randint(2, 6)
    bottom += top
    scale = rng.randint(2, 3)
    proper = Fraction(top, bottom)
    stem, steps, value, program = rng.choice(
        (
            (f"{verb} ${a} + {b}$.", f"${a} + {b} = {total}$", Fraction(total), f"print({a} + {b})"),
            (f"{verb} ${p} \\cdot {q}$.", f"${p} * {q} = {product}$", Fraction(product), f"print({p} * {q})"),
            (
                f"{verb} ${p} \\cdot {q} + {c}$.", f"${p} * {q} = {product}$ and ${product} + {c} = {product + c}$",
                Fraction(product + c), f"print({p} * {q} + {c})",
            ),
            (f"{verb} $\\frac{{{product}}}{{{p}}}$.", f"${product} / {p} = {q}$", Fraction(q), f"print({product} // {p})"),
            (
                f"Solve ${v} + {a} = {total}$ for ${v}$.", f"${v} = {total} - {a} = {b}$",
                Fraction(b), f"print({total} - {a})",
            ),
            (
                f"Solve ${p}{v} = {product}$ for ${v}$.", f"${v} = {product} / {p} = {q}$",
                Fraction(q), f"print({product} // {p})",
            ),
            (
                f"{verb} $\\frac{{{top}}}{{{bottom}}} \\cdot \\frac{{{scale}}}{{{scale}}}$ in lowest terms.",
                f"$\\frac{{{scale}}}{{{scale}}}=1$", proper,
                f"from fractions import Fraction\nprint(Fraction({top}, {bottom}))",
            ),
        )
    )  # fmt: skip
    answer = _latex(value)
    solution = (
        f"{steps}, so we get $\\boxed{{{answer}}}$. Final Answer: The final answer is ${answer}$. I hope it is correct."
    )
    return Problem("math500", stem, solution, answer, program, stem=stem)
