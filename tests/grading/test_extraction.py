"""The paper's rules for finding the answer, on small completions of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rho1bench.grading.paper.extraction import NO_CHOICE, extract_answer, has_answer


@pytest.mark.parametrize(
    ("completion", "pred"),
    [
        ("So 6 + 7 = 13. The answer is 13.", "13"),
        ("The answer is 4. Or no. The answer is 9.", "9"),
        ("Final Answer: The final answer is $x^2$. I hope it is correct.", "x^2"),
        ("The final answer is $8$. I hope so. \\boxed{3}", "8"),
        ("It is \\boxed{1}, rather \\boxed{\\frac{1}{2}}.", r"\frac{1}{2}"),
        ("\\boxed{{x}y", "{x}y"),
        ("\\boxed 12$ or so", "12"),
        ("ends in boxed", ""),
        ("a box \\boxed{7} beats the answer is 8", "7"),
        ("the final answer is 5", "5"),
        ("final answer is 5, 6", "5,6"),
        ("We count 1,200 and then 3,400 sheep", "3400"),
        ("It drops to -.5 at night", "-.5"),
        ("nothing to see", ""),
        ("", ""),
        ("The answer is: 11/", "11"),
        ("The answer is 3\n   +x", "3+x"),
    ],
)
def test_finds_answer(completion: str, pred: str) -> None:
    assert extract_answer(completion, "gsm8k") == pred


@pytest.mark.parametrize(
    ("completion", "letter"),
    [
        ("The answer is (B).", "B"),
        ("the choice is d", "D"),
        ("The answer is (A). The answer is (C).", "A"),
        ("(E)", NO_CHOICE),
        ("The answer is (F)", NO_CHOICE),
        ("so\n\nProblem: the answer is (A)", NO_CHOICE),
        ("The answer is big", "B"),
        ("", ""),
    ],
)
def test_finds_option(completion: str, letter: str) -> None:
    assert extract_answer(completion, "mathqa") == letter
    assert has_answer(letter, "mathqa") is (letter not in (NO_CHOICE, ""))


def test_a_placeholder_is_an_answer_elsewhere() -> None:
    assert has_answer(NO_CHOICE, "math")
    assert not has_answer("", "math")


@given(st.text(max_size=80), st.sampled_from(["gsm8k", "mathqa"]))
def test_never_raises_and_has_no_spaces(completion: str, task: str) -> None:
    pred = extract_answer(completion, task)
    assert " " not in pred
    assert "\n" not in pred


@given(st.integers(-(10**9), 10**9), st.text("ab .\n", max_size=20))
def test_a_boxed_integer_is_found_whatever_stands_before(number: int, before: str) -> None:
    assert extract_answer(f"{before}\\boxed{{{number}}}", "math") == str(number)
