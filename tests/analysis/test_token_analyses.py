"""Analyses of single tokens on cases worked out by hand: classes, fit, kinds, rates, agreement, drawings."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from rho1bench.analysis.agreement import rank_correlation, ranks, share_in_common
from rho1bench.analysis.dynamics import CLASSES, chosen_perplexities, token_dynamics
from rho1bench.analysis.keep_rates import frequency_groups, keep_rates, position_groups
from rho1bench.analysis.loss_fit import fit_log
from rho1bench.analysis.token_kinds import KINDS, SPECIAL, token_kinds
from rho1bench.rendering.token_text import ShownPassage, ShownToken, TokenText, text_svg

LINES = {  # losses at tokens 0, 10, 20 -> class, change
    (3.0, 2.0, 1.0): ("H→L", -2.0),
    (1.0, 1.0, 1.0): ("L→L", 0.0),
    (2.5, 2.5, 2.5): ("H→H", 0.0),
    (1.0, 1.5, 2.0): ("L→H", 1.0),
    (1.5, 1.0, 1.4): ("L→L", -0.1),  # the line falls by 0.1, whatever lies between
    (2.0, 1.0, 1.8): ("L→L", -0.2),  # a change of exactly 0.2 is none; 1.8 is above the mean of 1.62
}


def test_classes_of_synthetic_lines() -> None:
    losses_CN = np.array(list(LINES), dtype=np.float64).T
    found = token_dynamics(losses_CN, [0.0, 10.0, 20.0])
    expected = [name for name, _ in LINES.values()]
    expected[-1] = "H→H"  # the mean of the last losses is (1 + 1 + 2.5 + 2 + 1.4 + 1.8) / 6 = 1.617
    assert [CLASSES[place] for place in found.classes_N] == expected
    assert found.change_N == pytest.approx([change for _, change in LINES.values()])
    assert found.shares() == pytest.approx([1 / 6, 2 / 6, 2 / 6, 1 / 6])
    assert found.means(losses_CN)[0] == [3.0, 2.0, 1.0]
    assert found.jump_N[3] == pytest.approx(2.0 - 1.25)
    # Around the line through (1.5, 1.0, 1.4), which is 1.3 in the middle: residuals 0.15, -0.3, 0.15.
    assert found.wobble_N[4] == pytest.approx(math.sqrt((0.15**2 + 0.3**2 + 0.15**2) / 3))


def test_unevenly_spread_checkpoints_and_a_lonely_one() -> None:
    """By hand: losses 1, 1, 2 at 0, 1, 3 have the slope 5/14, so the line rises by 15/14."""
    found = token_dynamics(np.array([[1.0], [1.0], [2.0]]), [0.0, 1.0, 3.0])
    assert found.change_N == pytest.approx([15 / 14])
    with pytest.raises(ValueError, match="two checkpoints"):
        token_dynamics(np.array([[1.0]]), [0.0])


def test_perplexities_of_chosen_tokens() -> None:
    losses_CN = np.log(np.array([[4.0, 9.0], [2.0, 3.0]]))
    chosen_CN = np.array([[True, True], [True, False]])
    rows = chosen_perplexities(losses_CN, chosen_CN)
    assert rows[0] == pytest.approx([6.0, math.sqrt(6.0)])
    assert rows[1] == pytest.approx([4.0, 2.0])
    assert chosen_perplexities(losses_CN, ~chosen_CN)[0] == [None, None]


def test_fit_finds_the_law_that_made_the_points() -> None:
    losses = np.linspace(1.0, 3.0, 6)
    exact = fit_log(losses.tolist(), np.log(-0.1 * losses + 1.5).tolist())
    assert exact is not None
    assert (exact.a, exact.c, exact.r_squared) == pytest.approx((-0.1, 1.5, 1.0))
    assert exact.at(2.0) == pytest.approx(math.log(1.3))


def test_uncertainty_of_the_fit_is_that_of_scipy() -> None:
    from scipy.optimize import curve_fit

    noise = np.random.default_rng(3).normal(0, 0.02, 7)
    losses = np.linspace(0.5, 3.5, 7)
    accuracies = np.log(-0.12 * losses + 1.6) + noise
    found = fit_log(losses.tolist(), accuracies.tolist())
    theirs, covariance = curve_fit(lambda x, a, c: np.log(a * x + c), losses, accuracies, p0=(-0.1, 1.5))
    assert found is not None
    assert (found.a, found.c) == pytest.approx(tuple(theirs), rel=1e-5)
    assert np.array(found.covariance) == pytest.approx(covariance, rel=1e-3)
    assert found.interval_of(0)[1] - found.a == pytest.approx(2.5705818 * math.sqrt(covariance[0, 0]), rel=1e-3)
    low, high = found.band(2.0)
    assert low < found.at(2.0) < high


def test_no_fit_through_two_losses() -> None:
    assert fit_log([1.0, 2.0, 2.0], [0.3, 0.2, 0.1]) is None


def kinds_of(*pieces: str | bytes) -> list[str]:
    found = token_kinds([piece.encode() if isinstance(piece, str) else piece for piece in pieces])
    return [KINDS[kind] for kind in found]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (("The", " price", " is", " 4", "2", "."), "word word word number number punctuation"),
        (("x", "=", "7", "+", "5", "\n"), "word operator number operator number whitespace"),
        (("<b>", "bold", "</b>", "&amp;"), "markup word markup markup"),
        ((" \\frac", "{", "1", "}"), "markup punctuation number punctuation"),
        ((" αβγ", " 你", "é"), "other script,other script,word"),
        ((b"\xe4", b"\xbd\xa0", b""), "other script,other script,special"),
        (("for", " i", " in", " range", "(", "3", "):", "\n"), "code code code code code code code whitespace"),
        (("If", " you", " go", " there", ":", "\n"), "word word word word punctuation whitespace"),
        (("see", " https", "://a.b", "/c", " ok"), "word markup markup markup word"),
        (("def", " f", "():", "\n", "    ", "return", " x_1", "\n"), "code code code ws ws code code ws"),
    ],
)  # fmt: skip
def test_kinds_come_from_the_text(pieces: tuple[str | bytes, ...], expected: str) -> None:
    wanted = expected.replace("ws", "whitespace").split("," if "," in expected else " ")
    assert kinds_of(*pieces) == wanted


def test_a_special_token_is_no_text() -> None:
    assert token_kinds([b"", b"a", b""]) == [SPECIAL, KINDS.index("word"), SPECIAL]


def test_keep_rates_of_groups() -> None:
    groups, names = position_groups(np.arange(1, 48), 48)
    assert (names[0], names[-1], len(names)) == ("1–4", "45–47", 12)
    rates = keep_rates(groups, names, np.arange(1, 48) <= 6)
    assert [(rate.name, rate.num_kept, rate.rate) for rate in rates[:3]] == [
        ("1–4", 4, 1.0),
        ("5–8", 2, 0.5),
        ("9–12", 0, 0.0),
    ]
    frequencies, labels = frequency_groups(np.array([5, 5, 5, 5, 2, 3]))
    assert frequencies.tolist() == [1, 1, 1, 1, 0, 0]
    assert labels == ["1–3 times", "4–15 times"]


def test_agreement_of_rules() -> None:
    assert ranks(np.array([1.0, 2.0, 2.0, 5.0])).tolist() == [0.0, 0.5, 0.5, 1.0]
    up = np.array([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(up, -up) == pytest.approx(-1.0)
    assert rank_correlation(up, np.array([1.0, 3.0, 2.0, 4.0])) == pytest.approx(0.8)  # 1 - 6 * 2 / (4 * 15)
    assert rank_correlation(up, np.ones(4)) is None
    left, right = np.array([1, 1, 0, 0], dtype=bool), np.array([1, 0, 1, 0], dtype=bool)
    assert share_in_common(left, right) == 0.5


def test_text_is_broken_and_escaped() -> None:
    tokens = [
        ShownToken("<&> ", "g0", "first"),
        ShownToken("x" * 70, "", "second"),
        ShownToken("a\n\n\x01你", "g1", "third"),
    ]
    drawing = ET.fromstring(text_svg(TokenText("t", "d", [ShownPassage("Block 0", tokens)], [("g0", "kept")])))
    lines: dict[float, str] = {}
    for text in drawing.iter("{http://www.w3.org/2000/svg}text"):
        if text.get("class") == "mono":
            lines[float(text.get("y", 0))] = lines.get(float(text.get("y", 0)), "") + (text.text or "")
    assert "".join(lines.values()) == f"<&> {'x' * 70}a↵↵\N{REPLACEMENT CHARACTER}你"
    assert all(len(line) <= 56 for line in lines.values())
    assert len(lines) == 3
