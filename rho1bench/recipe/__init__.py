"""The recipe: one YAML file that describes a whole run, as frozen pydantic models.

A recipe is a list of stages; a field typed :class:`StageRef` names an earlier stage whose folder the stage reads. In a
file, a stage with a ``matrix:`` stands for many variants; a :class:`Recipe` holds these (``loading.matrix``).
``models`` holds the schema, one module for each part of the pipeline; ``loading`` reads a file (YAML, ``extends:``,
``--set``); ``rules`` are what a recipe must fulfil beyond types; ``smoke`` makes any recipe small.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar, overload

from pydantic import Field, model_validator

from rho1bench.recipe.models.analysis import AnalysisStage
from rho1bench.recipe.models.atlas import AtlasStage
from rho1bench.recipe.models.base import (
    Distributed,
    Fraction,
    Model,
    Name,
    PositiveInt,
    PretrainedModel,
    Seed,
    StageBase,
    StageLookup,
    StageRef,
    StageSizes,
    StageSpec,
    Variant,
    references,
)
from rho1bench.recipe.models.contest import Contest
from rho1bench.recipe.models.corpus import (
    CorpusStage,
    HubSource,
    LocalSource,
    MiniWorldSource,
    PackageSource,
    SampleSource,
    Source,
    TokenizerStage,
)
from rho1bench.recipe.models.evaluation import (
    BenchmarkTextsStage,
    CompareStage,
    EvalStage,
    Evaluation,
    Pair,
    ReportStage,
)
from rho1bench.recipe.models.selection import ScoreRatio, ScoreServer, ScoreStage, Selection
from rho1bench.recipe.models.training import ModelConfig, Optimizer, PretrainStage, SFTStage, TrainStage

__all__ = [
    "AnalysisStage",
    "AtlasStage",
    "BenchmarkTextsStage",
    "CompareStage",
    "Contest",
    "CorpusStage",
    "Distributed",
    "EvalStage",
    "Evaluation",
    "Fraction",
    "HubSource",
    "LocalSource",
    "MiniWorldSource",
    "Model",
    "ModelConfig",
    "Name",
    "Optimizer",
    "PackageSource",
    "Pair",
    "PositiveInt",
    "PretrainStage",
    "PretrainedModel",
    "Recipe",
    "ReportStage",
    "SFTStage",
    "SampleSource",
    "ScoreRatio",
    "ScoreServer",
    "ScoreStage",
    "Selection",
    "Source",
    "Stage",
    "StageBase",
    "StageLookup",
    "StageRef",
    "StageSizes",
    "StageSpec",
    "TokenizerStage",
    "TrainStage",
    "Variant",
    "references",
]

Stage = Annotated[
    TokenizerStage
    | BenchmarkTextsStage
    | CorpusStage
    | PretrainStage
    | ScoreStage
    | SFTStage
    | EvalStage
    | CompareStage
    | AtlasStage
    | AnalysisStage
    | ReportStage,
    Field(discriminator="kind"),
]


S = TypeVar("S", bound=StageBase)


class Recipe(Model):
    """A whole run."""

    name: Name
    description: str = ""
    seed: Seed = 0
    seeds: list[Seed] = []
    """Where given, the whole recipe runs once a seed, and the summary tells the spread."""
    tuning_seeds: list[Seed] = []
    """Seeds on which the recipe's settings were chosen: they run and are shown, and are in no mean and no p."""
    scale: Literal["full", "smoke"] = "full"
    """``smoke``: made small by ``--scale smoke``; the numbers of such a run mean nothing."""
    jobs: PositiveInt = 1
    """Training stages that do not need each other run side by side, up to this many (for CPUs with several cores)."""
    stages: Annotated[list[Stage], Field(min_length=1)]

    @model_validator(mode="after")
    def _some_seed_counts(self) -> Recipe:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds}: each counts as one run of its own, so none may stand twice")
        unknown = [seed for seed in self.tuning_seeds if seed not in self.seeds]
        if self.seeds and unknown:
            raise ValueError(f"tuning_seeds {unknown} are not among the seeds {self.seeds}")
        if self.seeds and set(self.seeds) == set(self.tuning_seeds):
            raise ValueError(
                f"all seeds {self.seeds} are tuning_seeds, so none counts; add seeds that served no choice"
            )
        return self

    @overload
    def stage(self, name: str) -> Stage: ...

    @overload
    def stage(self, name: str, model: type[S]) -> S: ...

    def stage(self, name: str, model: type[StageBase] = StageBase) -> StageBase:
        """Return the stage called ``name``; raises ``KeyError``, and ``TypeError`` if it is no ``model``."""
        for stage in self.stages:
            if stage.name == name:
                if not isinstance(stage, model):
                    raise TypeError(f"stage {name!r} is of kind {stage.kind!r}, not a {model.__name__}")
                return stage
        raise KeyError(name)

    def seed_of(self, stage: StageBase) -> int:
        """Return the random seed of a stage: its own, else the recipe's."""
        return self.seed if stage.seed is None else stage.seed

    @property
    def only_in_contests(self) -> set[str]:
        """Trained stages that contests hold and no pair names: the contests tell of them, and nothing else does."""
        stages = self.stages_of(CompareStage)
        held = {name for stage in stages for contest in stage.contests for name in (*contest.arms, *contest.controls)}
        return held - {name for stage in stages for pair in stage.pairs for name in (pair.treatment, pair.baseline)}

    def stages_of(self, model: type[S]) -> list[S]:
        """Return the stages that are of ``model``, in order."""
        return [stage for stage in self.stages if isinstance(stage, model)]

    def has(self, name: str) -> bool:
        """Tell whether a stage is called ``name``."""
        return any(stage.name == name for stage in self.stages)
