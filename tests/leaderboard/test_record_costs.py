"""Costs in records: packed from stages, carried into comparisons, and checked against recipe, tokens and each other."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_records import compared, with_hashes

from rho1bench.comparison.costs import StagesNeeded
from rho1bench.leaderboard.records.checks import read_records
from rho1bench.leaderboard.records.compare import speed_up_line, with_scores
from rho1bench.leaderboard.records.origin import origin_problems
from rho1bench.leaderboard.records.read import read_one
from rho1bench.leaderboard.records.record import Record
from rho1bench.recipe import ScoreStage
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.sizing.cost import Cost, total_cost
from rho1bench.system.paths import results_dir

Json = dict[str, Any]
RECIPE = load_recipe("quickstart_seeds")
SLM, CLM = (f"mini_math9/quickstart_seeds.{stage}.seed1" for stage in ("slm", "clm"))
OPERATIONS = {"base": 1.0e12, "reference": 5.2e12, "scores": 2.04e12, "clm": 7.0e12, "slm": 6.5e12}
"""About those of the recipe."""


def part(stage: str) -> Json:
    kind = "scoring" if isinstance(RECIPE.stage(stage), ScoreStage) else "training"
    return {"stage": stage, "kind": kind, "cost": {"flops": OPERATIONS[stage], "seconds": 9.5, "hardware": "cpu"}}


def with_cost(name: str) -> Json:
    """Return a landed record as a run of today would leave it."""
    record: Json = json.loads((results_dir() / f"records/{name}.json").read_text())
    own, shared = ([part(stage) for stage in names] for names in StagesNeeded(RECIPE).of(record["training"]["stage"]))
    total = total_cost(Cost.model_validate(one["cost"]) for one in own).model_dump()
    return record | {"cost": {"stages": own, "total": total, "shared": shared, "not_counted": []}}


@pytest.fixture(scope="module")
def pair() -> tuple[Json, Json]:
    clm = with_hashes(with_cost(CLM))
    return compared(with_hashes(with_cost(SLM)), clm), clm


def test_the_comparison_counts_what_the_treatment_needed(pair: tuple[Json, Json]) -> None:
    slm, _ = pair
    reading, ahead = slm["comparison"]["tokens_to_baseline"], OPERATIONS["reference"] + OPERATIONS["scores"]
    counted = reading["counted"]
    assert counted["ahead_share"] == pytest.approx(ahead / OPERATIONS["clm"])
    assert counted["share"] == pytest.approx((ahead + reading["share"] * OPERATIONS["slm"]) / OPERATIONS["clm"])
    equal = slm["comparison"]["equal_flops"]
    assert equal["flops"] == OPERATIONS["clm"]
    assert equal["treatment_tokens"] is None  # reference and scoring alone took more
    line = speed_up_line(with_scores(*map(Record.model_validate, pair), seed=1))
    assert "all that was needed counted" in line


def problems_of(record: Json, folder: Path) -> list[str]:
    """Return what is wrong with a record by itself and against its recipe."""
    path = folder / f"records/{record['id']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(with_hashes(record)))
    found, problems = read_one(path, path.relative_to(folder).as_posix())
    return problems if found is None or problems else list(origin_problems(found, results_dir()))


def test_a_record_with_a_cost_is_sound(pair: tuple[Json, Json], tmp_path: Path) -> None:
    assert [problems_of(record, tmp_path) for record in pair] == [[], []]


def cheap_training(record: Json) -> None:
    for one in (record["cost"]["stages"][-1]["cost"], record["cost"]["total"]):
        one["flops"] -= 6.1e12


MUTATIONS: dict[str, tuple[Callable[[Json], object], str]] = {
    "a smaller sum": (lambda r: r["cost"]["total"].update(flops=1e12), "cost.total.flops is 1000000000000.0"),
    "fewer seconds": (lambda r: r["cost"]["total"].update(seconds=1.0), "cost.total.seconds is 1.0"),
    "other hardware": (lambda r: r["cost"]["total"].update(hardware="abacus"), "cost.total.hardware is abacus"),
    "unknown operations": (lambda r: r["cost"]["total"].update(flops=None), "cost.total.flops is None"),
    "a stage twice": (lambda r: r["cost"]["shared"].append(r["cost"]["shared"][0]), "a stage comes twice"),
    "no reference": (
        lambda r: r["cost"].update(stages=[one | {"cost": r["cost"]["total"]} for one in r["cost"]["stages"][-1:]]),
        r"cost.stages are ['slm'], by its recipe ['reference', 'scores', 'slm']",
    ),
    "nothing shared": (lambda r: r["cost"].update(shared=[]), "cost.shared are [], by its recipe ['base']"),
    "a model from elsewhere": (lambda r: r["cost"].update(not_counted=["someone/model"]), "cost.not_counted is"),
    "too cheap a training": (cheap_training, "its training took 4e+11 operations"),
    "negative seconds": (lambda r: r["cost"]["shared"][0]["cost"].update(seconds=-1), "greater than or equal to 0"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_cost_that_cannot_be_is_named(name: str, pair: tuple[Json, Json], tmp_path: Path) -> None:
    change, expected = MUTATIONS[name]
    record = copy.deepcopy(pair[0])
    change(record)
    assert expected in "\n".join(problems_of(record, tmp_path))


def test_records_of_one_run_agree_on_costs_and_comparisons(pair: tuple[Json, Json], tmp_path: Path) -> None:
    for folder in ("paper", "recipes", "records/mini_math9"):
        shutil.copytree(results_dir() / folder, tmp_path / folder)
    slm, clm = copy.deepcopy(pair)
    clm["cost"]["shared"][0]["cost"]["seconds"] = 3.0
    slm["comparison"]["tokens_to_baseline"]["counted"]["share"] = 0.1
    slm["comparison"]["equal_flops"] = None
    for record in (slm, clm):
        (tmp_path / f"records/{record['id']}.json").write_text(json.dumps(with_hashes(record)))
    problems = "\n".join(read_records(tmp_path)[1])
    assert "says that base took something else" in problems
    assert "comparison of the tokens to the baseline: counted is" in problems
    assert "comparison of the scores at equal operations: they are flops=" in problems
