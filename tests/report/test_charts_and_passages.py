"""The parts of the report: curves, charts, passages, sentences."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rho1bench.comparison.differences import PairComparison
from rho1bench.comparison.run_summary import EqualFlopsEntry, SpeedUpEntry, TrainingSummary
from rho1bench.comparison.training_curves import read_curves
from rho1bench.errors import DataError
from rho1bench.rendering import scatter_chart
from rho1bench.rendering.axes import ticks
from rho1bench.rendering.line_chart import Chart, Series, svg
from rho1bench.rendering.scatter_chart import Point, Scatter, pareto_front
from rho1bench.report import curves, findings, token_passages
from rho1bench.system.files import write_jsonl

SVG = "{http://www.w3.org/2000/svg}"
finite = st.floats(-1e6, 1e6)


@given(finite, st.floats(1e-3, 1e6))
def test_ticks_are_round_and_inside(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 2 <= len(found) <= 11
    assert all(low - span * 1e-6 <= tick <= low + span * (1 + 1e-6) for tick in found)
    steps = [b - a for a, b in pairwise(found)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-6, abs=abs(low) * 1e-12)


def chart(*series: Series, **settings: Any) -> Chart:
    return Chart("A & B", "From <low> to high.", "tokens", "nats", series, str, str, **settings)


def test_chart_is_xml_with_names_and_points() -> None:
    line = Series("<SLM>", 0, [(0, 1.0), (10, 2.0)], band=[(0, 0.5, 1.5), (10, 1.5, 2.5)], markers=True)
    root = ET.fromstring(
        svg(chart(line, Series("CLM", 1, [(0, 1.0), (10, 1.5)]), rules=[(1.5, "end")]), standalone=True)
    )
    assert root.get("role") == "img"
    assert root.get("aria-label") == "A & B. From <low> to high."
    assert [node.text for node in root.iter(f"{SVG}text") if node.get("class") == "name"] == ["<SLM>", "CLM"]
    curve = [node.get("points") for node in root.iter(f"{SVG}polyline")]
    assert len(curve) == 2
    for node in root.iter(f"{SVG}polyline"):
        for point in (node.get("points") or "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 480
            assert 0 <= y <= 300
    first, last = ((curve[0] or "").split()[i].split(",") for i in (0, -1))
    assert float(first[0]) < float(last[0])
    assert float(first[1]) > float(last[1])  # a rising curve rises on the page


def test_chart_of_one_point_and_of_none() -> None:
    root = ET.fromstring(svg(chart(Series("SLM", 0, [(5, 1.0)]))))
    assert len(list(root.iter(f"{SVG}circle"))) == 1
    with pytest.raises(ValueError, match="at least one point"):
        svg(chart(Series("SLM", 0, [])))


def point(name: str, x: float, y: float) -> Point:
    return Point(name, x, y, (y - 0.02, y + 0.02))


POINTS = [point("base", 0, 0.1), point("dear", 3, 0.5), point("good & cheap", 1, 0.5), point("best", 4, 0.8)]


def test_the_front_leaves_out_what_another_beats() -> None:
    assert [one.name for one in pareto_front(POINTS)] == ["base", "good & cheap", "best"]
    assert [one.name for one in pareto_front([point("a", 1, 0.2), point("b", 1, 0.3)])] == ["b"]


def test_scatter_labels_every_point_inside_the_drawing() -> None:
    drawn = Scatter("A & B", "On the front.", "operations", "% correct", POINTS, str, str)
    root = ET.fromstring(scatter_chart.svg(drawn, standalone=True))
    assert root.get("aria-label") == "A & B. On the front."
    names = [node for node in root.iter(f"{SVG}text") if node.get("class") == "name"]
    assert [node.text for node in names] == [one.name for one in POINTS]
    assert all(0 <= float(node.get("x", -1)) <= 560 and 0 <= float(node.get("y", -1)) <= 360 for node in names)
    assert (len(list(root.iter(f"{SVG}circle"))), len(list(root.iter(f"{SVG}rect")))) == (3, 2)  # one is the paper
    (front,) = root.iter(f"{SVG}polyline")
    assert len((front.get("points") or "").split()) == 2 * 3
    with pytest.raises(ValueError, match="at least one point"):
        scatter_chart.svg(Scatter("A", "B", "x", "y", [], str, str))


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=40), st.sampled_from([1, 3, 7]))
def test_rolling_mean_keeps_the_ends_and_the_range(points: list[tuple[float, float]], window: int) -> None:
    smooth = curves.rolling_mean(points, window)
    assert [x for x, _ in smooth] == [x for x, _ in points]
    assert (smooth[0], smooth[-1]) == (points[0], points[-1])
    ys = [y for _, y in points]
    assert all(min(ys) - 1e-3 <= y <= max(ys) + 1e-3 for _, y in smooth)


def test_losses_leave_out_what_was_not_measured(tmp_path: Path) -> None:
    rows = [
        {"step": 10, "tokens": 100, "loss_selected": None, "loss_unselected": None},
        {"step": 10, "tokens": 100, "validation_loss": 1.5},
    ]
    write_jsonl(tmp_path / "metrics.jsonl", rows)
    assert read_curves(tmp_path) == {"validation_loss": [(100.0, 1.5)]}
    with pytest.raises(DataError, match=r"other/metrics\.jsonl"):
        read_curves(tmp_path / "other")


def probe(*rows: tuple[int, list[int], list[str]]) -> list[dict[str, Any]]:
    return [
        {
            "step": step,
            "block": 0,
            "pieces": [f"t{i}" for i in range(len(kinds))],
            "selected": selected,
            "loss": [None] * len(kinds),
            "reference_loss": [None] * len(kinds),
            "kinds": kinds,
        }
        for step, selected, kinds in rows
    ]


KINDS = ["math", "math", "math", "url", "url", "byline", "wrong_number"]


def test_shares_by_kind(tmp_path: Path) -> None:
    rows = probe((0, [0, 1, 1, 1, 0, 1, 1], KINDS), (8, [0, 1, 1, 1, 0, 0, 0], KINDS))
    write_jsonl(tmp_path / "selected_tokens.jsonl", rows)
    read = token_passages.read_probe(tmp_path)
    shares = {share.kind: share for share in token_passages.kind_shares(read)}
    assert list(shares) == ["math", "wrong_number", "noise", "url", "byline"]
    assert shares["math"].num_tokens == 2  # position 0 is never ranked
    assert shares["math"].selected_share == {0: 1.0, 8: 1.0}
    assert shares["noise"].selected_share == {0: pytest.approx(2 / 3), 8: pytest.approx(1 / 3)}
    assert shares["math"].share_of_selected[8] == pytest.approx(2 / 3)
    assert sum(shares[kind].share_of_tokens for kind in ("math", "wrong_number", "noise")) == pytest.approx(1.0)
    sentence = findings.selection(list(shares.values()), 8, "SLM")
    assert "selects 100% of the math tokens and 33% of the noise" in sentence
    assert "Math tokens make up 33% of the probed tokens and 67% of the selected ones" in sentence


def test_one_kind_has_no_shares(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "selected_tokens.jsonl", probe((0, [0, 1], ["text", "text"])))
    assert token_passages.kind_shares(token_passages.read_probe(tmp_path)) == []
    assert findings.selection([], 0, "SLM") == ""


def test_broken_probe_is_named(tmp_path: Path) -> None:
    assert token_passages.read_probe(tmp_path) == []
    write_jsonl(tmp_path / "selected_tokens.jsonl", [{"step": 1}])
    with pytest.raises(DataError, match=r"selected_tokens\.jsonl: not a probe"):
        token_passages.read_probe(tmp_path)


def pair(difference: float, p: float) -> PairComparison:
    entry = {"treatment": 0.5 + difference, "baseline": 0.5, "difference": difference, "p": p, "n": 1080}
    entry |= {"ci": [difference - 0.02, difference + 0.02], "p_method": "x"}
    return PairComparison.model_validate({"treatment": "slm", "baseline": "clm", "suites": {"s": entry}, "tasks": {}})


@pytest.mark.parametrize(
    ("difference", "p", "verdict"),
    [
        (0.062, 0.001, "SLM beats CLM by 6.2 points on s"),
        (-0.062, 0.001, "SLM falls behind CLM by 6.2 points on s"),
        (0.062, 0.05, "No significant difference between SLM and CLM on s"),
        (0.0, 1.0, "No significant difference between SLM and CLM on s"),
    ],
)
def test_verdict_follows_the_numbers(difference: float, p: float, verdict: str) -> None:
    found, evidence = findings.finding(pair(difference, p), "s")
    assert found == verdict
    assert "n = 1,080" in evidence
    assert "95% CI over documents, not seeds: " in evidence


def test_conditions_tell_unequal_training() -> None:
    alike = TrainingSummary(max_steps=200, tokens=1_000_000, selected_tokens=600_000, num_parameters=1000)
    full = alike.model_copy(update={"selected_tokens": 1_000_000})
    equal = findings.conditions(pair(0.1, 0.1), {"slm": alike, "clm": full})
    assert (
        equal == "Both were trained for 200 steps on 1M tokens; the loss counted 600k of them for SLM and 1M for CLM."
    )
    unequal = findings.conditions(pair(0.1, 0.1), {"slm": alike, "clm": full.model_copy(update={"max_steps": 400})})
    assert unequal.startswith("They were not trained alike")
    assert findings.conditions(pair(0.1, 0.1), {}) == ""


@pytest.mark.parametrize(
    ("reading", "part"),
    [
        (
            {"share": 0.42, "share_ci": [0.37, 0.49], "at_first_point": False},
            "after 42% of CLM's tokens (95% CI 37% to 49%",
        ),
        ({"share": 0.42, "share_ci": [0.37, None], "at_first_point": False}, "from 37% on, with no upper end"),
        ({"share": None, "share_ci": None, "at_first_point": False}, "does not reach"),
        (
            {"share": 0.2, "share_ci": [0.2, 0.2], "at_first_point": True},
            "by its first evaluated checkpoint, after 20%",
        ),
        ({"share": 0.0, "share_ci": [0.0, 0.0], "at_first_point": True}, "no better than where both began"),
    ],
)
def test_speedup_sentence(reading: dict[str, Any], part: str) -> None:
    entry = {"treatment": "slm", "baseline": "clm", "suite": "s", "target": 0.5, "n": 360, "num_checkpoints": 6}
    tokens = reading["share"] and 1e6 * reading["share"]
    assert part in findings.speedup(SpeedUpEntry.model_validate(entry | reading | {"tokens": tokens}))


def test_speedup_sentence_counts_the_reference() -> None:
    counted = {"ahead_share": 0.9, "flops": 13e9, "tokens": 1.3e6, "share": 1.32, "share_ci": [1.27, None]}
    entry = {"treatment": "slm", "baseline": "clm", "suite": "s", "target": 0.5, "n": 360, "num_checkpoints": 6}
    entry |= {"share": 0.42, "share_ci": [0.37, None], "at_first_point": False, "tokens": 4e5, "counted": counted}
    assert findings.speedup(SpeedUpEntry.model_validate(entry)).endswith(
        "with its reference and scoring counted, which took 90% of what CLM took, after 132% of CLM's operations "
        "(95% CI from 127% on, with no upper end)."
    )
    free = entry | {"counted": counted | {"ahead_share": 0.0}}
    assert findings.speedup(SpeedUpEntry.model_validate(free)).endswith("in operations, after 132% of CLM's.")


def test_equal_operations_sentence() -> None:
    scores = {"treatment": 0.2, "baseline": 0.45, "difference": -0.25, "ci": [-0.3, -0.2], "p": 0.001, "n": 360}
    reading = {"flops": 7.4e12, "treatment_tokens": 1e5, "baseline_tokens": 1.2e6, "scores": scores | {"p_method": "x"}}
    entry = {"suite": "s", "treatment": "slm", "baseline": "clm", "reading": reading}
    text = findings.equal_flops(EqualFlopsEntry.model_validate(entry))
    assert "After the same 7.4e12 operations, references and scoring counted (100k and 1.2M tokens)" in text
    assert "SLM has 20.0% and CLM 45.0% on s: −25.0 points" in text
    nothing = entry | {"reading": reading | {"treatment_tokens": None, "scores": None}}
    assert "SLM has no checkpoint yet" in findings.equal_flops(EqualFlopsEntry.model_validate(nothing))
