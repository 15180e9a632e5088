"""The learning rate of a stage: its own, or the best of those that other stages have tried (``optimizer.tuned_on``)."""

from __future__ import annotations

from pathlib import Path

from rho1bench.errors import TrainingError
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import PretrainStage, TrainStage
from rho1bench.system.files import read_jsonl


def learning_rate(context: StageContext) -> float:
    """Return the stage's learning rate; of ``tuned_on`` that of the lowest last validation loss, the first of equals.

    Raises TrainingError where a stage that tried a rate has left no validation loss.
    """
    optimizer = context.config(TrainStage).optimizer
    if optimizer.learning_rate is not None:
        return optimizer.learning_rate
    best = min(optimizer.tuned_on, key=lambda name: last_validation_loss(context.input(name)))
    rate = context.recipe.stage(best, PretrainStage).optimizer.learning_rate
    assert rate is not None, "held by recipe.rules.tuning"
    return rate


def last_validation_loss(folder: Path) -> float:
    """Return the last validation loss of a training stage, in nats a token; raises TrainingError without one."""
    path = folder / "metrics.jsonl"
    losses = [row["validation_loss"] for row in read_jsonl(path) if row.get("validation_loss") is not None]
    if not losses:
        raise TrainingError(f"{path}: holds no validation loss to choose a learning rate by. Run that stage again.")
    return float(losses[-1])
