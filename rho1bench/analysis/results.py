"""``analysis.json``: every number of an analysis, for machines; figures, tables and pages are made of it alone.

Losses are nats, shares and accuracies fractions. A part that a run cannot give is None, and ``notes`` say why.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from rho1bench.comparison.result_files import SCHEMA, ResultModel, read_result_file

ANALYSIS = "analysis.json"


class Place(ResultModel):
    """A checkpoint: finished steps, and training tokens read."""

    step: int
    tokens: int


class Passage(ResultModel):
    """A stretch of the text; one number a token says what it shows: a class, kept or not, a level."""

    block: int
    pieces: list[str]
    marks: list[int]
    losses: list[float | None]
    """At the checkpoint that is shown; None where nothing predicts the token."""


class TokenLine(ResultModel):
    """The losses of a single token, one a checkpoint."""

    token: str
    before: str
    """The text that it follows, the end of it."""
    token_class: int
    losses: list[float]


class ClassDynamics(ResultModel):
    """The four classes of one stage's tokens (figures 3, 10 to 12)."""

    stage: str
    places: list[Place]
    shares: list[float]
    """By class: H->L, L->L, H->H, L->H."""
    means: list[list[float | None]]
    """Mean loss by class and checkpoint."""
    num_tokens: int
    restless: list[TokenLine]
    """Of L->L and H->H, tokens whose losses stray furthest from their line."""
    passages: list[Passage]
    """Marked by class; -1 where there is none."""
    jumps: list[Passage]
    """1 where the last loss is more than ``jump`` above the mean of those before."""
    jump: float
    share_of_jumps: float


class SplitLosses(ResultModel):
    """Mean losses of one fixed set of tokens and of the rest at a stage's checkpoints (figure 6)."""

    stage: str
    places: list[Place]
    selected: list[float | None]
    unselected: list[float | None]
    downstream: list[tuple[float, float]]
    """(tokens, loss on the held-out corpus), as training measured it."""


class AccuracyAt(ResultModel):
    """One checkpoint's accuracy and losses."""

    stage: str
    tokens: int
    accuracy: float
    selected: float | None
    unselected: float | None


class Fit(ResultModel):
    """``Acc = log(a L + c)``; intervals are 95%, and take the points for independent."""

    of: Literal["selected", "unselected"]
    a: float
    a_ci: tuple[float, float]
    c: float
    c_ci: tuple[float, float]
    r_squared: float
    num_points: int
    curve: list[tuple[float, float, float, float]]
    """(loss, accuracy, low, high)."""


class AccuracyByLoss(ResultModel):
    """Figure 7."""

    suite: str
    num_documents: int
    points: list[AccuracyAt]
    fits: list[Fit]


class ChosenPerplexity(ResultModel):
    """Figure 8: row i holds the perplexity, at each checkpoint, of the tokens that checkpoint i would choose."""

    stage: str
    places: list[Place]
    perplexities: list[list[float | None]]


class RatioPoint(ResultModel):
    """Trained stages of one ratio."""

    ratio: float
    accuracies: dict[str, float]
    """By stage, of one seed each."""


class AccuracyByRatio(ResultModel):
    """Figure 9."""

    suite: str
    rule: str
    points: list[RatioPoint]


class Moment(ResultModel):
    """Passages at one checkpoint."""

    place: Place
    share: float
    """Of training that is done."""
    passages: list[Passage]


class Agreement(ResultModel):
    """How far rules agree at the last checkpoint, each keeping ``ratio`` of the tokens."""

    rules: list[str]
    ratio: float
    in_common: list[list[float]]
    correlation: list[list[float | None]]


class GroupRate(ResultModel):
    """Tokens of one group, and how many of them are kept."""

    name: str
    num_tokens: int
    num_kept: int


class KeptAt(ResultModel):
    """What one checkpoint would keep."""

    place: Place
    share: float
    by_kind: dict[str, float]


class Histogram(ResultModel):
    """How excess losses are spread at some checkpoints: counts between ``edges``, those beyond in the outermost."""

    edges: list[float]
    places: list[Place]
    counts: list[list[int]]


class Choices(ResultModel):
    """What the selection of one stage keeps of the text."""

    stage: str
    rule: str
    ratio: float | None
    """At the last checkpoint; None where it follows from several rules."""
    num_tokens: int
    num_kept: int
    by_position: list[GroupRate]
    by_frequency: list[GroupRate]
    by_kind: list[GroupRate]
    planted: list[GroupRate] = []
    """Spans that the corpus itself names: noise and wrong numbers of the mini world."""
    over_training: list[KeptAt]
    kept_in_training: list[tuple[float, float]]
    """(tokens, share that the step kept), as training wrote it."""
    moments: list[Moment]
    """Figures 13 (the last one: kept or not) and 14: levels of preference, 0 lowest fifth to 4 highest."""
    selected: list[Passage]
    agreement: Agreement | None = None
    histogram: Histogram | None = None
    perplexity: ChosenPerplexity | None = None


class Analysis(ResultModel):
    """Everything."""

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    recipe: str
    seed: int
    corpus: str
    num_blocks: int
    num_tokens: int
    """That have a target."""
    is_training_text: bool
    """True where the stages train on this corpus."""
    dynamics: list[ClassDynamics]
    choices: Choices | None = None
    losses: list[SplitLosses] = []
    accuracy_by_loss: AccuracyByLoss | None = None
    accuracy_by_ratio: AccuracyByRatio | None = None
    notes: list[str] = []


def read_analysis(folder: Path) -> Analysis:
    """Read the analysis of a stage's folder; raises DataError where it is none of this version."""
    return read_result_file(folder / ANALYSIS, Analysis, "an analysis", "Run the analysis stage again.")
