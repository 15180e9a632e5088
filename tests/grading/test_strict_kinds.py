"""The strict verdict by kind of mistake: tables of answers and completions, and properties of many notations."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strict_case_table import Case, Judge, read_cases

from rho1bench.grading import Verdict, grade_many
from rho1bench.grading.pool import Question, WorkerPool
from rho1bench.grading.strict.equality import quick_verify
from rho1bench.grading.strict.extraction import answer_span

KINDS = read_cases("strict_kinds.txt")
COMPLETIONS = read_cases("strict_completions.txt")


def judge(judged: Judge, pairs: list[tuple[str, str]]) -> list[Verdict]:
    return judged([Question("verified", answer, gold, "math") for answer, gold in pairs])


@pytest.fixture(scope="module")
def verdicts(judged: Judge) -> dict[tuple[str, str], Verdict]:
    pairs = [(case.answer, case.gold) for case in KINDS]
    return dict(zip(pairs, judge(judged, pairs), strict=True))


@pytest.mark.parametrize("kind", dict.fromkeys(case.source for case in KINDS))
def test_kind(kind: str, verdicts: dict[tuple[str, str], Verdict]) -> None:
    cases = [case for case in KINDS if case.source == kind]
    expected = {True: Verdict.CORRECT, False: Verdict.INCORRECT}
    assert [case for case in cases if verdicts[case.answer, case.gold] is not expected[case.same]] == []


@pytest.mark.parametrize("part", [0, pytest.param(slice(None), marks=pytest.mark.sweep)], ids=["a part", "all"])
def test_which_side_is_gold_makes_no_difference(
    judged: Judge, verdicts: dict[tuple[str, str], Verdict], part: int | slice
) -> None:
    cases = KINDS[part] if isinstance(part, slice) else KINDS[part::8]
    found = judge(judged, [(case.gold, case.answer) for case in cases])
    assert [
        case for case, verdict in zip(cases, found, strict=True) if verdict is not verdicts[case.answer, case.gold]
    ] == []


@pytest.fixture(scope="module")
def graded(pool: WorkerPool) -> dict[Case, Verdict]:
    grades = grade_many([(case.answer, case.gold, "math") for case in COMPLETIONS], pool=pool)
    return {case: grade.verified for case, grade in zip(COMPLETIONS, grades, strict=True)}


@pytest.mark.parametrize("kind", dict.fromkeys(case.source for case in COMPLETIONS))
def test_completions(kind: str, graded: dict[Case, Verdict]) -> None:
    cases = {case: verdict for case, verdict in graded.items() if case.source == kind}
    assert [case for case, verdict in cases.items() if (verdict is Verdict.CORRECT) != case.same] == []


INTEGERS = st.integers(-(10**6), 10**6).filter(lambda number: number not in (0, 1, -1))
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def notations(number: int) -> list[str]:
    """Ways of writing a whole number."""
    plain, sign = str(number), "-" if number < 0 else ""
    return [
        plain,
        f"{number:,}",
        f"{number}.0",
        f"**{number}**",
        plain.replace("-", "−"),
        rf"\frac{{{3 * number}}}{{3}}",
        rf"\dfrac{{{-2 * number}}}{{-2}}",
        f"{100 * number}/100",
        rf"{number} \text{{ apples}}",
        rf"\textcolor{{red}}{{{number}}}",
        f"x = {number}",
        f"{number - 1}.\\overline{{9}}" if number > 0 else plain,
        rf"{sign}\${abs(number):,}.00",
        rf"{number}00 \times 10^{{-2}}",
        f"{number}00×10{'-2'.translate(SUPERSCRIPTS)}",
    ]


@given(INTEGERS, st.integers(0, 30), st.integers(0, 30), st.integers(1, 9))
def test_a_number_in_two_notations_is_one_number(number: int, first: int, second: int, gap: int) -> None:
    ways, others = notations(number), notations(number + gap)
    left, right, wrong = ways[first % len(ways)], ways[second % len(ways)], others[second % len(others)]
    assert quick_verify(left, right, "math") is True
    assert quick_verify(right, left, "math") is True
    assert quick_verify(left, wrong, "math") is False
    assert quick_verify(wrong, left, "math") is False


STATED = (
    "The answer is {}.", "The answer is **{}**.", "The answer is: ${}$", "The answer is approximately {}.",
    "The answer is {} because we counted.", "The answer is {}, which is all.", "So the answer is\n\n\\[\n{}\n\\]\n",
    "The answer is:\n- {}", "Therefore \\boxed{{{}}}.", "#### {}", "**Answer:** {}", "we get {}", "so x={}",
    "3 + 4 = {}", "The answer is {} (as shown above).", "The answer is {}.<|endoftext|>", "In all she has {} pens",
)  # fmt: skip


@given(INTEGERS, st.sampled_from(STATED), st.sampled_from([1, 2, 4, 5]))
def test_a_stated_number_is_found_with_its_sign(number: int, sentence: str, index: int) -> None:
    ways = notations(number)
    span = answer_span(sentence.format(ways[index]), "math")
    assert quick_verify(span, str(number), "math") is True
    assert quick_verify(span, str(-number), "math") is False
    assert quick_verify(span, str(number + 1), "math") is False


@given(st.integers(1, 998), st.integers(1, 6), st.integers(0, 3))
def test_a_repeating_decimal_is_its_fraction(block: int, width: int, zeros: int) -> None:
    digits = str(block % 10**width).zfill(width)
    value = Fraction(int(digits), (10**width - 1) * 10**zeros)
    for written in (f"0.{'0' * zeros}\\overline{{{digits}}}", f"0.{'0' * zeros}({digits})"):
        assert quick_verify(written, f"{value.numerator}/{value.denominator}", "math") is True
        assert quick_verify(written, f"0.{'0' * zeros}{digits}", "math") is (value == 0)


@settings(max_examples=2)
@given(st.lists(st.tuples(st.integers(2, 12), st.integers(15, 60), st.integers(1, 9)), min_size=12, max_size=12))
def test_large_and_tiny_values_are_compared_exactly(judged: Judge, triples: list[tuple[int, int, int]]) -> None:
    same = [(rf"{base}^{{{power}}}+{gap}", str(base**power + gap)) for base, power, gap in triples]
    same += [(rf"\frac{{{base}^{{{power}}}}}{{{base}}}", rf"{base}^{{{power - 1}}}") for base, power, _ in triples]
    other = [(rf"{base}^{{{power}}}", rf"{base}^{{{power}}}+{gap}") for base, power, gap in triples]
    other += [(rf"\frac{{1}}{{{base}^{{{power}}}+{gap}}}", rf"{base}^{{-{power}}}") for base, power, gap in triples]
    other += [(rf"\sqrt{{{base}^{{{2 * power}}}+{gap}}}", rf"{base}^{{{power}}}") for base, power, gap in triples]
    assert set(judge(judged, same + [pair[::-1] for pair in same])) == {Verdict.CORRECT}
    assert set(judge(judged, other + [pair[::-1] for pair in other])) == {Verdict.INCORRECT}


@settings(max_examples=2)
@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 9), st.booleans(), st.booleans()), min_size=10, max_size=10)
)
def test_inequalities_are_their_intervals(judged: Judge, cases: list[tuple[int, int, bool, bool]]) -> None:
    pairs, wrong = [], []
    for start, width, closed_left, closed_right in cases:
        end = start + width
        left, right = (r"\le" if closed_left else "<"), (r"\le" if closed_right else "<")
        interval = f"{'[' if closed_left else '('}{start},{end}{']' if closed_right else ')'}"
        pairs += [
            (f"{start} {left} x {right} {end}", interval),
            (f"x {right} {end} \\text{{ and }} {start} {left} x", interval),
        ]
        wrong += [(f"{start} {left} x {right} {end + 1}", interval), (f"x {right} {end}", interval)]
    assert set(judge(judged, pairs)) == {Verdict.CORRECT}
    assert set(judge(judged, wrong)) == {Verdict.INCORRECT}
