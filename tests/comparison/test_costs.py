"""What checkpoints cost along a recipe, and what follows from it: everything computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rho1bench.comparison.costs import CheckpointCost, StageCost, StagesNeeded, checkpoint_costs
from rho1bench.comparison.equal_flops import ArmCost, Curve, arm_cost, at_equal_flops, counted_tokens
from rho1bench.comparison.tokens_to_baseline import TokensToBaseline
from rho1bench.errors import DataError
from rho1bench.recipe import Recipe
from rho1bench.sizing.cost import Cost, total_cost
from rho1bench.system.files import write_json

SOURCE = {"type": "mini_world", "text": "web", "num_documents": 100}
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
}
EXCESS = {"score": "excess_loss", "ratio": 0.6, "token_scores": "scores"}


def trained(name: str, init: Any = "base", **fields: Any) -> dict[str, Any]:
    optimizer = {"learning_rate": 1e-3}
    stage = {"name": name, "kind": "pretrain", "corpus": "web", "init": init, "optimizer": optimizer}
    return {**stage, "batch_size": 8, "max_steps": 10, **fields}


def recipe(*stages: dict[str, Any], evaluated: list[str]) -> Recipe:
    head = [
        {"name": "tokenizer", "kind": "tokenizer", "vocab_size": 400, "sources": [SOURCE]},
        {"name": "web", "kind": "corpus", "tokenizer": "tokenizer", "sources": [SOURCE], "block_size": 64},
    ]
    last = {"name": "eval", "kind": "eval", "evaluations": [{"checkpoints": evaluated, "suites": ["mini_math9"]}]}
    return Recipe.model_validate({"name": "costs", "stages": [*head, *stages, last]})


STAGES = [
    trained("base", SHAPE),
    trained("reference"),
    {"name": "scores", "kind": "score", "reference": "reference", "corpus": "web"},
    trained("clm", monitor=EXCESS),
    trained("slm", selection=EXCESS),
    trained("random", selection={"score": "random", "ratio": 0.6, "token_scores": "scores"}),
    trained("all", selection={"score": "excess_loss", "ratio": 1.0, "token_scores": "scores"}),
    trained("weighed", selection={"score": "soft_excess_loss", "token_scores": "scores"}),
    trained("from-reference", "reference"),
    trained("then-reference", "clm"),
]
ALL = ["base", "reference", "clm", "slm", "random", "all", "weighed", "from-reference", "then-reference"]


@pytest.mark.parametrize(
    ("label", "own"),
    [
        ("base", []),  # where all of them start
        ("reference", ["reference"]),
        ("clm", ["clm"]),  # its monitor's ranking changes nothing
        ("slm", ["reference", "scores", "slm"]),
        ("random", ["random"]),  # names the scores, as every arm does, and reads none
        ("all", ["all"]),
        ("weighed", ["reference", "scores", "weighed"]),
        ("from-reference", ["reference", "from-reference"]),
        ("then-reference", ["clm", "then-reference"]),
    ],
)
def test_a_checkpoint_needs_what_it_was_made_of(label: str, own: list[str]) -> None:
    assert StagesNeeded(recipe(*STAGES, evaluated=ALL)).of(label) == (own, ["base"])


def test_what_only_one_checkpoint_starts_from_is_not_shared() -> None:
    needed = StagesNeeded(recipe(*STAGES, evaluated=["base", "slm"]))
    assert needed.of("slm") == (["base", "reference", "scores", "slm"], [])
    fresh = StagesNeeded(recipe(*STAGES, trained("fresh", SHAPE), evaluated=["clm", "slm", "fresh"]))
    assert fresh.of("clm") == (["base", "clm"], [])


def cost(flops: float | None, seconds: float = 1.0, hardware: str = "cpu") -> dict[str, Any]:
    return {"flops": flops, "seconds": seconds, "hardware": hardware}


def write_costs(folder: Path, scoring: dict[str, Any], **training: float) -> dict[str, Path]:
    for name, flops in training.items():
        write_json(folder / name / "training.json", {"cost": cost(flops, 2.0)})
    write_json(folder / "scores" / "scores.json", {"cost": scoring})
    return {name: folder / name for name in (*training, "scores")}


def test_costs_are_added_up(tmp_path: Path) -> None:
    run = recipe(*STAGES, evaluated=["base", "clm", "slm"])
    folders = write_costs(tmp_path, cost(7.0, 3.0, "1 x GPU"), base=100.0, reference=30.0, clm=50.0, slm=40.0)
    found = checkpoint_costs(run, folders)
    assert found["slm"].total == Cost(flops=77.0, seconds=7.0, hardware="cpu + 1 x GPU")
    assert [part.stage for part in found["slm"].stages] == ["reference", "scores", "slm"]
    assert found["slm"].ahead_flops == 37.0
    assert [part.cost.flops for part in found["slm"].shared] == [100.0]
    assert found["clm"].total.flops == 50.0
    assert (found["base"].stages, found["base"].total.flops) == ([], 0)
    assert arm_cost(found["slm"], 20) == ArmCost(ahead=37.0, training=40.0, tokens=20)
    assert arm_cost(found["base"], 20) is None


def test_what_is_not_known_is_not_made_up(tmp_path: Path) -> None:
    run = recipe(*STAGES, evaluated=["base", "clm", "slm"])
    folders = write_costs(tmp_path, cost(None), base=100.0, reference=30.0, clm=50.0, slm=40.0)
    slm = checkpoint_costs(run, folders)["slm"]
    assert (slm.total.flops, slm.ahead_flops, arm_cost(slm, 20)) == (None, None, None)
    write_json(tmp_path / "reference/training.json", {"max_steps": 3})  # of an earlier version
    assert list(checkpoint_costs(run, folders)) == ["base", "clm"]
    (tmp_path / "clm/training.json").write_text("[")
    with pytest.raises(DataError, match=r"clm/training\.json: not the record of a training stage"):
        checkpoint_costs(run, folders)


def test_models_from_elsewhere_are_named(tmp_path: Path) -> None:
    given = {"pretrained": "someone/model"}
    other = {"name": "scores", "kind": "score", "reference": {"pretrained": "someone/reference"}, "corpus": "web"}
    run = recipe(other, trained("clm", given), trained("slm", given, selection=EXCESS), evaluated=["clm", "slm"])
    found = checkpoint_costs(run, write_costs(tmp_path, cost(7.0), clm=50.0, slm=40.0))
    assert found["clm"].not_counted == ["someone/model"]
    assert found["slm"].not_counted == ["someone/reference", "someone/model"]
    assert found["slm"].total.flops == 47.0


def test_no_costs_cost_nothing() -> None:
    assert total_cost([]) == Cost(flops=0, seconds=0, hardware="")


READING = TokensToBaseline(0.5, 400.0, False, 0.4, (0.3, None), 5, 90)
TREATMENT, BASELINE = ArmCost(ahead=300.0, training=900.0, tokens=1000), ArmCost(0.0, 1000.0, 1000)


def test_tokens_to_the_baseline_with_everything_counted() -> None:
    found = counted_tokens(READING, TREATMENT, BASELINE)
    assert found.ahead_share == pytest.approx(0.3)
    assert found.flops == pytest.approx(300 + 0.4 * 900)
    assert found.tokens == pytest.approx(660)  # of the baseline, an operation a token
    assert found.share == pytest.approx(0.66)
    assert found.share_ci == (pytest.approx(0.3 + 0.27), None)
    free = counted_tokens(READING, BASELINE, BASELINE)
    assert (free.share, free.ahead_share) == (pytest.approx(0.4), 0.0)
    never = TokensToBaseline(0.5, None, False, None, None, 5, 90)
    assert counted_tokens(never, TREATMENT, BASELINE).share is None


def curve(arm: ArmCost, *averages: float, n: int = 400) -> Curve:
    """An arm whose documents all score the same at each of its checkpoints."""
    tokens = [1000 * index / (len(averages) - 1) for index in range(len(averages))]
    return Curve(tokens, [[np.full(n, average), np.full(n, average)] for average in averages], arm)


def test_scores_at_equal_operations_are_read_between_checkpoints() -> None:
    found = at_equal_flops(curve(TREATMENT, 0.0, 0.4, 0.8), curve(BASELINE, 0.0, 0.5, 0.6), seed=0)
    assert found.flops == 1000.0
    assert found.treatment_tokens == pytest.approx(1000 * 700 / 900)
    assert found.baseline_tokens == 1000
    assert found.scores is not None
    assert found.scores.treatment == pytest.approx(0.8 * 700 / 900)
    assert found.scores.baseline == pytest.approx(0.6)
    assert found.scores.n == 800


def test_an_arm_whose_reference_takes_all_has_no_score() -> None:
    dear = ArmCost(ahead=1500.0, training=900.0, tokens=1000)
    found = at_equal_flops(curve(dear, 0.0, 0.8), curve(BASELINE, 0.0, 0.6), seed=0)
    assert (found.treatment_tokens, found.scores) == (None, None)


def test_the_cost_of_a_stage_is_its_last_part() -> None:
    parts = [StageCost(stage=name, kind="training", cost=Cost.model_validate(cost(1.0))) for name in ("a", "b")]
    whole = CheckpointCost(stages=parts, total=total_cost(part.cost for part in parts), shared=[])
    assert whole.own == parts[1].cost
