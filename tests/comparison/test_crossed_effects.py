"""Differences over seeds and documents: known answers of scipy and statsmodels, coverage and power by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from rho1bench.comparison.crossed_effects import (
    Spread,
    crossed_mean,
    equivalence_p,
    half_width,
    p_value,
    spread_of,
)
from rho1bench.comparison.power import Design, power_of, smallest_difference

SIMULATIONS = 2000
cases = st.tuples(st.integers(1, 5), st.integers(2, 6)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0]))
)


def draw(spread: Spread, num_seeds: int, sizes: tuple[int, ...], mean: float = 0.0, seed: int = 0) -> list[np.ndarray]:
    """Differences of many contests at once; each task has the same spread between its documents."""
    generator = np.random.default_rng(seed)
    seeds = spread.seeds * generator.normal(size=(SIMULATIONS, num_seeds, 1))
    return [
        mean
        + seeds
        + spread.documents * generator.normal(size=(SIMULATIONS, 1, n))
        + spread.residual * generator.normal(size=(SIMULATIONS, num_seeds, n))
        for n in sizes
    ]


def test_one_seed_and_task_is_the_paired_t_test() -> None:
    weights = pytest.importorskip("statsmodels.stats.weightstats")
    values = np.random.default_rng(1).normal(0.2, 1.0, size=30)
    found = crossed_mean([values[None, :]])
    expected = stats.ttest_1samp(values, 0.0)
    assert float(p_value(found)) == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    half = float(half_width(found))
    assert (found.mean - half, found.mean + half) == pytest.approx((low, high))
    for margin in (0.1, 0.4, 1.0):
        ttost = weights.ttost_paired(values, np.zeros(30), -margin, margin)[0]
        assert float(equivalence_p(found, margin)) == pytest.approx(ttost)


def test_two_tasks_are_welch() -> None:
    generator = np.random.default_rng(2)
    left, right = generator.normal(0.5, 1.0, size=12), generator.normal(0.0, 3.0, size=40)
    found = crossed_mean([left[None, :], -right[None, :]])
    expected = stats.ttest_ind(left, right, equal_var=False)
    assert float(p_value(found)) == pytest.approx(expected.pvalue)
    assert float(found.documents_df) == pytest.approx(expected.df)
    assert 2 * float(found.mean) == pytest.approx(left.mean() - right.mean())


def test_seeds_alone_are_the_t_test_over_seeds() -> None:
    seeds = np.array([0.1, 0.3, -0.05, 0.2])
    found = crossed_mean([np.repeat(seeds[:, None], 7, axis=1), np.repeat(seeds[:, None], 3, axis=1)])
    assert float(p_value(found)) == pytest.approx(stats.ttest_1samp(seeds, 0.0).pvalue)
    half = float(half_width(found))
    assert (found.mean - half, found.mean + half) == pytest.approx(
        tuple(stats.ttest_1samp(seeds, 0.0).confidence_interval())
    )


def test_variance_parts_are_those_of_the_two_way_table() -> None:
    """Mean squares of the classical table without replication, by statsmodels' least squares."""
    values = np.random.default_rng(3).normal(size=(4, 9)) + np.arange(4)[:, None]
    anova = pytest.importorskip("statsmodels.stats.anova")
    formula = pytest.importorskip("statsmodels.formula.api")
    pandas = pytest.importorskip("pandas")
    columns = {"y": values.ravel(), "seed": np.repeat(list("abcd"), 9), "document": np.tile(list("abcdefghi"), 4)}
    table = pandas.DataFrame(columns)
    squares = anova.anova_lm(formula.ols("y ~ seed + document", data=table).fit())["mean_sq"]
    found = crossed_mean([values])
    assert float(found.seeds_variance) == pytest.approx(squares["seed"] / 36)
    assert float(found.documents_variance) == pytest.approx(squares["document"] / 36)
    assert float(found.residual_variance) == pytest.approx(squares["Residual"] / 36)


def test_many_seeds_agree_with_resampling_both() -> None:
    """The pigeonhole bootstrap draws seeds and documents; it is slow to need few seeds, and right with many."""
    generator = np.random.default_rng(4)
    values = generator.normal(size=(60, 1)) + 3.0 * generator.normal(size=(1, 90))
    found = crossed_mean([values])
    means = [values[np.ix_(generator.integers(0, 60, 60), generator.integers(0, 90, 90))].mean() for _ in range(4000)]
    assert np.quantile(means, 0.975) - np.quantile(means, 0.025) == pytest.approx(
        2 * float(half_width(found)), rel=0.06
    )


@pytest.mark.parametrize("num_seeds", [3, 5])
@pytest.mark.parametrize(
    "spread", [Spread(0.02, 0.4, 0.2), Spread(0.1, 0.3, 0.6), Spread(0.0, 0.0, 0.5), Spread(0.2, 0.2, 0.2)]
)
def test_intervals_cover_the_truth(num_seeds: int, spread: Spread) -> None:
    """At least 95% of the 95% intervals hold the truth (94.0% and more in 2,000), and not nearly all of them."""
    found = crossed_mean(draw(spread, num_seeds, (60, 30, 90), mean=0.3, seed=num_seeds))
    covered = float(np.mean(np.abs(found.mean - 0.3) <= half_width(found)))
    assert 0.94 <= covered <= 0.99


def test_bootstrapping_three_seeds_would_not_cover() -> None:
    """Why seeds are not resampled: percentile intervals of three seeds hold the truth in three of four cases."""
    (values,) = draw(Spread(0.2, 0.2, 0.2), 3, (60,))
    generator = np.random.default_rng(5)
    held = 0
    for one in values[:400]:
        seeds, documents = generator.multinomial(3, [1 / 3] * 3, 400), generator.multinomial(60, [1 / 60] * 60, 400)
        low, high = np.quantile(np.einsum("rs,rn,sn->r", seeds / 3, documents / 60, one, optimize=True), [0.025, 0.975])
        held += low <= 0.0 <= high
    assert held / 400 < 0.85


def test_equal_differences_have_no_test() -> None:
    found = crossed_mean([np.full((3, 5), 0.1)])
    assert math.isnan(float(p_value(found)))
    assert math.isnan(float(equivalence_p(found, 0.2)))
    assert float(half_width(found)) == 0.0
    assert float(p_value(crossed_mean([np.zeros((3, 5))]))) == 1.0


def test_two_seeds_speak_of_documents_alone() -> None:
    values = np.random.default_rng(6).normal(size=(2, 20))
    found = crossed_mean([values])
    assert not found.over_seeds
    assert float(p_value(found)) == pytest.approx(stats.ttest_1samp(values.mean(axis=0), 0.0).pvalue)


def test_what_cannot_be_tested_is_refused() -> None:
    for strata in ([], [np.zeros((3, 1))], [np.zeros((3, 4)), np.zeros((2, 4))]):
        with pytest.raises(ValueError, match=r"at least|same seeds"):
            crossed_mean(strata)
    with pytest.raises(ValueError, match="above zero"):
        equivalence_p(crossed_mean([np.zeros((3, 4))]), 0.0)


@settings(max_examples=60, deadline=None)
@given(cases, st.integers(0, 5))
def test_swapping_flips_the_sign_and_order_says_nothing(values: np.ndarray, seed: int) -> None:
    found, swapped = crossed_mean([values]), crossed_mean([-values])
    assert float(swapped.mean) == -float(found.mean)
    assert float(p_value(swapped)) == pytest.approx(float(p_value(found)), nan_ok=True)
    generator = np.random.default_rng(seed)
    shuffled = crossed_mean([generator.permutation(generator.permutation(values, axis=0), axis=1)])
    assert float(half_width(shuffled)) == pytest.approx(float(half_width(found)), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(cases, st.floats(-2.0, 2.0), st.floats(0.1, 3.0))
def test_a_constant_moves_the_mean_and_nothing_else(values: np.ndarray, constant: float, factor: float) -> None:
    found, moved = crossed_mean([values]), crossed_mean([values + constant])
    assert float(moved.mean) == pytest.approx(float(found.mean) + constant)
    assert float(half_width(moved)) == pytest.approx(float(half_width(found)), abs=1e-6)
    scaled = crossed_mean([factor * values])
    assert float(half_width(scaled)) == pytest.approx(factor * float(half_width(found)), abs=1e-6)


def test_spread_is_found_again() -> None:
    true = Spread(0.1, 0.5, 0.7)
    spreads = [spread_of(crossed_mean([values])) for values in draw(true, 5, (80,))[0][:300]]
    for part in ("seeds", "documents", "residual"):
        squares = [getattr(one, part) ** 2 for one in spreads]
        assert np.mean(squares) == pytest.approx(getattr(true, part) ** 2, rel=0.15)


@pytest.mark.parametrize(
    ("spread", "num_seeds", "sizes"),
    [
        (Spread(0.03, 0.4, 0.3), 3, (120,) * 3),
        (Spread(0.03, 0.4, 0.3), 5, (120,) * 3),
        (Spread(0.0, 0.3, 0.6), 4, (50, 100)),
        (Spread(0.0, 0.4, 0.3), 1, (200,)),
    ],
)
def test_the_smallest_difference_is_found_four_times_in_five(
    spread: Spread, num_seeds: int, sizes: tuple[int, ...]
) -> None:
    """2,000 simulated contests with that true difference: 80% are significant, within three points."""
    design = Design(num_seeds, sum(sizes), len(sizes))
    # Tasks of unequal size weigh the same, which costs a little; the spread that `power` takes says so.
    weight = math.sqrt(sum(sizes) * sum(1 / n for n in sizes)) / len(sizes)
    asked = Spread(spread.seeds, spread.documents * weight, spread.residual * weight)
    difference = smallest_difference(asked, design)
    found = crossed_mean(draw(spread, num_seeds, sizes, mean=difference, seed=7))
    share = float(np.mean((p_value(found) <= design.alpha) & (found.mean > 0)))
    assert share == pytest.approx(0.8, abs=0.03)
    assert power_of(difference, asked, design) == pytest.approx(0.8, abs=0.005)


def test_more_of_anything_finds_less() -> None:
    spread = Spread(0.03, 0.4, 0.3)
    base = smallest_difference(spread, Design(3, 300))
    assert smallest_difference(spread, Design(6, 300)) < base
    assert smallest_difference(spread, Design(3, 3000)) < base
    assert smallest_difference(spread, Design(3, 300, alpha=0.005)) > base
    assert power_of(0.0, spread, Design(3, 300)) < 0.05
