"""The compare stage: right numbers on known scores, refusal of what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from eval_folders import write_label

from rho1bench.comparison import stage as comparison_stage
from rho1bench.comparison import tokens_to_baseline
from rho1bench.comparison.eval_results import read_label
from rho1bench.errors import DataError
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import CompareStage, Pair, Recipe
from rho1bench.system.files import read_json, read_jsonl, write_jsonl
from rho1bench.system.progress import SilentProgress

SUITES = {"mini_math9": ["math_a", "math_b"], "mini_general15": ["tydiqa", "math_a"]}


def scores(seed: int, gain: float) -> dict[str, list[float]]:
    generator = np.random.default_rng(seed)
    return {
        "math_a": (generator.random(120) < 0.4 + gain).astype(float).tolist(),
        "math_b": (generator.random(80) < 0.5 + gain).astype(float).tolist(),
        "tydiqa": np.clip(generator.random(50) + gain, 0, 1).tolist(),
    }


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    folder = tmp_path / "eval"
    write_label(folder, "slm", scores(1, 0.25), SUITES)
    write_label(folder, "clm", scores(2, 0.0), SUITES)
    return folder


def run_stage(evaluation: Path, out: Path, treatment: str = "slm", seed: int = 7) -> dict:
    stage = CompareStage(
        kind="compare", name="compare", evaluation="eval", pairs=[Pair(treatment=treatment, baseline="clm")]
    )
    out.mkdir(exist_ok=True)
    recipe = Recipe(name="quick", stages=[stage])
    comparison_stage.run(StageContext(recipe, stage, out, {"eval": evaluation}, seed, SilentProgress()))
    return read_json(out / "comparison.json")


def test_stage_writes_the_contract(evaluation: Path, tmp_path: Path) -> None:
    result = run_stage(evaluation, tmp_path / "compare")
    pair = result["pairs"][0]
    assert (pair["treatment"], pair["baseline"]) == ("slm", "clm")
    assert set(pair["suites"]) == set(SUITES)
    treatment, baseline = scores(1, 0.25), scores(2, 0.0)
    for task, entry in pair["tasks"].items():
        assert entry["treatment"] == pytest.approx(np.mean(treatment[task]))
        assert entry["difference"] == pytest.approx(np.mean(treatment[task]) - np.mean(baseline[task]))
        assert entry["ci"][0] <= entry["difference"] <= entry["ci"][1]
        assert entry["n"] == len(treatment[task])
        assert entry["p"] <= entry["p_holm"] <= 1
    assert pair["tasks"]["math_a"]["suite"] == "mini_math9"
    assert pair["tasks"]["tydiqa"]["suite"] == "mini_general15"
    assert pair["tasks"]["tydiqa"]["p_method"].startswith("sign-flip")
    assert pair["tasks"]["math_a"]["p_method"] == "exact McNemar"
    suite = pair["suites"]["mini_general15"]
    assert suite["difference"] == pytest.approx(np.mean([pair["tasks"][t]["difference"] for t in ("tydiqa", "math_a")]))
    assert suite["n"] == 170
    assert suite["p"] < 0.001


def test_same_inputs_same_bytes(evaluation: Path, tmp_path: Path) -> None:
    run_stage(evaluation, tmp_path / "a")
    run_stage(evaluation, tmp_path / "b")
    assert (tmp_path / "a/comparison.json").read_bytes() == (tmp_path / "b/comparison.json").read_bytes()


def test_documents_are_paired_by_id_not_by_line(evaluation: Path, tmp_path: Path) -> None:
    before = run_stage(evaluation, tmp_path / "a")
    path = evaluation / "slm/samples_math_a.jsonl"
    write_jsonl(path, reversed(read_jsonl(path)))
    assert run_stage(evaluation, tmp_path / "b") == before


def test_equal_checkpoints_differ_by_nothing(evaluation: Path, tmp_path: Path) -> None:
    write_label(evaluation, "twin", scores(2, 0.0), SUITES)
    suite = run_stage(evaluation, tmp_path / "compare", treatment="twin")["pairs"][0]["suites"]["mini_math9"]
    assert (suite["difference"], suite["ci"], suite["p"]) == (0.0, [0.0, 0.0], 1.0)


def refusal(evaluation: Path, tmp_path: Path) -> str:
    with pytest.raises(DataError) as caught:
        run_stage(evaluation, tmp_path / "compare")
    assert not (tmp_path / "compare/comparison.json").exists()
    return str(caught.value)


def test_refuses_a_missing_label(evaluation: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no results for the checkpoint 'other' \(evaluated: clm, slm\)"):
        run_stage(evaluation, tmp_path / "compare", treatment="other")


def test_refuses_other_documents(evaluation: Path, tmp_path: Path) -> None:
    shorter = scores(2, 0.0)
    shorter["math_b"] = shorter["math_b"][:78]
    write_label(evaluation, "clm", shorter, SUITES)
    message = refusal(evaluation, tmp_path)
    assert "math_b: 2 documents only under 'slm' (doc_id 78, 79)" in message


def test_refuses_other_contents(evaluation: Path, tmp_path: Path) -> None:
    path = evaluation / "slm/samples_math_a.jsonl"
    rows = read_jsonl(path)
    rows[3]["doc"]["question"] = "another question"
    write_jsonl(path, rows)
    assert "math_a: 1 documents have other contents under the same doc_id (3)" in refusal(evaluation, tmp_path)


def test_refuses_other_tasks(evaluation: Path, tmp_path: Path) -> None:
    fewer = scores(2, 0.0)
    del fewer["tydiqa"]
    write_label(evaluation, "clm", fewer, {"mini_math9": ["math_a", "math_b"]})
    assert "tydiqa: evaluated for 'slm' only" in refusal(evaluation, tmp_path)


def test_refuses_another_fingerprint_and_names_the_part(evaluation: Path, tmp_path: Path) -> None:
    decoding = {"temperature": 0.7, "max_gen_toks": 96}
    write_label(evaluation, "clm", scores(2, 0.0), SUITES, eval_fingerprint="e" * 64, decoding=decoding)
    message = refusal(evaluation, tmp_path)
    assert "decoding: {'strategy': 'greedy', 'temperature': 0.0" in message
    assert "eval_fingerprint:" not in message


def test_refuses_another_fingerprint_without_a_visible_part(evaluation: Path, tmp_path: Path) -> None:
    write_label(evaluation, "clm", scores(2, 0.0), SUITES, eval_fingerprint="e" * 64)
    assert "eval_fingerprint: 'ffff" in refusal(evaluation, tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"task": "math_a", "doc_id": 5, "score": 2.0}, "score must be a number from 0 to 1, not 2.0"),
        ({"task": "math_a", "doc_id": 5, "score": "1"}, "score must be a number"),
        ({"task": "math_a", "score": 1.0}, "a sample needs doc_id and score"),
        ({"task": "math_a", "doc_id": 0, "score": 1.0}, "doc_id 0 comes twice"),
    ],
)
def test_refuses_broken_samples(evaluation: Path, tmp_path: Path, row: dict, message: str) -> None:
    path = evaluation / "slm/samples_math_a.jsonl"
    write_jsonl(path, [*read_jsonl(path), row])
    found = refusal(evaluation, tmp_path)
    assert message in found
    assert "samples_math_a.jsonl:121" in found


def test_refuses_samples_that_do_not_give_the_score(evaluation: Path, tmp_path: Path) -> None:
    path = evaluation / "slm/samples_math_a.jsonl"
    rows = read_jsonl(path)
    for row in rows[:10]:
        row["score"] = 1.0 - row["score"] / 2
    write_jsonl(path, rows)
    assert "the score of math_a in results.json is" in refusal(evaluation, tmp_path)


def test_broken_results_are_named(evaluation: Path) -> None:
    (evaluation / "slm/results.json").write_text("{}")
    with pytest.raises(DataError, match=r"slm/results\.json: not the results"):
        read_label(evaluation, "slm")


@pytest.mark.parametrize(
    ("averages", "target", "tokens"),
    [
        ([0.2, 0.4, 0.6], 0.5, 250.0),
        ([0.6, 0.7, 0.8], 0.5, 100.0),
        ([0.1, 0.2, 0.3], 0.5, None),
        ([0.1, 0.5, 0.4], 0.5, 200.0),
    ],
)
def test_tokens_to_reach(averages: list[float], target: float, tokens: float | None) -> None:
    assert tokens_to_baseline.tokens_to_reach([100, 200, 300], averages, target) == tokens


def test_tokens_to_baseline_reads_share_and_interval() -> None:
    generator = np.random.default_rng(0)
    difficulty = [generator.random(300), generator.random(200)]
    curve = [[(task < skill).astype(float) for task in difficulty] for skill in (0.2, 0.4, 0.6, 0.8)]
    baseline = [(task < 0.5).astype(float) for task in difficulty]
    reading = tokens_to_baseline.tokens_to_baseline([100, 200, 300, 400], curve, baseline, 400, seed=1)
    assert reading.share == pytest.approx(250 / 400, abs=0.05)
    assert reading.share_ci is not None
    assert reading.share_ci[1] is not None
    assert reading.share_ci[0] <= reading.share <= reading.share_ci[1] < 0.75
    assert (reading.n, reading.num_checkpoints, reading.at_first_point) == (500, 4, False)
    never = tokens_to_baseline.tokens_to_baseline([100, 200], curve[:2], baseline, 400, seed=1)
    assert (never.tokens, never.share, never.share_ci) == (None, None, None)
    early = tokens_to_baseline.tokens_to_baseline([300, 400], curve[2:], baseline, 400, seed=1)
    assert early.at_first_point
    assert early.share == 0.75
