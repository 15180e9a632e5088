"""Equality by the paper's protocol: its rules, its generosity, and that the quick path decides as the slow one does."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strict_case_table import read_cases

from rho1bench.grading import numeric
from rho1bench.grading.numeric import clearly_different
from rho1bench.grading.paper import equality
from rho1bench.grading.paper.equality import as_number, equal, quick_equal
from rho1bench.grading.paper.normal_form import normalise
from rho1bench.grading.pool import Question, WorkerPool
from rho1bench.grading.verdict import Verdict


@pytest.mark.parametrize(
    ("pred", "gold", "same"),
    [
        ("12", "12", True),
        ("12", "13", False),
        ("1,200", "1200", True),
        ("12.0005", "12", True),
        ("12.002", "12", False),
        ("1200", "12", True),
        ("0.12", "12", True),
        ("12000", "12", False),
        ("", "12", False),
        ("", "", True),
        ("YES", "yes", True),
        ("{x}", "x", True),
        ("(1,2)", "(1,2.00001)", True),
        ("(1,2)", "(1,3)", None),
        ("[1,2]", "(1,2)", True),
        ("(1,2]", "(1,2]", True),
        ("k=5", "5", True),
        ("abc=5", "5", None),
        ("x", "y", False),
        ("x^2", "x*x", None),
        (r"\sqrt{2}", "1.5", False),
        (r"\sqrt{2}", "1.41421", None),
        ("450:Answer", "36", False),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", "3", False),
        (r"\begin{pmatrix}1\\-2\end{pmatrix}", "3", None),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\2.0\end{pmatrix}", True),
    ],
)
def test_quick_rules(pred: str, gold: str, same: bool | None) -> None:
    assert quick_equal(pred, gold) is same


@pytest.mark.parametrize(
    ("pred", "gold", "same"),
    [
        (r"\frac{1}{2}+x", r"x+\frac{2}{4}", True),
        (r"(x+1)(x-1)", "x^2-1", True),
        ("x+1", "x+2", False),
        (r"\sqrt{8}", r"2\sqrt{2}", True),
        (r"\frac{1}{3}", "0.33334", True),
        ("2*x-y=1", "y-2*x=-1", True),
        ("x=y+1", "y=x+1", False),
        (r"(\frac{1}{2},\sqrt{4})", "(0.5,2)", True),
        ("2**5", "32", False),
        ("{2,1}", "{1,2}", True),
        (r"\begin{pmatrix}\frac{1}{2}\\\sqrt{4}\end{pmatrix}", r"\begin{pmatrix}0.5\\2\end{pmatrix}", True),
        (r"\begin{pmatrix}1\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}", False),
        ("surplus", "plussur", True),
        ("ab:c", "ba:c", True),
        (r"\begin{pmatrix}2\\-14\end{pmatrix}+0", r"\begin{pmatrix}2\\-14\end{pmatrix}", True),
        ("'5'", "5", True),
        ('"x"', "x", True),
        (r"'(-\infty,0]'", r"(-\infty,0]", True),
        (r"(-\infty,0]", r"(-\infty,1]", False),
        ("'5'+'6'", "56", False),
        ("]]]", "5", False),
    ],
)
def test_algebra(pool: WorkerPool, pred: str, gold: str, same: bool) -> None:
    assert pool.ask([Question("paper", pred, gold, "math")]) == [Verdict.CORRECT if same else Verdict.INCORRECT]


def test_algebra_is_asked_only_when_strings_and_numbers_say_nothing() -> None:
    asked: list[tuple[str, str]] = []
    for pred, gold in (("5", "5"), ("5", "6"), ("", "6"), ("A", "a")):
        equal(pred, gold, lambda *pair: bool(asked.append(pair)))
    assert asked == []
    equal("x*x", "x^2", lambda *pair: bool(asked.append(pair)))
    assert asked == [("x*x", "x^2")]


@pytest.mark.parametrize(
    ("text", "number"), [("1,000", 1000.0), ("50%", 0.5), (r"50\%", 0.5), ("1e3", 1000.0), ("x", None), ("", None)]
)
def test_numbers(text: str, number: float | None) -> None:
    assert as_number(text) == number


PLAIN = st.one_of(
    st.integers(-2000, 2000).map(str),
    st.floats(-1e4, 1e4).map(lambda value: f"{value:.3f}"),
    st.sampled_from(["yes", "Yes", "no", "", "A", "(1,2)", "[1,2]", "{3}", "x=3", "50%", "1,000", "inf", "nan"]),
)


@settings(max_examples=8)
@given(st.lists(st.tuples(PLAIN, PLAIN), min_size=20, max_size=40))
def test_quick_path_agrees_with_the_worker(pool: WorkerPool, pairs: list[tuple[str, str]]) -> None:
    decided = {pair: decision for pair in pairs if (decision := quick_equal(*pair)) is not None}
    verdicts = pool.ask([Question("paper", *pair, "gsm8k") for pair in decided])
    assert [verdict is Verdict.CORRECT for verdict in verdicts] == list(decided.values())


@given(st.integers(1, 10**6), st.sampled_from([1, 100]))
def test_accepts_a_hundredfold_as_published(number: int, factor: int) -> None:
    assert quick_equal(str(number * factor), str(number)) is True


SPECIAL_WORDS = ["pi", "0", "7", "oo", "E", "-1", "dx", "2d", "1.50"]
WORDS = st.from_regex(r"-?[0-9]{0,3}[a-zA-Z]{0,6}(?:[1-9][0-9]?|0)?[a-z]{0,3}", fullmatch=True)


@settings(max_examples=6)
@given(st.lists(st.tuples(WORDS, WORDS | st.sampled_from(SPECIAL_WORDS)), min_size=25))
def test_words_are_told_apart_as_algebra_does(pool: WorkerPool, pairs: list[tuple[str, str]]) -> None:
    decided = [pair for pair in pairs if quick_equal(*pair) is False and all(pair)]
    algebra = pool.ask([Question("algebra", *pair, "math") for pair in decided])
    assert [pair for pair, verdict in zip(decided, algebra, strict=True) if verdict is Verdict.CORRECT] == []


LETTERS = ("x", "y", "a", "d", "i", "e", r"\omega ", "x_1", "x_{12}", "a_n", r"\alpha_{2}")
ATOMS = st.sampled_from([*LETTERS, "2", "3", "10", r"\pi", "0.5", "(x+1)", "(2-y)"])


def _joined(parts: tuple[str, str, str]) -> str:
    left, sign, right = parts
    return {
        "frac": rf"\frac{{{left}}}{{{right}}}",
        "root": rf"{left}\sqrt{{{right}}}",
        "function": rf"{left}\sin({right})",
        "": left + right,
    }.get(sign, left + sign + right)


FORMULAS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", r"\cdot ", "", "frac", "root", "function"]), inner).map(
            _joined
        ),
        st.tuples(inner, st.sampled_from("23")).map(lambda pair: f"({pair[0]})^{pair[1]}"),
        inner.map(lambda text: f"({text})"),
    ),
    max_leaves=5,
)


def differences(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [pair for pair in pairs if clearly_different(*pair)]


APART = st.lists(st.tuples(FORMULAS, FORMULAS), min_size=10, max_size=20).map(differences)


@settings(max_examples=2)
@given(APART)
def test_clear_differences_are_differences_to_algebra(pool: WorkerPool, apart: list[tuple[str, str]]) -> None:
    assert_different_to_algebra(pool, apart)


@pytest.mark.sweep
@settings(max_examples=60)
@given(APART)
def test_many_clear_differences_are_differences_to_algebra(pool: WorkerPool, apart: list[tuple[str, str]]) -> None:
    assert_different_to_algebra(pool, apart)


def assert_different_to_algebra(pool: WorkerPool, apart: list[tuple[str, str]]) -> None:
    for judge in ("algebra", "strict algebra"):
        algebra = pool.ask([Question(judge, *pair, "math") for pair in apart], limit=0.5)
        assert [pair for pair, verdict in zip(apart, algebra, strict=True) if verdict is Verdict.CORRECT] == []


TABLE = sorted({normalise(text) for case in read_cases() for text in (case.answer, case.gold)})
EDITS = ("", "0", "2", "x", "(", ")", "{", "}", ",", "=", "-", r"\pi", r"\sqrt", "'", ".", "^", "/", "e")


def _damaged(text: str, chance: random.Random) -> str:
    place = chance.randint(0, len(text))
    return normalise(text[:place] + chance.choice(EDITS) + text[place + chance.randint(0, 1) :])


def test_shortcuts_say_what_algebra_says(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of all kinds, whole and damaged: wherever a rule settles a pair for the algebra, the algebra agrees."""
    chance = random.Random(3)
    texts = TABLE + [_damaged(text, chance) for text in TABLE]
    asked: list[tuple[str, str]] = []
    with monkeypatch.context() as patch:
        patch.setattr(equality, "_settled", lambda pred, gold, _: bool(asked.append((pred, gold))))
        for _ in range(700):
            equal(chance.choice(texts), chance.choice(texts), lambda *_: False)
    settled = [pair for pair in dict.fromkeys(asked) if not _is_open(*pair)]
    algebra = pool.ask([Question("algebra", *pair, "math") for pair in settled], limit=1.0)
    assert [pair for pair, verdict in zip(settled, algebra, strict=True) if verdict is Verdict.CORRECT] == []
    assert len(settled) > 50


def _is_open(pred: str, gold: str) -> bool:
    return equality._settled(pred, gold, lambda *_: True)


def test_formulas_are_read_as_the_parser_reads_them() -> None:
    """Value by value: the quick reader against sympy's LaTeX parser, every letter at the same point."""
    from sympy import Symbol, pi, sympify
    from sympy.parsing.latex import parse_latex

    compared = []
    letters = {parse_latex(letter): sympify(numeric._value(letter)[0]) for letter in LETTERS} | {Symbol("pi"): pi}
    assert all(letter.is_Symbol for letter in letters)

    @settings(max_examples=100)
    @given(FORMULAS)
    def compare(formula: str) -> None:
        read = numeric._value(formula)
        assume(read is not None)
        value, scale = read
        expected = complex(parse_latex(formula).subs(letters).evalf(20))
        assert abs(expected - value) <= 1e-6 * max(scale, abs(expected)), formula
        compared.append(formula)

    compare()
    assert len(compared) > 40


@given(FORMULAS)
def test_nothing_differs_from_itself(formula: str) -> None:
    assert not clearly_different(formula, formula)
    assert not clearly_different(formula, f"({formula})")


AMBIGUOUS = [
    ("10^20+1-10^20", "1"), ("x(x+1)", "x^2+x"), ("2^{2000}", "5"), ("1/2x", "x"), ("dx", "x"), (r"d\pi", "x"),
    ("x_1(2)", "x"), ("x_1!", "x"), ("x'", "x"), ("x_1_2", "x"), ("x^2_1", "x"), (r"\alpha(2)", "x"), ("x_", "x"),
]  # fmt: skip


@pytest.mark.parametrize("pair", AMBIGUOUS)
def test_what_is_ambiguous_or_inexact_is_left_to_algebra(pair: tuple[str, str]) -> None:
    assert not clearly_different(*pair)
