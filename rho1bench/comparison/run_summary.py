"""The two kinds of ``summary.json``: of one run, and over the seeds of a recipe.

Place in the pipeline: ``report`` writes the first, ``seeds`` reads it and writes the second; the console table shows
either. Scores are fractions of 1, losses nats, times wall seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from rho1bench.comparison.benchmark_overlap import CorpusOverlap
from rho1bench.comparison.contest.results import ContestResult
from rho1bench.comparison.costs import CheckpointCost
from rho1bench.comparison.differences import ComparisonSettings, PairComparison
from rho1bench.comparison.equal_flops import CountedTokens, EqualFlops
from rho1bench.comparison.result_files import JsonObject, ResultModel, read_result_file
from rho1bench.errors import DataError
from rho1bench.sizing.cost import Cost
from rho1bench.system.files import read_json

_RUN = "the summary of a finished run"
_ADVICE = "Run this seed again."


class TaskScoresOfRun(ResultModel):
    """One task's score by checkpoint."""

    metric: str
    n: int
    checkpoints: dict[str, float]


class SuiteScoresOfRun(ResultModel):
    """One suite's average by checkpoint, and its tasks."""

    average: dict[str, float]
    tasks: dict[str, TaskScoresOfRun]


class TextBitsOfRun(ResultModel):
    """Bits per byte of one text by checkpoint; lower is better."""

    n: int
    """Blocks, or documents."""
    num_bytes: int
    checkpoints: dict[str, float]


class GoldAnswersOfRun(ResultModel):
    """Bits per byte of the gold answers of one suite: plain means over its tasks by checkpoint, and its tasks."""

    average: dict[str, float]
    tasks: dict[str, TextBitsOfRun]


class BitsOfRun(ResultModel):
    """Bits per byte of everything that was measured."""

    corpora: dict[str, TextBitsOfRun]
    gold_answers: dict[str, GoldAnswersOfRun]
    """By suite."""


class TrajectoryPoint(ResultModel):
    """One suite's average at one checkpoint, on the documents that all points of the curve share (paper figure 1)."""

    label: str
    stage: str
    step: int
    tokens: int
    selected_tokens: int
    flops: float | None = None
    """Operations up to here with everything that the checkpoint alone needed; None where they are not known."""
    suite: str
    average: float
    ci: tuple[float, float] | None
    n: int
    tasks: dict[str, float]


class SpeedUpEntry(ResultModel):
    """After how many tokens the treatment scores what the baseline ends with; see ``tokens_to_baseline``."""

    suite: str
    treatment: str
    baseline: str
    target: float
    tokens: float | None
    at_first_point: bool
    share: float | None
    share_ci: tuple[float, float | None] | None
    num_checkpoints: int
    n: int
    counted: CountedTokens | None = None
    """The same with the treatment's reference and scoring counted; None where their cost is not known."""


class EqualFlopsEntry(ResultModel):
    """Both sides of a compared pair after the same number of operations; see ``equal_flops``."""

    suite: str
    treatment: str
    baseline: str
    reading: EqualFlops


class TrainingSummary(ResultModel):
    """The ``training.json`` of a training stage."""

    model_config = ConfigDict(extra="allow")

    num_parameters: int
    tokens: int
    selected_tokens: int
    max_steps: int
    init: str | JsonObject | None = None
    """A stage's name, or the recipe's words for random or given weights."""
    select_ratio: float | None = None
    initial_weights_sha256: str | None = None
    """Of the weights before the first step; of pretraining only, like the next."""
    data_sha256: str | None = None
    """Of the blocks that were read, in their order."""
    cost: Cost | None = None
    """None in the folders of earlier versions."""

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens over the wall seconds of training, validation and checkpoints included; None where not known."""
        return self.tokens / self.cost.seconds if self.cost and self.cost.seconds else None

    @property
    def init_stage(self) -> str | None:
        """The stage whose model training started from."""
        return self.init if isinstance(self.init, str) else None


class StageSummary(ResultModel):
    """One stage of the run; the runner adds ``attempts``."""

    kind: str
    seconds: float | None
    attempts: int | None = None


class EngineSummary(ResultModel):
    """Engine, version and dtype of the evaluations; a list where they were not alike."""

    name: str | list[str]
    version: str | list[str]
    dtype: str | list[str]


class RunSummary(ResultModel):
    """``summary.json`` of one run; only ``recipe`` and ``comparisons`` are needed to summarise seeds."""

    schema_version: Literal[1] = Field(alias="schema")
    recipe: str
    description: str = ""
    scale: Literal["full", "smoke"] = "full"
    seed: int
    rho1bench_version: str
    scores: dict[str, SuiteScoresOfRun] = {}
    bits_per_byte: BitsOfRun | None = None
    comparisons: list[PairComparison]
    comparison_settings: ComparisonSettings | None = None
    contests: list[ContestResult] = []
    trajectory: list[TrajectoryPoint] = []
    tokens_to_baseline: list[SpeedUpEntry] = []
    equal_flops: list[EqualFlopsEntry] = []
    costs: dict[str, CheckpointCost] = {}
    """By evaluated checkpoint, where its stages tell."""
    benchmark_overlap: dict[str, CorpusOverlap] = {}
    """By corpus stage, where benchmark texts were looked for."""
    training: dict[str, TrainingSummary] = {}
    validation_losses: dict[str, float] = {}
    """Last loss on clean held-out text by stage."""
    stages: dict[str, StageSummary] = {}
    engine: EngineSummary | None = None
    versions: dict[str, str] = {}


class SeedEntry(ResultModel):
    """One seed's difference; interval, p and n speak of its test documents."""

    seed: int
    treatment: float
    baseline: float
    difference: float
    ci: tuple[float, float] | None
    p: float | None
    n: int | None


class SeedsEntry(ResultModel):
    """One number over seeds: means, and the spread of the difference."""

    treatment: float
    baseline: float
    difference: float
    ci: tuple[float, float] | None
    p: float | None
    """Student's t over seeds; None where it cannot hold, which ``p_method`` explains."""
    p_method: str
    p_exact: float | None = None
    """Exact sign-flip p over seeds."""
    p_holm: float | None = None
    """Of suites and tasks: ``p`` adjusted over those of the pair."""
    p_tasks: float | None = None
    """Of a suite: exact sign-flip over its tasks' differences averaged over seeds; None with fewer than five tasks."""
    num_positive: int
    n: int
    """Seeds that count."""
    seeds: list[SeedEntry]
    """All seeds, those on which settings were chosen too, which are in no mean and no p."""


class PairOverSeeds(ResultModel):
    """One compared pair over seeds; a negative difference of ``validation_loss`` is better."""

    treatment: str
    baseline: str
    suites: dict[str, SeedsEntry]
    tasks: dict[str, SeedsEntry]
    validation_loss: SeedsEntry | None


class SeedsSummary(ResultModel):
    """``summary.json`` of a recipe with seeds."""

    schema_version: Literal[1] = Field(alias="schema")
    recipe: str
    scale: Literal["full", "smoke"]
    seeds: list[int]
    tuning_seeds: list[int] = []
    """Those of the seeds on which settings were chosen: shown, and never counted."""
    rho1bench_version: str
    pairs: list[PairOverSeeds]


def read_training(folder: Path) -> TrainingSummary:
    """Read the ``training.json`` of a training stage; raises ``DataError`` where it is missing or broken."""
    path = folder / "training.json"
    try:
        return TrainingSummary.model_validate(read_json(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not the record of a training stage ({error}). Run the stage again.") from error


def read_run_summary(path: Path) -> RunSummary:
    """Read the summary of one run; raises ``DataError`` where it is missing or broken."""
    return read_result_file(path, RunSummary, _RUN, _ADVICE)


def read_summary(path: Path) -> RunSummary | SeedsSummary:
    """Read either kind of summary; raises ``DataError`` where it is broken or of another version."""
    return read_seeds_summary(path) if _is_over_seeds(path) else read_run_summary(path)


def read_seeds_summary(path: Path) -> SeedsSummary:
    """Read the summary over seeds; raises ``DataError`` where it is broken or of another version."""
    return read_result_file(path, SeedsSummary, "the summary of a run with seeds", "Give the same run command again.")


def _is_over_seeds(path: Path) -> bool:
    try:
        return "pairs" in read_json(path)
    except (OSError, ValueError, TypeError):
        return False
