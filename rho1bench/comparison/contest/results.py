"""What a contest found, as ``comparison.json``, ``summary.json`` and records hold it.

Scores and differences are in the unit of their suite: fractions of 1 (higher is better), or bits per byte (lower is
better). A difference is always the arm minus its baseline. ``covers`` says of what interval and p speak.
"""

from __future__ import annotations

from typing import Literal

from rho1bench.comparison.crossed_effects import Spread
from rho1bench.comparison.result_files import ResultModel
from rho1bench.comparison.signal_to_noise import TaskSignal
from rho1bench.recipe.models.contest import Role

Unit = Literal["share", "bits per byte"]
Covers = Literal["seeds and documents", "documents"]
BASELINES = ("full", "random", "control")
"""What an arm is held against: full training, random selection, and the best control."""


class SettingChoice(ResultModel):
    """The setting that an arm was given: the one with the best mean over the tuning seeds, which never count."""

    arm: str
    setting: str
    """Value of the chosen axis; empty where the arm has one setting only."""
    values: dict[str, float]
    """Mean by setting of what the choice went by; empty where there was nothing to choose."""
    at_edge: bool
    """True: the best is the lowest or highest number that was tried, so that better ones may lie beyond."""


class SeedDifference(ResultModel):
    """One seed's difference; interval and p speak of its documents alone."""

    seed: int
    difference: float
    ci: tuple[float, float]
    p: float | None


class Equivalence(ResultModel):
    """Whether a difference is negligible: two one-sided tests that it lies within ``margin`` of zero."""

    margin: float
    p: float | None
    p_holm: float | None


class SpreadOfDifference(ResultModel):
    """Standard deviations behind a difference, see ``crossed_effects.Spread``; ``seeds`` None where unknown."""

    seeds: float | None
    documents: float
    residual: float

    @property
    def spread(self) -> Spread:
        """The spread for ``power``, unknown seeds as 0."""
        return Spread(self.seeds or 0.0, self.documents, self.residual)


class ArmDifference(ResultModel):
    """An arm minus a baseline, paired by seed and document."""

    baseline: str
    difference: float
    ci: tuple[float, float]
    covers: Covers
    p: float | None
    """Of what ``covers`` says; None where nothing differs between seeds or documents."""
    p_holm: float | None
    """Holm's adjustment over all arms of the same role, on all suites of the same unit, against this baseline."""
    p_seeds: float | None
    """Exact sign-flip over seeds; None with fewer than five, whose smallest p is above 0.1."""
    p_tasks: float | None
    """Exact sign-flip over tasks, of their differences averaged over seeds; None with fewer than five tasks."""
    equivalence: Equivalence
    seeds: list[SeedDifference]
    tasks: dict[str, float]
    spread: SpreadOfDifference
    cautions: list[str]
    """What keeps the numbers from saying more, in words."""


class ArmResult(ResultModel):
    """One arm (or control) on one suite: scores, and what it differs by from its baselines."""

    arm: str
    role: Role
    setting: str
    score: float
    seeds: dict[str, float]
    """Score by seed; a single entry under ``""`` of an arm that was trained once for all seeds."""
    tasks: dict[str, float]
    flops: float | None = None
    """Mean operations of a run with everything that it alone needed (a reference, scoring); None where not known."""
    seconds: float | None = None
    """The same in wall seconds."""
    against: dict[str, ArmDifference]
    """By the part that a baseline plays: ``full``, ``random``, ``control`` (the best one); none against itself."""


class ContestSuite(ResultModel):
    """All arms on one suite, the best first."""

    suite: str
    unit: Unit
    tasks: dict[str, int]
    """Documents by task."""
    best_control: str | None
    """The control with the best score; picked on the same answers, which favours it."""
    arms: list[ArmResult]
    signal: dict[str, TaskSignal]
    """By task."""

    @property
    def num_documents(self) -> int:
        """Documents over all tasks."""
        return sum(self.tasks.values())

    def arm(self, name: str) -> ArmResult:
        """Return the arm called ``name``; raises ``KeyError``."""
        for one in self.arms:
            if one.arm == name:
                return one
        raise KeyError(name)


class ContestTerms(ResultModel):
    """What was agreed before: baselines, seeds, how settings are chosen, which difference is negligible."""

    name: str
    full: str
    random: str | None
    seeds: list[int]
    """The seeds that count; empty where every arm was trained once."""
    tuning_seeds: list[int]
    """Those on which settings were chosen."""
    choose: str | None
    """The axis whose value was chosen."""
    choose_by: str
    """``validation_loss``, or the suite whose average decided."""
    margin: float
    """Of the tests of equivalence: points of a score, and percent of full training's bits per byte."""
    place: dict[str, str] = {}
    """Where it lies on a map of contests, by axis; empty: on none."""
    shared_stages: list[str]
    """Stages behind the arms that were made once for all seeds, which no spread over seeds covers."""


class ContestResult(ResultModel):
    """One contest."""

    terms: ContestTerms
    chosen: list[SettingChoice]
    suites: list[ContestSuite]

    def setting_of(self, arm: str) -> SettingChoice:
        """Return the setting that ``arm`` was given; raises ``KeyError``."""
        for choice in self.chosen:
            if choice.arm == arm:
                return choice
        raise KeyError(arm)
