"""Stages in two processes on a CPU, started as the runner starts them; several stages share one start."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import world

from rho1bench.pipeline.launch import Launch
from rho1bench.pipeline.stage import RunOptions, StageContext
from rho1bench.pipeline.stage_children import Children
from rho1bench.recipe import Recipe
from rho1bench.system.progress import SilentProgress

RANKS = 2


def pretrain(name: str, strategy: str = "ddp", **fields: Any) -> dict[str, Any]:
    """A stage of two ranks; one called ``hybrid...`` takes each for a node of its own."""
    distributed = {"strategy": strategy}
    if name.startswith("hybrid"):
        distributed["shard_over"] = "node"
    return world.pretrain(name, distributed=distributed, **fields)


def launch(
    stages: Sequence[dict[str, Any]], out: Path, only: Sequence[str], kill: tuple[int, int] = (0, 0), ranks: int = RANKS
) -> None:
    """Run the stages ``only`` in ``ranks``; ``kill`` (rank, step): that rank dies by SIGKILL before that step."""
    recipe = Recipe.model_validate({"name": "tiny", "stages": stages})
    folders = {stage.name: out / stage.name for stage in recipe.stages}
    for name in only:
        folders[name].mkdir(parents=True, exist_ok=True)
    (out / "plan.json").write_text(json.dumps({"only": list(only), "kill": list(kill)}))
    context = StageContext(
        recipe, recipe.stage(only[0]), folders[only[0]], folders, 0, SilentProgress(), RunOptions(num_threads=1)
    )
    Children(Launch(1, ranks)).run_stage(context, "rank_world:run")


def run(context: StageContext) -> None:
    """What every rank does: the stages of the plan, one after the other."""
    import importlib

    from rho1bench.training.callbacks import StageCallback

    out = context.folder.parent
    plan = json.loads((out / "plan.json").read_text())
    rank, step = plan["kill"]

    def before_step(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == step:
            self.trainer.finish_saving()
        if state.global_step + 1 == step and os.environ["RANK"] == str(rank):
            os.kill(os.getpid(), signal.SIGKILL)

    StageCallback.on_step_begin = before_step  # type: ignore[method-assign]
    _note_batches(out)
    for name in plan["only"]:
        os.environ["LOCAL_WORLD_SIZE"] = "1" if name.startswith("hybrid") else os.environ["WORLD_SIZE"]
        stage = context.recipe.stage(name)
        module = importlib.import_module(world.MODULES[stage.kind])
        module.run(replace(context, stage=stage, folder=out / name))


def _note_batches(out: Path) -> None:
    """Let each rank leave the numbers of the samples that it scores."""
    from rho1bench.training import sample_scores

    score = sample_scores.score_batches

    def noted(model: Any, rows: Any, batches: Any, precision: str) -> Any:
        (out / f"batches-of-{os.environ['RANK']}.json").write_text(json.dumps(list(batches)))
        return score(model, rows, batches, precision)

    sample_scores.score_batches = noted
