"""Stages ``eval``, ``compare`` and ``report`` (paper sections 3.2 and 3.3)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rho1bench.recipe.models.base import Model, Name, PositiveInt, StageBase, StageRef


class Evaluation(Model):
    """One set of checkpoints on one set of suites."""

    checkpoints: Annotated[list[Annotated[Name, StageRef(("pretrain", "sft"))]], Field(min_length=1)]
    suites: Annotated[list[str], Field(min_length=1)]
    """lm-eval tasks or groups, ``mini_math9`` for example."""
    trajectory: bool = False
    """True: the checkpoints along the way; False: the last one."""
    limit: PositiveInt | None = None
    """Documents a task at most."""


class EvalStage(StageBase):
    """Evaluates checkpoints through lm-eval with one engine for all of them."""

    kind: Literal["eval"]
    evaluations: Annotated[list[Evaluation], Field(min_length=1)]
    engine: Literal["auto", "vllm", "hf"] = "auto"
    max_model_len: PositiveInt = 512
    batch_size: PositiveInt = 256


class Pair(Model):
    """Treatment against baseline."""

    treatment: Name
    baseline: Name


class CompareStage(StageBase):
    """Compares checkpoints pairwise on the same documents: difference, interval, p."""

    kind: Literal["compare"]
    evaluation: Annotated[Name, StageRef(("eval",))]
    pairs: Annotated[list[Pair], Field(min_length=1)]
    num_resamples: PositiveInt = 2000


class ReportStage(StageBase):
    """Writes ``summary.json``, ``report.md`` and ``report.html`` from the folders of the other stages."""

    kind: Literal["report"]
    comparison: Annotated[Name, StageRef(("compare",))]
    evaluation: Annotated[Name, StageRef(("eval",))]
    curves: list[Annotated[Name, StageRef(("pretrain",))]] = []
    """Pretraining stages drawn as curves, the treatment and its baseline for example."""
