"""Every arm against full training, random selection and the best control, paired by seed and document.

A pure function of the arms' scores (:class:`Entrant`), which ``from_run`` reads from a run and ``leaderboard`` from a
record. Interval and p are those of ``crossed_effects``; beside them stand the exact sign-flip p over seeds and over
tasks, each seed's own difference, and two one-sided tests of equivalence. Holm's adjustment runs over all arms of one
role on all suites of one unit (accuracy, bits per byte), for each kind of baseline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rho1bench.comparison.contest.choice import Trial, choose_settings
from rho1bench.comparison.contest.results import (
    BASELINES,
    ArmDifference,
    ArmResult,
    ContestResult,
    ContestSuite,
    ContestTerms,
    Equivalence,
    SeedDifference,
    SpreadOfDifference,
    Unit,
)
from rho1bench.comparison.crossed_effects import (
    FEWEST_SEEDS,
    CrossedMean,
    crossed_mean,
    equivalence_p,
    half_width,
    p_value,
    spread_of,
)
from rho1bench.comparison.signal_to_noise import TaskSignal, task_signal
from rho1bench.comparison.statistics import Values, holm, sign_flips_of_several, t_refusal
from rho1bench.recipe.models.contest import VALIDATION_LOSS, Role
from rho1bench.recipe.texts import text_of
from rho1bench.sizing.cost import Cost


@dataclass(frozen=True)
class Entrant:
    """The counted runs of one arm on one suite."""

    arm: str
    role: Role
    setting: str
    seeds: tuple[int, ...]
    """Ascending; empty for an arm that was trained once, which stands for every seed."""
    scores: Mapping[str, Values]
    """Task -> scores of shape (seeds, documents), the same documents in the same order for all arms."""
    late: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    """Task -> the scores of the last checkpoints of each run."""
    costs: Sequence[Cost] = ()
    """What each run took with everything that it alone needed; empty where that is not known."""

    @property
    def is_trained_once(self) -> bool:
        """True: one model stands for all seeds."""
        return not self.seeds

    @property
    def by_seed(self) -> Values:
        """The plain mean of the tasks' means, shape (seeds,)."""
        means: Values = np.stack([values.mean(axis=1) for values in self.scores.values()]).mean(axis=0)
        return means

    @property
    def score(self) -> float:
        """The mean over seeds."""
        return float(self.by_seed.mean())


def hold(
    terms: ContestTerms,
    trials: Iterable[Trial],
    entrants: Callable[[Mapping[str, str]], Mapping[str, Sequence[Entrant]]],
) -> ContestResult:
    """Choose settings, then compare the arms that have them.

    ``entrants`` reads the counted runs of every suite, given each arm's setting: no answer to a test document is read
    before the choice is made. Raises ``DataError`` where settings cannot be chosen.
    """
    lower_is_better = terms.choose_by == VALIDATION_LOSS or text_of(terms.choose_by) is not None
    chosen = choose_settings(trials, terms.tuning_seeds, lower_is_better=lower_is_better)
    found = entrants({choice.arm: choice.setting for choice in chosen})
    suites = [_suite(suite, arms, terms.margin / 100.0) for suite, arms in found.items()]
    return ContestResult(terms=terms, chosen=chosen, suites=adjusted(suites))


def _suite(suite: str, arms: Sequence[Entrant], margin: float) -> ContestSuite:
    """Return a suite of tasks, or of texts in bits per byte, where the margin is a share of full training's value."""
    if text_of(suite) is None:
        return contest_suite(suite, arms, margin=margin)
    full = next(one for one in arms if one.role == "full")
    return contest_suite(suite, arms, margin=margin * full.score, unit="bits per byte")


def contest_suite(suite: str, entrants: Sequence[Entrant], *, margin: float, unit: Unit = "share") -> ContestSuite:
    """Return one suite of a contest, p not yet adjusted; ``margin`` in the suite's unit.

    Raises ``ValueError`` for arms of different seeds or documents, and for a task of fewer than two documents.
    """
    _check(entrants)
    ranked = sorted(entrants, key=lambda one: one.score if unit == "bits per byte" else -one.score)
    controls = [one for one in ranked if one.role == "control"]
    baselines = {part: one for one in reversed(ranked) for part in BASELINES if one.role == part}
    pairs = [
        _Pair(one, part, baselines[part])
        for one in ranked
        for part in BASELINES
        if part in baselines and baselines[part].arm != one.arm
    ]
    against = _all_differences(pairs, margin)
    return ContestSuite(
        suite=suite,
        unit=unit,
        tasks={task: values.shape[1] for task, values in entrants[0].scores.items()},
        best_control=controls[0].arm if controls else None,
        arms=[_result(one, against.get(one.arm, {})) for one in ranked],
        signal={task: _signal(task, entrants) for task in entrants[0].scores},
    )


def _check(entrants: Sequence[Entrant]) -> None:
    sizes = {tuple((task, values.shape[1]) for task, values in one.scores.items()) for one in entrants}
    seeds = {one.seeds for one in entrants if one.seeds}
    if len(sizes) != 1 or len(seeds) > 1:
        raise ValueError(f"the arms of a contest need the same seeds and documents, found {sorted(seeds)} seeds")


def _signal(task: str, entrants: Sequence[Entrant]) -> TaskSignal:
    """Return a task's signal between rules, full and random; controls differ in more than the rule."""
    arms = [one for one in entrants if one.role != "control"]
    scores = {one.arm: one.scores[task].mean(axis=1).tolist() for one in arms}
    return task_signal(scores, [late for one in arms for late in one.late.get(task, ())])


def _result(entrant: Entrant, against: dict[str, ArmDifference]) -> ArmResult:
    names = [str(seed) for seed in entrant.seeds] or [""]
    return ArmResult(
        arm=entrant.arm,
        role=entrant.role,
        setting=entrant.setting,
        score=entrant.score,
        seeds=dict(zip(names, entrant.by_seed.tolist(), strict=True)),
        tasks={task: float(values.mean()) for task, values in entrant.scores.items()},
        flops=_mean([cost.flops for cost in entrant.costs]),
        seconds=_mean([cost.seconds for cost in entrant.costs]),
        against=against,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None without values, or where one is not known."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


@dataclass(frozen=True)
class _Pair:
    """An arm and the baseline that plays ``part`` for it."""

    arm: Entrant
    part: str
    baseline: Entrant

    @property
    def strata(self) -> list[Values]:
        """Differences by task, shape (seeds, documents)."""
        return [values - self.baseline.scores[task] for task, values in self.arm.scores.items()]


def _all_differences(pairs: Sequence[_Pair], margin: float) -> dict[str, dict[str, ArmDifference]]:
    """Return the differences by arm and part; pairs of as many seeds are computed at once."""
    batches: dict[int, list[_Pair]] = {}
    for pair in pairs:
        batches.setdefault(pair.strata[0].shape[0], []).append(pair)
    found: dict[str, dict[str, ArmDifference]] = {}
    for batch in batches.values():
        for pair, difference in zip(batch, _differences(batch, margin), strict=True):
            found.setdefault(pair.arm.arm, {})[pair.part] = difference
    return found


def arm_difference(arm: Entrant, baseline: Entrant, *, margin: float) -> ArmDifference:
    """Return ``arm`` minus ``baseline``; the p are not adjusted yet."""
    return _differences([_Pair(arm, "full", baseline)], margin)[0]


def _differences(pairs: Sequence[_Pair], margin: float) -> list[ArmDifference]:
    strata = [
        np.stack(task) for task in zip(*(pair.strata for pair in pairs), strict=True)
    ]  # (pairs, seeds, documents)
    found = crossed_mean(strata)
    half, p, equal = half_width(found), p_value(found), equivalence_p(found, margin)
    one_seed = crossed_mean([values[..., None, :] for values in strata])  # cases (pairs, seeds)
    seeds = (one_seed.mean, half_width(one_seed), p_value(one_seed))
    tasks = np.stack([values.mean(axis=(1, 2)) for values in strata], axis=1)
    differences = []
    for index, pair in enumerate(pairs):
        names = pair.arm.seeds or pair.baseline.seeds
        mean, width, by_seed = float(found.mean[index]), float(half[index]), one_seed.mean[index].tolist()
        differences.append(
            ArmDifference(
                baseline=pair.baseline.arm,
                difference=mean,
                ci=(mean - width, mean + width),
                covers="seeds and documents" if found.over_seeds else "documents",
                p=_number(p[index]),
                p_holm=None,
                p_seeds=sign_flips_of_several(by_seed),
                p_tasks=sign_flips_of_several(tasks[index].tolist()),
                equivalence=Equivalence(margin=margin, p=_number(equal[index]), p_holm=None),
                seeds=[_seed_difference(seed, *(part[index, row] for part in seeds)) for row, seed in enumerate(names)],
                tasks=dict(zip(pair.arm.scores, tasks[index].tolist(), strict=True)),
                spread=_spread(found.at(index)),
                cautions=_cautions(pair.arm, pair.baseline, found.num_seeds, by_seed),
            )
        )
    return differences


def _spread(found: CrossedMean) -> SpreadOfDifference:
    spread = spread_of(found)
    seeds = spread.seeds if found.over_seeds else None
    return SpreadOfDifference(seeds=seeds, documents=spread.documents, residual=spread.residual)


def _number(value: Values) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number


def _seed_difference(seed: int, mean: Values, half: Values, p: Values) -> SeedDifference:
    low, high = float(mean - half), float(mean + half)
    return SeedDifference(seed=seed, difference=float(mean), ci=(low, high), p=_number(p))


def _cautions(arm: Entrant, baseline: Entrant, num_seeds: int, by_seed: Sequence[float]) -> list[str]:
    once = [one.arm for one in (arm, baseline) if one.is_trained_once]
    cautions = [f"{name} was trained once: its own spread over seeds is not in the interval" for name in once]
    if num_seeds < FEWEST_SEEDS:
        cautions.append(f"{num_seeds} counted seed{'s say' if num_seeds > 1 else ' says'} nothing of others")
    elif (refusal := t_refusal(by_seed)) and "groups" in refusal:
        cautions.append(f"{refusal}: the interval assumes one group")
    return cautions


def adjusted(suites: Sequence[ContestSuite]) -> list[ContestSuite]:
    """Return the suites of a contest with Holm's p, over the arms of a role and the suites of a unit, by baseline."""
    p_values: dict[tuple[str, bool, Unit], dict[tuple[str, str], ArmDifference]] = {}
    for suite in suites:
        for one in suite.arms:
            for part, difference in one.against.items():
                p_values.setdefault((part, one.role == "control", suite.unit), {})[suite.suite, one.arm] = difference
    found = {}
    for (part, _, _), family in p_values.items():
        plain = _holm([difference.p for difference in family.values()])
        equal = _holm([difference.equivalence.p for difference in family.values()])
        for (suite_name, arm), p, p_equal in zip(family, plain, equal, strict=True):
            found[suite_name, arm, part] = (p, p_equal)
    return [_with_holm(suite, found) for suite in suites]


def _holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust those that there are; one without a test counts as a test that found nothing."""
    every = holm([1.0 if p is None else p for p in p_values])
    return [None if p is None else value for p, value in zip(p_values, every, strict=True)]


def _with_holm(
    suite: ContestSuite, found: Mapping[tuple[str, str, str], tuple[float | None, float | None]]
) -> ContestSuite:
    def against(one: ArmResult, part: str, difference: ArmDifference) -> ArmDifference:
        p, p_equal = found[suite.suite, one.arm, part]
        equivalence = difference.equivalence.model_copy(update={"p_holm": p_equal})
        return difference.model_copy(update={"p_holm": p, "equivalence": equivalence})

    arms = [
        one.model_copy(update={"against": {part: against(one, part, value) for part, value in one.against.items()}})
        for one in suite.arms
    ]
    return suite.model_copy(update={"arms": arms})
