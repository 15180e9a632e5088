"""The paper's normal form: each rewrite on one small example, its quirks included."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rho1bench.grading.paper.normal_form import normalise
from rho1bench.grading.paper.unit_words import without_units


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  12 .", "12"),
        (r"\dfrac34", r"\frac{3}{4}"),
        (r"\tfrac{3}4", r"\frac{3}4"),
        (r"\frac3{45}", r"\frac{3}{45}"),
        (r"2 + \frac", r"2+\frac"),
        ("7/8", r"\frac{7}{8}"),
        ("-7/8", r"\frac{-7}{8}"),
        ("7/08", "7/08"),
        ("1/2/3", "1/2/3"),
        (r"\sqrt3/2", r"\frac{\sqrt{3}}{2}"),
        (r"\sqrt12", r"\sqrt{12}"),
        (r"\left( 1, 2 \right]", "(1,2]"),
        (r"5\text{ cm}", "5"),
        (r"\text{even}", "even"),
        (r"\text{east}", ""),
        (r"40^\circ", "40"),
        (r"40^{\circ}", "40"),
        (r"\$6.50", "6.50"),
        ("6.00", "6"),
        ("6.00x", "6x"),
        ("6.5", "6.5"),
        (".5", "0.5"),
        ("-.5", "-.5"),
        ("30\\%", "30"),
        ("30%", "30"),
        ("twenty-one", "21"),
        ("three goats", "3"),
        ("three million five", "3000005"),
        ("x=4", "4"),
        ("ab=4", "4"),
        ("abc=4", "abc=4"),
        ("1=2=3", "1=2=3"),
        (r"x\in[1,2)", r"[1,2)"),
        (r"x \in [1,2)", r"x\in[1,2)"),
        (r"(-\infty,\infty)", r"\mathbb{R}"),
        ("infinity", r"\infty"),
        ("-inf", r"-\infty"),
        ("sand", "s"),
        ("3j", "3i"),
        ("3j + i", "3j+i"),
        (r"\begin{array}{cc}1&2\end{array}", r"\begin{pmatrix}1&2\end{pmatrix}"),
        (r"\begin{bmatrix}1\end{bmatrix}", r"\begin{pmatrix}1\end{pmatrix}"),
        (r"9\mbox{ ft}^2", "9^2"),
        ("10,\\!080", "10,080"),
        ("12 cm", "12"),
        ("12 sq cm", "12"),
        ("12 dollars", "12dollars"),
        ("4 km per hour", "4"),
        ("", ""),
        (".", ""),
    ],
)
def test_rewrites(text: str, normal: str) -> None:
    assert normalise(text) == normal


def test_zeros_after_the_point_go_even_inside_a_number() -> None:
    assert normalise("6.05") == "6.05"
    assert normalise("6.0.5") == "6.5"


def test_a_unit_word_that_is_everything_stays() -> None:
    assert without_units("m") == "m"
    assert without_units("5 m") == "5 "
    assert without_units("5 m m") == "5  "


@given(st.text(max_size=60))
def test_never_raises_and_leaves_no_space(text: str) -> None:
    assert " " not in normalise(text)


@given(st.integers(-(10**12), 10**12), st.integers(0, 4))
def test_integers_keep_their_value_and_lose_trailing_zeros(number: int, zeros: int) -> None:
    written = f"{number}." + "0" * zeros
    assert normalise(written) == str(number)
