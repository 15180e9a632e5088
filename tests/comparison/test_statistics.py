"""Statistics against scipy, statsmodels and plain enumeration; coverage by simulation; edge cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rho1bench.comparison import statistics as own
from rho1bench.comparison.intervals import wilson_interval

binary_lists = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), max_size=60)


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)


@pytest.mark.sweep
@settings(max_examples=60, deadline=None)
@given(binary_lists)
def test_mcnemar_equals_statsmodels(pairs: list[tuple[int, int]]) -> None:
    contingency = pytest.importorskip("statsmodels.stats.contingency_tables")
    treatment, baseline = array(*[a for a, _ in pairs]), array(*[b for _, b in pairs])
    table = [[0, 0], [0, 0]]
    for a, b in pairs:
        table[a][b] += 1
    expected = contingency.mcnemar(table, exact=True).pvalue if table[0][1] + table[1][0] else 1.0
    assert own.mcnemar_exact_p(treatment, baseline) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (6, 1, 0.125), (3, 3, 1.0)]
)
def test_mcnemar_on_small_tables(wins: int, losses: int, p: float) -> None:
    treatment = array(*[1] * wins, *[0] * losses, 1, 0)
    baseline = array(*[0] * wins, *[1] * losses, 1, 0)
    assert own.mcnemar_exact_p(treatment, baseline) == p


def test_mcnemar_takes_a_large_table() -> None:
    treatment = np.repeat([1.0, 0.0], [6200, 5800])
    expected = stats.binomtest(5800, 12000).pvalue
    assert own.mcnemar_exact_p(treatment, 1.0 - treatment) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_refuses_what_it_cannot_judge() -> None:
    with pytest.raises(ValueError, match="0 and 1"):
        own.mcnemar_exact_p(array(0.5), array(0.0))
    with pytest.raises(ValueError, match="equal lengths"):
        own.mcnemar_exact_p(array(1.0, 0.0), array(0.0))


@pytest.mark.sweep
@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=25))
def test_holm_equals_statsmodels(p_values: list[float]) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    assert own.holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1].tolist())


@given(st.lists(st.floats(0, 1), min_size=1, max_size=25))
def test_holm_follows_its_definition(p_values: list[float]) -> None:
    """Holm (1979): the p-value of rank r among m counts m - r + 1 times, and none counts less than a smaller one."""
    m, ranks = len(p_values), np.argsort(np.argsort(p_values, kind="stable"))
    for place, found in enumerate(own.holm(p_values)):
        no_larger = [other for other in range(m) if ranks[other] <= ranks[place]]
        assert found == pytest.approx(min(1.0, max((m - ranks[other]) * p_values[other] for other in no_larger)))


def test_holm_of_nothing_is_nothing() -> None:
    assert own.holm([]) == []


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy(case: tuple[int, int]) -> None:
    successes, n = case
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    interval = wilson_interval(successes / n, n)
    assert interval.as_list() == pytest.approx([expected.low, expected.high], abs=1e-9)
    assert interval.low <= successes / n <= interval.high


def test_wilson_without_documents_knows_nothing() -> None:
    assert wilson_interval(0.0, 0).as_list() == [0.0, 1.0]


def test_bootstrap_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).choice([-1.0, 0.0, 1.0], size=200, p=[0.1, 0.6, 0.3])
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(4)
    ).confidence_interval
    interval = own.bootstrap_interval([values], seed=5, num_resamples=20_000)
    assert interval is not None
    assert interval.as_list() == pytest.approx([expected.low, expected.high], abs=0.006)


@pytest.mark.parametrize("sizes", [pytest.param((200,), marks=pytest.mark.sweep), (120, 60, 40)])
def test_bootstrap_covers_the_true_difference(sizes: tuple[int, ...]) -> None:
    """Simulated coverage of the 95% interval lies between 93% and 97%."""
    generator = np.random.default_rng(11)
    chances = [(0.10 + 0.02 * i, 0.70 - 0.03 * i, 0.20 + 0.01 * i) for i in range(len(sizes))]
    truth = np.mean([up - down for down, _, up in chances])
    held = 0
    for trial in range(2000):
        strata = [generator.choice([-1.0, 0.0, 1.0], size=n, p=p) for n, p in zip(sizes, chances, strict=True)]
        interval = own.bootstrap_interval(strata, seed=trial, num_resamples=800)
        assert interval is not None
        held += interval.low - 1e-12 <= truth <= interval.high + 1e-12
    assert 0.93 <= held / 2000 <= 0.97


def test_bootstrap_weighs_tasks_equally_and_ignores_order() -> None:
    small, large = array(1, 1, 0, 1), np.zeros(400)
    assert own.stratified_mean([small, large]) == pytest.approx(0.375)
    shuffled = np.random.default_rng(0).permutation(small)
    assert own.bootstrap_interval([small, large], seed=1) == own.bootstrap_interval([shuffled, large], seed=1)


def test_bootstrap_in_chunks_keeps_the_spread() -> None:
    values = np.random.default_rng(6).normal(size=5000)  # all distinct: many chunks
    interval = own.bootstrap_interval([values], seed=2, num_resamples=1000)
    assert interval is not None
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(5000), rel=0.1)


def test_bootstrap_edge_cases() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        own.bootstrap_interval([array()], seed=0)
    with pytest.raises(ValueError, match="at least one value"):
        own.bootstrap_interval([], seed=0)
    assert own.bootstrap_interval([array(1.0)], seed=0) is None
    assert own.bootstrap_interval([array(1.0, 0.0), array(1.0)], seed=0) is None
    equal = own.bootstrap_interval([array(0.1, 0.1, 0.1)], seed=0)
    assert equal is not None
    assert equal.as_list() == pytest.approx([0.1, 0.1])
    assert equal.low <= own.stratified_mean([array(0.1, 0.1, 0.1)]) <= equal.high


def exact_sign_flip(strata: list[np.ndarray]) -> float:
    observed = abs(own.stratified_mean(strata))
    sizes = [len(values) for values in strata]
    hits = total = 0
    for signs in itertools.product((1, -1), repeat=sum(sizes)):
        flipped = np.array(signs) * np.concatenate(strata)
        parts = np.split(flipped, np.cumsum(sizes)[:-1])
        hits += abs(own.stratified_mean(parts)) >= observed - 1e-12
        total += 1
    return hits / total


@pytest.mark.parametrize(
    "strata",
    [
        [array(1, 1, 1, 0, -1, 1, 1, 0, 1)],
        [array(0.3, 0.1, -0.2, 0.55), array(1, 1, 0, 1, 1)],
        [array(0.1, 0.2, 0.3), array(-0.1, -0.2, -0.3)],
    ],
)
def test_sign_flip_equals_enumeration(strata: list[np.ndarray]) -> None:
    p = exact_sign_flip(strata)
    standard_error = (p * (1 - p) / own.NUM_SIGN_FLIPS) ** 0.5
    assert own.sign_flip_p(strata, seed=9) == pytest.approx(p, abs=4 * standard_error + 1e-4)


def test_sign_flip_on_binary_scores_approaches_mcnemar() -> None:
    differences = np.repeat([1.0, -1.0, 0.0], [30, 14, 100])
    mcnemar = own.mcnemar_exact_p((differences > 0).astype(float), (differences < 0).astype(float))
    assert own.sign_flip_p([differences], seed=0) == pytest.approx(mcnemar, abs=0.005)


def test_sign_flip_holds_its_level() -> None:
    generator = np.random.default_rng(21)
    rejected = 0
    for trial in range(400):
        strata = [generator.choice([-1.0, 0.0, 1.0], size=n, p=[0.2, 0.6, 0.2]) for n in (60, 90)]
        rejected += own.sign_flip_p(strata, seed=trial, num_flips=500) < 0.05
    assert 0.02 <= rejected / 400 <= 0.085


def test_sign_flip_edge_cases() -> None:
    assert own.sign_flip_p([array(0.0, 0.0)], seed=0) == 1.0
    assert own.sign_flip_p([array(1.0)], seed=0) == 1.0
    with pytest.raises(ValueError, match="at least one value"):
        own.sign_flip_p([array()], seed=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12).filter(lambda values: np.std(values) > 1e-6))
def test_seed_spread_equals_scipy(values: list[float]) -> None:
    spread = own.spread_over_seeds(values)
    expected = stats.ttest_1samp(values, 0.0)
    interval = expected.confidence_interval(0.95)
    assert spread.ci is not None
    assert spread.ci.as_list() == pytest.approx([interval.low, interval.high], rel=1e-6, abs=1e-9)
    assert spread.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert (spread.n, spread.num_positive) == (len(values), sum(value > 0 for value in values))


def test_seed_spread_edge_cases() -> None:
    one = own.spread_over_seeds([0.2])
    assert (one.mean, one.ci, one.p, one.num_positive) == (0.2, None, None, 1)
    assert own.spread_over_seeds([0.0, 0.0]).p == 1.0
    equal = own.spread_over_seeds([0.3, 0.3, 0.3])
    assert equal.p == 0.0
    assert equal.ci is not None
    assert equal.ci.low == pytest.approx(equal.ci.high)
    with pytest.raises(ValueError, match="at least one value"):
        own.spread_over_seeds([])


@settings(max_examples=200, deadline=None)
@given(st.tuples(*[st.integers(0, 3000)] * 4).filter(lambda counts: counts[0] + counts[1] and counts[2] + counts[3]))
def test_fisher_equals_scipy(counts: tuple[int, int, int, int]) -> None:
    left, right = counts[:2], counts[2:]
    expected = stats.fisher_exact(np.array([left, right])).pvalue
    assert own.fisher_exact_p(left, right) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(st.lists(st.floats(-1, 1).map(lambda value: round(value, 3)), min_size=1, max_size=9))
def test_exact_sign_flips_are_those_of_enumeration(values: list[float]) -> None:
    signs = itertools.product((1, -1), repeat=len(values))
    means = [abs(sum(sign * value for sign, value in zip(flips, values, strict=True))) for flips in signs]
    expected = np.mean([mean >= abs(sum(values)) - 1e-9 for mean in means])
    assert own.exact_sign_flip_p(values) == pytest.approx(expected)


def test_exact_sign_flips_of_one_sign_are_the_fewest_there_are() -> None:
    assert own.exact_sign_flip_p([0.1, 0.2]) == 0.5
    assert own.exact_sign_flip_p([0.3] * 5) == 2 / 2**5
    assert own.exact_sign_flip_p([0.0, 0.0]) == 1.0
    assert own.exact_sign_flip_p([0.5] * 40) < 0.001  # beyond enumeration: by random signs


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ([0.2], "1 seed"),
        ([0.2, 0.3], "2 seeds"),
        ([0.3, 0.3, 0.3], "equal differences"),
        ([0.0, 0.0, 0.0, 0.0], "equal differences"),
        ([0.0, 0.02, 0.9, 0.95], "two groups of differences far apart"),
        ([0.05, 0.03, -0.01], ""),
        ([0.1, 0.2, 0.3, 0.4, 0.5], ""),
    ],
)
def test_t_is_refused_where_it_cannot_hold(values: list[float], refusal: str) -> None:
    found = own.difference_over_seeds(values)
    assert found.refusal == refusal
    assert (found.p is None) == (found.ci is None) == bool(refusal)
    assert (found.p_exact is None) == (len(values) == 1)
    if not refusal:
        assert found.p == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)
