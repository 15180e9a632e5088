"""What the plan says of evaluations: requests by hand, seconds by hand, sizes of the test sets as they are."""

from __future__ import annotations

from typing import Any

import pytest

from rho1bench.evaluation.tasks.listing import list_tasks
from rho1bench.paper.suites import SUITES
from rho1bench.paper.task_sizes import TASK_SIZES
from rho1bench.plan.estimate import make_machine, plan_run
from rho1bench.plan.evaluation import Requests, requests_by_stage, seconds_of
from rho1bench.plan.tables import explanations
from rho1bench.recipe import EvalStage
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.sizing.flops import FORWARD, flops_per_token
from rho1bench.sizing.gpus import GPUS
from rho1bench.sizing.shapes import KNOWN_MODELS

TINYLLAMA = KNOWN_MODELS["TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T"]
MATH9 = SUITES["rho1_math9"]
H100 = GPUS["h100"]


def test_test_sets_are_as_large_as_the_tasks_say():
    rows = {task.name: task.num_rows for task in list_tasks()}
    names = {name for suite, tasks in SUITES.items() if suite.startswith("rho1") for name in tasks}
    assert set(TASK_SIZES) == names
    assert {name: found.rows for name, found in TASK_SIZES.items()} == {name: rows[name] for name in names}


def requests_of(*evaluations: dict[str, Any]) -> dict[str, Requests]:
    recipe = load_recipe("math_1b")
    return requests_by_stage(EvalStage(name="eval", kind="eval", evaluations=list(evaluations)), recipe)


def test_requests_by_hand():
    """The checkpoints along the way are asked once each, the last one once for all that names it."""
    last = {"checkpoints": ["slm", "reference"], "suites": ["rho1_math9", "rho1_gsm8k_cot"]}
    along = {"checkpoints": ["slm"], "suites": ["rho1_math9"], "trajectory": True, "limit": 100}
    found = requests_of(last, along)
    number = load_recipe("math_1b").stage("slm").num_checkpoints
    rows = sum(TASK_SIZES[name].rows for name in MATH9)
    limited = sum(min(TASK_SIZES[name].rows, 100) for name in MATH9)
    assert (found["reference"].checkpoints, found["reference"].prompts) == (1, rows)
    assert (found["slm"].checkpoints, found["slm"].prompts) == (number + 1, rows + number * limited)
    assert found["reference"].written_tokens == 172 * rows
    alone = requests_of({**along, "checkpoints": ["reference"]})["reference"]  # has no checkpoints along the way
    assert (alone.checkpoints, alone.prompts) == (1, limited)
    sampled = requests_of({"checkpoints": ["slm"], "suites": ["rho1_humaneval"], "limit": 10})["slm"]
    assert (sampled.prompts, sampled.prompt_tokens) == (210, 210 * 140)
    unknown = requests_of({"checkpoints": ["slm"], "suites": ["mini_gsm8k"]})["slm"]
    assert (unknown.prompts, unknown.unknown) == (0, {"mini_gsm8k"})


def test_seconds_by_hand():
    asked = Requests(checkpoints=3, prompts=1, prompt_tokens=1e9, written_tokens=1e6)
    forward = flops_per_token(TINYLLAMA, 2048) * FORWARD
    reading = 1e9 * forward / (0.4 * 989e12)
    one, eight = (seconds_of(asked, TINYLLAMA, 2048, 989e12, 0.4, copies) for copies in (1, 8))
    assert one == pytest.approx(reading + 1e6 / 12_000)
    assert eight == pytest.approx(one / 8 + 3 * 60)
    slow = seconds_of(asked, TINYLLAMA, 2048, 121e12, 0.4, 1)
    assert slow == pytest.approx(1e9 * forward / (0.4 * 121e12) + 1e6 * forward / (0.05 * 121e12))


def test_the_plan_times_the_evaluation_and_says_what_it_assumes():
    recipe = load_recipe("math_1b")
    plans = [plan_run(recipe, make_machine(recipe, H100, number)) for number in (1, 8)]
    hours = [next(stage.hours for stage in plan.stages if stage.name == "eval") for plan in plans]
    assert 1 < hours[0] / hours[1] < 8
    (line,) = (line for line in explanations(plans[1]) if line.startswith("eval: "))
    for part in ("prompts to 36 checkpoints", "8 copies of the model", "5% of the peak", "12,000 tokens/s a GPU"):
        assert part in line
    assert not any(stage.detail for stage in plans[0].stages if stage.kind != "eval")
