"""The small recipe with matrices: base and scores by seed, and arms by rule, learning rate and seed."""

from __future__ import annotations

import copy

from small_recipe import stage

from rho1bench.recipe import Recipe

SEEDS = {"seed": [0, 1]}
RULES = {
    "full": None,
    "random": {"score": "random", "ratio": 0.6},
    "excess": {"score": "excess_loss", "ratio": 0.6, "token_scores": "scores-{seed}"},
}
ARM = {"selection": RULES, "optimizer.learning_rate": [1e-3, 2e-3], **SEEDS}


def as_matrix(data: dict) -> None:
    """Turn the small recipe into one with matrices: 12 arms in place of clm and slm, base and scores for each seed."""
    data["stages"] = [item for item in data["stages"] if item["name"] != "slm"]
    stage(data, "base")["matrix"] = copy.deepcopy(SEEDS)
    stage(data, "scores").update(matrix=copy.deepcopy(SEEDS), reference="base-{seed}")
    stage(data, "clm").update(name="arm", init="base-{seed}", matrix=copy.deepcopy(ARM))
    stage(data, "eval")["evaluations"][0]["checkpoints"] = ["base-*", "arm"]
    stage(data, "compare")["pairs"] = [{"treatment": "arm-*", "baseline": {"selection": "full"}}]
    stage(data, "report")["curves"] = ["arm-full-*"]


def names(recipe: Recipe, group: str) -> list[str]:
    """The variants of one matrix."""
    return [item.name for item in recipe.stages if item.variant and item.variant.group == group]
