"""The summary over seeds, the console table and the way numbers are written."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scipy import stats

from rho1bench.comparison.console_table import comparison_table, result_tables
from rho1bench.comparison.run_summary import RunSummary, SeedsSummary
from rho1bench.comparison.seeds import summarise
from rho1bench.errors import DataError
from rho1bench.rendering import numbers as fmt
from rho1bench.system.files import read_json, write_json


def entry(difference: float, p: float = 0.01, ci: list[float] | None = None) -> dict[str, Any]:
    bounds = ci or [difference - 0.02, difference + 0.02]
    return {
        "treatment": 0.5 + difference,
        "baseline": 0.5,
        "difference": difference,
        "ci": bounds,
        "p": p,
        "p_method": "x",
        "n": 1080,
    }


def run_summary(seed: int, difference: float, treatment: str = "slm") -> dict[str, Any]:
    pair = {
        "treatment": treatment,
        "baseline": "clm",
        "suites": {"mini_math9": entry(difference)},
        "tasks": {"mini_gsm8k": {"suite": "mini_math9", "metric": "exact_match", "p_holm": 0.02, **entry(difference)}},
    }
    return {
        "schema": 1,
        "recipe": "quickstart",
        "seed": seed,
        "rho1bench_version": "0.1.0",
        "comparisons": [pair],
        "validation_losses": {"slm": 0.5 - difference, "clm": 0.5},
    }


DIFFERENCES = {1: 0.05, 2: 0.03, 3: -0.01}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for seed, difference in DIFFERENCES.items():
        write_json(tmp_path / f"seed-{seed}/summary.json", run_summary(seed, difference))
    return tmp_path


def test_summary_over_seeds(out: Path) -> None:
    summarise(out, [1, 2, 3])
    summary = read_json(out / "summary.json")
    suite = summary["pairs"][0]["suites"]["mini_math9"]
    expected = stats.ttest_1samp(list(DIFFERENCES.values()), 0.0)
    assert suite["difference"] == pytest.approx(sum(DIFFERENCES.values()) / 3)
    assert suite["p"] == pytest.approx(expected.pvalue)
    assert suite["ci"] == pytest.approx(list(expected.confidence_interval(0.95)))
    assert (suite["num_positive"], suite["n"]) == (2, 3)
    assert [(row["seed"], row["difference"], row["p"]) for row in suite["seeds"]] == [
        (seed, difference, 0.01) for seed, difference in DIFFERENCES.items()
    ]
    assert summary["pairs"][0]["tasks"]["mini_gsm8k"]["num_positive"] == 2
    assert summary["pairs"][0]["validation_loss"]["difference"] == pytest.approx(-0.07 / 3)


def test_report_over_seeds_is_readable_and_stable(out: Path) -> None:
    summarise(out, [1, 2, 3])
    first = (out / "report.md").read_text()
    assert "SLM is ahead in 2 of 3 seeds; mean difference +2.3 points" in first
    assert "| 3 | 49.0 | 50.0 | −1.0 |" in first
    assert "| mean |" in first
    assert "Last loss on clean held-out text" in first
    summarise(out, [1, 2, 3])
    assert (out / "report.md").read_text() == first


def test_one_seed_has_no_interval(out: Path) -> None:
    summarise(out, [2])
    suite = read_json(out / "summary.json")["pairs"][0]["suites"]["mini_math9"]
    assert (suite["ci"], suite["p"], suite["n"]) == (None, None, 1)
    assert "SLM is ahead in 1 of 1 seeds; mean difference +3.0 points." in (out / "report.md").read_text()


def test_two_seeds_have_the_exact_p_alone(out: Path) -> None:
    summarise(out, [1, 2])
    suite = read_json(out / "summary.json")["pairs"][0]["suites"]["mini_math9"]
    assert (suite["ci"], suite["p"], suite["p_exact"]) == (None, None, 0.5)
    assert suite["p_method"] == "no t test: 2 seeds"
    report = (out / "report.md").read_text()
    assert "mean difference +4.0 points (no t test: 2 seeds; exact sign-flip p = 0.500)." in report
    assert "| p over questions |" in report
    summarise(out, [1, 2, 3])
    assert "by Student's t; exact sign-flip p = 0.500)." in (out / "report.md").read_text()
    p = stats.ttest_1samp(list(DIFFERENCES.values()), 0.0).pvalue
    assert f"{p:.3f} over seeds |" in (out / "report.md").read_text()


def test_seeds_of_the_settings_are_shown_and_never_counted(out: Path) -> None:
    summarise(out, [2, 3])
    without = read_json(out / "summary.json")["pairs"][0]
    summarise(out, [1, 2, 3], [1])
    summary = read_json(out / "summary.json")
    assert (summary["seeds"], summary["tuning_seeds"]) == ([1, 2, 3], [1])
    for part in ("suites", "tasks"):
        for name, entry in summary["pairs"][0][part].items():
            assert [row["seed"] for row in entry["seeds"]] == [1, 2, 3]
            assert entry | {"seeds": []} == without[part][name] | {"seeds": []}
    report = (out / "report.md").read_text()
    assert "Settings were chosen on seed 1" in report
    assert "| 1 (not counted) | 55.0 |" in report
    with pytest.raises(DataError, match="none that is not in"):
        summarise(out, [1], [1])


def test_suites_of_a_pair_are_adjusted_and_tasks_have_a_p_of_their_own(out: Path) -> None:
    for seed, difference in DIFFERENCES.items():
        summary = run_summary(seed, difference)
        pair = summary["comparisons"][0]
        pair["suites"]["mini_tir7"] = entry(0.02 + 0.001 * seed)
        task = pair["tasks"]["mini_gsm8k"]
        pair["tasks"] = {f"task{index}": {**task, "difference": 0.01 * (index + 1)} for index in range(5)}
        write_json(out / f"seed-{seed}/summary.json", summary)
    summarise(out, [1, 2, 3])
    suites = read_json(out / "summary.json")["pairs"][0]["suites"]
    math9, tir7 = suites["mini_math9"], suites["mini_tir7"]
    assert tir7["p"] < math9["p"]
    assert (tir7["p_holm"], math9["p_holm"]) == pytest.approx((2 * tir7["p"], math9["p"]))
    assert (math9["p_tasks"], tir7["p_tasks"]) == (2 / 2**5, None)


def test_missing_losses_are_left_out(out: Path) -> None:
    summary = run_summary(2, 0.03)
    del summary["validation_losses"]
    write_json(out / "seed-2/summary.json", summary)
    summarise(out, [1, 2])
    assert read_json(out / "summary.json")["pairs"][0]["validation_loss"] is None


def test_unfinished_or_unlike_seeds_are_refused(out: Path) -> None:
    with pytest.raises(DataError, match=r"seed-9/summary\.json: not the summary of a finished run"):
        summarise(out, [1, 9])
    write_json(out / "seed-3/summary.json", run_summary(3, 0.1, treatment="random"))
    with pytest.raises(DataError, match="different checkpoints"):
        summarise(out, [1, 2, 3])
    with pytest.raises(DataError, match="no seeds"):
        summarise(out, [])
    assert not (out / "summary.json").exists()


def printed(summary: dict[str, Any]) -> str:
    console = Console(width=110, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    kind = SeedsSummary if "pairs" in summary else RunSummary
    console.print(comparison_table(kind.model_validate(summary)))
    return console.export_text()


def test_console_table_shows_every_number(out: Path) -> None:
    text = printed(run_summary(1, 0.05))
    for cell in ("SLM against CLM", "mini_math9", "55.0", "50.0", "+5.0", "+3.0 to +7.0", "0.010", "1,080"):
        assert cell in text
    summarise(out, [1, 2, 3])
    assert "seeds" in printed(read_json(out / "summary.json"))


def test_console_table_takes_names_literally() -> None:
    summary = run_summary(1, 0.05)
    summary["comparisons"][0]["suites"] = {"[red]x[/]": entry(0.01)}
    assert "[red]x[/]" in printed(summary)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (fmt.points(0.0314), "+3.1"),
        (fmt.points(-0.004), "−0.4"),
        (fmt.points(-0.0001), "0.0"),
        (fmt.p_value(0.0412), "0.041"),
        (fmt.p_value(0.00064), "0.0006"),
        (fmt.p_value(1e-9), "<0.0001"),
        (fmt.p_clause(1e-9), "p < 0.0001"),
        (fmt.interval(None), "–"),
        (fmt.short_count(2_457_600), "2.46M"),
        (fmt.short_count(950), "950"),
        (fmt.seconds(9.94), "9.9 s"),
        (fmt.seconds(185), "3 min 05 s"),
        (fmt.seconds(7800), "2 h 10 min"),
        (fmt.label_name("slm-sft@000100"), "SLM-SFT @ 100"),
        (fmt.label_name("base"), "base"),
    ],
)
def test_numbers_are_written_for_people(text: str, expected: str) -> None:
    assert text == expected


def test_summary_is_plain_json(out: Path) -> None:
    summarise(out, [1, 2, 3])
    json.loads((out / "summary.json").read_text(), parse_constant=lambda name: math.nan if name else pytest.fail(name))


def test_the_console_shows_bits_per_byte_and_no_empty_table_of_scores() -> None:
    text = entry(-0.1, p=0.002, ci=[-0.15, -0.05]) | {"n": 12}
    bits = {"corpora": {"held-out": text}, "gold_answers": {}, "suites": {}}
    pair = {"treatment": "slm", "baseline": "clm", "suites": {}, "tasks": {}, "bits_per_byte": bits}
    summary = RunSummary.model_validate(run_summary(1, 0.05) | {"comparisons": [pair]})
    (table,) = result_tables(summary)
    console = Console(width=140, record=True)
    console.print(table)
    shown = console.export_text()
    for word in ("bits per byte", "SLM against CLM", "held-out (corpus)", "0.4000", "−0.1000", "−0.1500 to −0.0500"):
        assert word in shown
