"""The strict verdict: the case table, how spans are found, and the properties that hold for all answers."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strict_case_table import Case, Judge, read_cases

from rho1bench.grading.pool import Question
from rho1bench.grading.strict.equality import quick_verify
from rho1bench.grading.strict.extraction import answer_span
from rho1bench.grading.strict.normal_form import tidy
from rho1bench.grading.strict.quantity import read_quantity
from rho1bench.grading.verdict import Verdict

CASES = read_cases()
ASYMMETRIC: set[tuple[str, str]] = set()
"""Pairs whose verdict depends on which side is gold; none known. Add one only with its reason."""


def judge(judged: Judge, pairs: list[tuple[str, str]]) -> list[Verdict]:
    return judged([Question("verified", answer, gold, "math") for answer, gold in pairs])


@pytest.fixture(scope="module")
def verdicts(judged: Judge) -> dict[tuple[str, str], Verdict]:
    pairs = [pair for case in CASES for pair in ((case.answer, case.gold), (case.gold, case.answer))]
    return dict(zip(pairs, judge(judged, pairs), strict=True))


def test_the_table_is_large_and_every_case_has_a_source() -> None:
    assert len(CASES) >= 400
    assert all(case.source for case in CASES)
    assert len({(case.answer, case.gold) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.answer} | {case.gold}")
def test_table(case: Case, verdicts: dict[tuple[str, str], Verdict]) -> None:
    expected = Verdict.CORRECT if case.same else Verdict.INCORRECT
    assert verdicts[case.answer, case.gold] is expected, case.source


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.answer} | {case.gold}")
def test_table_is_symmetric(case: Case, verdicts: dict[tuple[str, str], Verdict]) -> None:
    symmetric = verdicts[case.gold, case.answer] is verdicts[case.answer, case.gold]
    assert symmetric is ((case.answer, case.gold) not in ASYMMETRIC)


def test_quick_path_agrees_with_the_worker(verdicts: dict[tuple[str, str], Verdict]) -> None:
    decided = {pair: quick_verify(*pair, "math") for pair in verdicts}
    wrong = [p for p, right in decided.items() if right is not None and right != (verdicts[p] is Verdict.CORRECT)]
    assert wrong == []
    assert sum(right is not None for right in decided.values()) > len(decided) // 2


def _spread(text: str) -> str:
    return re.sub(r"(?<![\\A-Za-z])([-+=,()&^_])", r" \1 ", text)


def _sized(text: str) -> str:
    return re.sub(
        r"(?<!\\)(?<!left)(?<!right)([()\[\]])", lambda m: (r"\left" if m[1] in "([" else r"\right") + m[1], text
    )


def _zeros(text: str) -> str:
    return re.sub(r"(?<![\d.])(\d+\.\d+)(?![\d.])", r"\g<1>00", text)


FORMULAS = [
    case for case in CASES if "\\left" not in case.answer + case.gold and not re.search(r"[\[]\\|\\[(\[]", case.answer)
]


@pytest.mark.parametrize("respell", [_spread, _sized, _zeros], ids=["spacing", "left-right", "trailing zeros"])
def test_typography_changes_nothing(judged: Judge, respell: object) -> None:
    assert callable(respell)
    chosen = [c for c in FORMULAS if not c.source.startswith(("GSM8K", "Own guard: what")) and "e-" not in c.answer]
    pairs = [(respell(case.answer), case.gold) for case in chosen if respell(case.answer) != case.answer]
    wanted = [case.same for case in chosen if respell(case.answer) != case.answer]
    found = [verdict is Verdict.CORRECT for verdict in judge(judged, pairs)]
    assert [pair for pair, same, right in zip(pairs, wanted, found, strict=True) if same != right] == []
    assert len(pairs) > 15


NUMBERS = st.one_of(
    st.integers(-(10**7), 10**7).map(str),
    st.tuples(st.integers(-999, 999), st.integers(1, 999)).map(lambda pair: rf"\frac{{{pair[0]}}}{{{pair[1]}}}"),
    st.tuples(st.integers(-999, 999), st.integers(1, 99)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    st.decimals(-9999, 9999, places=3).map(str),
)


def value_of(text: str) -> Fraction:
    match = re.fullmatch(r"\\frac\{(-?\d+)\}\{(\d+)\}", text)
    return Fraction(int(match[1]), int(match[2])) if match else Fraction(text)


@given(NUMBERS)
def test_reads_numbers_exactly(text: str) -> None:
    quantity = read_quantity(tidy(text))
    assert quantity is not None
    assert quantity.value == value_of(text)


@given(NUMBERS, st.sampled_from([100, 1000, Fraction(1, 100), 10, -1]))
def test_rejects_other_magnitudes(text: str, factor: Fraction) -> None:
    value = value_of(text)
    assume(value != 0)
    scaled = Fraction(factor) * value
    assert quick_verify(f"{scaled.numerator}/{scaled.denominator}", text, "math") is False
    assert quick_verify(str(scaled), text, "math") is False


@given(NUMBERS, NUMBERS)
def test_numbers_are_judged_by_value_in_both_directions(left: str, right: str) -> None:
    same = value_of(left) == value_of(right)
    assert quick_verify(left, right, "math") is quick_verify(right, left, "math")
    assert not same or quick_verify(left, right, "math") is True


@given(st.decimals(-9999, 9999, places=2), st.integers(0, 5), st.sampled_from(["", " ", "  ", r"\,"]))
def test_trailing_zeros_and_spaces_do_not_count(number: object, zeros: int, space: str) -> None:
    assert quick_verify(f"{space}{number}{'0' * zeros}{space}", str(number), "math") is True


PIECE_LIST = (
    r"\frac \sqrt \left( \right) { } ( ) [ ] , ; = < \le \in \cup \pm \infty ^ _ + - * / ! | % $ \text{ \circ . 0 1 23 "
    r"x y i \pi \sin \begin{pmatrix} \end{pmatrix} & \\ cm miles yes and or 1:30 ² √ − \lbrace \boxed{ ' \int \sum"
)
PIECES = st.sampled_from(PIECE_LIST.split(" "))
MESSES = st.lists(PIECES, max_size=9).map("".join) | st.text(max_size=30)


@given(MESSES, MESSES)
def test_quick_path_never_raises_and_is_symmetric(left: str, right: str) -> None:
    assert quick_verify(left, right, "math") is quick_verify(right, left, "math")
    assert quick_verify(left, left, "math") in (True, None) or not tidy(left)


@settings(max_examples=5)
@given(st.lists(st.tuples(MESSES, MESSES), min_size=30, max_size=30))
def test_never_raises_and_keeps_its_time(judged: Judge, pairs: list[tuple[str, str]]) -> None:
    """Messes and their mirror images, through the workers: always a verdict, never an error, the same both ways."""
    forward = judge(judged, pairs)
    backward = judge(judged, [(gold, answer) for answer, gold in pairs])
    assert Verdict.ERROR not in forward
    settled = [pair for pair in zip(forward, backward, strict=True) if Verdict.TIMEOUT not in pair]
    assert all(one is other for one, other in settled)


@pytest.mark.parametrize(
    ("completion", "task", "span"),
    [
        ("The answer is 5 apples. So we stop.", "gsm8k", "5 apples"),
        ("The answer is: 5\n\nThanks", "gsm8k", "5"),
        ("Final Answer: The final answer is 72. I hope it is correct.", "math", "72"),
        ("Final Answer: The final answer is $x^2$. I hope it is correct.", "math", "x^2"),
        ("The answer is the value $\\frac12$ of it.", "math", r"\frac12"),
        ("so \\boxed{\\frac{1}{2}} it is", "math", r"\frac{1}{2}"),
        ("so \\boxed{12 and on it goes\nfor ever", "math", "12 and on it goes"),
        ("we get 100/2", "gsm8k", "100/2"),
        ("we get 1,250.50 in all", "gsm8k", "1,250.50"),
        ("that is 45%", "gsm8k", "45%"),
        ("about 1.5e+06 in all", "gsm8k", "1.5e+06"),
        ("the answer is 3:15 P.M. The bus is late", "tabmwp", "3:15 P.M"),
        ("no idea", "gsm8k", ""),
        ("", "gsm8k", ""),
        ("The answer is (B).", "mathqa", "B"),
        ("the answer is: D", "mathqa", "D"),
        ("The correct option is C.", "mmlu_stem", "C"),
        ("(e)", "mathqa", "E"),
        ("\\boxed{\\text{(A)}}", "sat_math", "A"),
        ("the answer is a number", "mathqa", ""),
        ("the answer is Because", "mathqa", ""),
        ("the answer is All of them", "mathqa", ""),
        ("Problem: the answer is (A)", "mathqa", ""),
    ],
)
def test_span(completion: str, task: str, span: str) -> None:
    assert answer_span(completion, task) == span


@given(st.text(max_size=80), st.sampled_from(["gsm8k", "mathqa"]))
def test_span_never_raises(completion: str, task: str) -> None:
    answer_span(completion, task)
