"""Seeds on which a recipe's settings were chosen stand on the pages and are in no mean, no p and no curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from fake_records import fake_pair
from scipy import stats

from rho1bench.comparison.statistics import exact_sign_flip_p, holm
from rho1bench.leaderboard.pages.text import table_view
from rho1bench.leaderboard.records.checks import read_records
from rho1bench.leaderboard.records.record import Record
from rho1bench.leaderboard.records.record_summary import RecordSummary, summarize
from rho1bench.leaderboard.tables.accuracy_curves import accuracy_figures
from rho1bench.leaderboard.tables.differences import difference_table
from rho1bench.leaderboard.tables.table import Row
from rho1bench.system.paths import results_dir

SUITES = ("rho1_math9", "rho1_tir7")


@pytest.fixture(scope="module")
def records() -> list[RecordSummary]:
    """SLM and CLM on two suites over five seeds, the first of which served to choose."""
    return [
        summarize(Record.model_validate(record), counts=seed != 0)
        for suite in SUITES
        for seed in range(5)
        for record in fake_pair("tuned", suite=suite, seed=seed, gain=0.05 + 0.02 * seed)
    ]


def rows_of(records: Sequence[RecordSummary], suite: str) -> list[Row]:
    table = difference_table("x", "X", [one for one in records if one.suite == suite], {one.id: one for one in records})
    assert table is not None
    return table.rows


def differences(records: Sequence[RecordSummary], suite: str, seeds: Sequence[int]) -> list[float]:
    return [
        100.0 * one.comparison.average.difference
        for seed in seeds
        for one in records
        if one.comparison and one.suite == suite and one.training and one.training.seed == seed
    ]


@pytest.mark.parametrize("suite", SUITES)
def test_the_mean_is_over_the_seeds_that_count(records: list[RecordSummary], suite: str) -> None:
    mean, tuning, *others = rows_of(records, suite)
    assert mean.name == "mean of 4 seeds"
    assert tuning.name == "seed 0 (settings chosen on it; not counted)"
    assert [row.name for row in others] == [f"seed {seed}" for seed in range(1, 5)]
    values = differences(records, suite, range(1, 5))
    expected = stats.ttest_1samp(values, 0.0)
    assert mean.cells[0].value == pytest.approx(np.mean(values))
    assert mean.cells[0].p == pytest.approx(expected.pvalue)
    assert tuning.cells[0].value == pytest.approx(differences(records, suite, [0])[0])
    assert mean.cells[0].p_tasks == exact_sign_flip_p([cell.value for cell in mean.cells[1:] if cell.value is not None])


def test_averages_are_adjusted_over_the_suites_of_a_pair(records: list[RecordSummary]) -> None:
    found = {suite: rows_of(records, suite) for suite in SUITES}
    for place in (0, 2):  # the mean, and one seed
        cells = [found[suite][place].cells[0] for suite in SUITES]
        expected = holm([cell.p for cell in cells if cell.p is not None])
        assert [cell.p_holm for cell in cells] == pytest.approx(expected)
    alone = [one for one in records if one.suite == SUITES[0]]
    assert rows_of(alone, SUITES[0])[0].cells[0].p_holm is None


def test_pages_say_which_p_is_over_tasks(records: list[RecordSummary]) -> None:
    alone = [one for one in records if one.suite == SUITES[0]]
    table = difference_table("x", "X", alone, {one.id: one for one in alone})
    assert table is not None
    (group,) = table_view(table).groups
    assert "over tasks p " in group.rows[0].cells[0].p
    assert "over tasks" not in group.rows[0].cells[1].p


def test_curves_leave_them_out(records: list[RecordSummary]) -> None:
    figures, _ = accuracy_figures(records, {one.id: one for one in records})
    assert {line.num_seeds for figure in figures for line in figure.lines} == {4}


def test_the_landed_quickstart_says_so_of_its_own_seed() -> None:
    records, _ = read_records(results_dir())
    counted = {
        one.training.seed: one.counts for one in records if one.training and one.training.recipe == "quickstart_seeds"
    }
    assert counted == {0: False, 1: True, 2: True, 3: True}
