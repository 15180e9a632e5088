"""A contest from the folders of a run: what the choice may see, then the answers of the runs that count.

Place in the pipeline: the ``compare`` stage calls :func:`contest_of_run`; ``leaderboard`` packs the same runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np

from rho1bench.comparison.contest.choice import Trial
from rho1bench.comparison.contest.contest import Entrant, hold
from rho1bench.comparison.contest.results import ContestResult, ContestTerms
from rho1bench.comparison.costs import CheckpointCost, checkpoint_costs
from rho1bench.comparison.eval_results import LabelScores, labels, read_label, read_results
from rho1bench.comparison.pairing import check_comparable_on, texts_on, values_on
from rho1bench.comparison.signal_to_noise import LATE
from rho1bench.comparison.statistics import Values
from rho1bench.errors import DataError
from rho1bench.recipe import Contest, EvalStage, Recipe
from rho1bench.recipe.models.contest import VALIDATION_LOSS, Member, contest_suites, members, shared_stages
from rho1bench.recipe.texts import text_of
from rho1bench.system.files import read_jsonl


def contest_of_run(run: ContestRun) -> ContestResult:
    """Return what a contest of a finished run found.

    Raises ``DataError`` where a run lacks what its setting is chosen by, or two arms were evaluated otherwise.
    """
    return hold(run.terms, run.trials(), run.entrants)


@dataclass(frozen=True)
class ContestRun:
    """A contest, the recipe it is of, and the folders of its stages."""

    contest: Contest
    recipe: Recipe
    evaluation: EvalStage
    folders: Mapping[str, Path]
    """By stage."""
    _read: dict[str, LabelScores] = field(default_factory=dict)

    @cached_property
    def members(self) -> list[Member]:
        """The trained stages."""
        return members(self.contest, {stage.name: stage for stage in self.recipe.stages})

    @property
    def terms(self) -> ContestTerms:
        """What was agreed before."""
        contest = self.contest
        seeds = {one.seed for one in self.members if one.seed is not None} - set(contest.tuning_seeds)
        return ContestTerms(
            name=contest.name,
            full=contest.full,
            random=contest.random,
            seeds=sorted(seeds),
            tuning_seeds=sorted(contest.tuning_seeds),
            choose=contest.choose,
            choose_by=contest.choose_by,
            margin=contest.margin,
            place=contest.place,
            shared_stages=shared_stages(contest, {stage.name: stage for stage in self.recipe.stages}),
        )

    @property
    def suites(self) -> list[str]:
        """The suites that the arms are compared on."""
        return contest_suites(self.contest, self.evaluation.final_suites)

    @cached_property
    def costs(self) -> dict[str, CheckpointCost]:
        """What each evaluated checkpoint took, as far as its stages tell."""
        return checkpoint_costs(self.recipe, self.folders)

    def trials(self) -> list[Trial]:
        """Return every training run as far as the choice may see it."""
        return [Trial(one.stage, one.arm, one.setting, one.number, one.seed, self._value(one)) for one in self.members]

    def _value(self, member: Member) -> float | None:
        """Return what the choice goes by; None but on tuning seeds: what counts is not even read."""
        if member.seed not in self.contest.tuning_seeds:
            return None
        if self.contest.choose_by == VALIDATION_LOSS:
            return last_validation_loss(self.folders[member.stage])
        results = read_results(self.folders[self.evaluation.name], member.stage)
        if text_of(self.contest.choose_by) is not None:
            texts = [entry.bits_per_byte for entry in texts_on(results, self.contest.choose_by).values()]
            return fmean(texts) if texts else None
        suites = results.suites
        return suites[self.contest.choose_by].average if self.contest.choose_by in suites else None

    def counted(self, settings: Mapping[str, str]) -> list[Member]:
        """Return the runs that count, given each arm's setting, seeds ascending within an arm."""
        found = [
            one
            for one in self.members
            if one.setting == settings[one.arm] and one.seed not in self.contest.tuning_seeds
        ]
        return sorted(found, key=lambda one: -1 if one.seed is None else one.seed)

    def entrants(self, settings: Mapping[str, str]) -> dict[str, list[Entrant]]:
        """Return the arms of every suite; raises ``DataError`` where two were evaluated otherwise."""
        counted = self.counted(settings)
        return {suite: self._entrants(suite, counted) for suite in self.suites}

    def _entrants(self, suite: str, counted: Sequence[Member]) -> list[Entrant]:
        arms: dict[str, list[Member]] = {}
        for one in counted:
            check_comparable_on(suite, self.label(one.stage), self.label(counted[0].stage))
            arms.setdefault(one.arm, []).append(one)
        return [self._entrant(suite, runs) for runs in arms.values()]

    def _entrant(self, suite: str, runs: Sequence[Member]) -> Entrant:
        values = [values_on(self.label(one.stage), suite) for one in runs]
        late = [found for one in runs if (found := self.late(one.stage, suite))]
        points = [[_means(values_on(point, suite)) for point in run] for run in late]
        return Entrant(
            arm=runs[0].arm,
            role=runs[0].role,
            setting=runs[0].setting,
            seeds=tuple(one.seed for one in runs if one.seed is not None),
            scores={task: np.stack([one[task] for one in values]) for task in values[0]},
            late={task: [[point[task] for point in run] for run in points] for task in values[0]},
            costs=[self.costs[one.stage].total for one in runs] if all(one.stage in self.costs for one in runs) else (),
        )

    def label(self, name: str) -> LabelScores:
        """Return an evaluated checkpoint, read once."""
        if name not in self._read:
            self._read[name] = read_label(self.folders[self.evaluation.name], name)
        return self._read[name]

    def late(self, stage: str, suite: str) -> list[LabelScores]:
        """Return the last checkpoints along a stage's training that were evaluated on ``suite``, in order."""
        found = [name for name in self._along if name.partition("@")[0] == stage]
        return [one for one in map(self.label, found) if values_on(one, suite)][-LATE:]

    @cached_property
    def _along(self) -> list[str]:
        return [name for name in labels(self.folders[self.evaluation.name]) if "@" in name]


def _means(values: Mapping[str, Values]) -> dict[str, float]:
    return {task: float(found.mean()) for task, found in values.items()}


def last_validation_loss(folder: Path) -> float | None:
    """Return the last loss on held-out text of a training stage; None where it was never measured.

    Raises ``DataError`` for a folder without readable metrics.
    """
    path = folder / "metrics.jsonl"
    try:
        losses = [row.get("validation_loss") for row in read_jsonl(path)]
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not the metrics of a training stage ({error!r}). Run the stage again.") from error
    known = [float(loss) for loss in losses if loss is not None]
    return known[-1] if known else None
