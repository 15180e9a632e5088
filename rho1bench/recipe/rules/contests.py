"""Rules about contests: arms that are evaluated, baselines and axes that are there, seeds that count for every arm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rho1bench.recipe.loading.layers import nearest
from rho1bench.recipe.models.contest import VALIDATION_LOSS, Contest, Member, axes_of, contest_suites, members
from rho1bench.recipe.models.evaluation import CompareStage, EvalStage
from rho1bench.recipe.models.training import PretrainStage
from rho1bench.recipe.rules.rule import Earlier, Problems, rule

Found = Iterator[tuple[str, str]]
"""Key inside the contest, and message."""


@rule(CompareStage)
def contests_can_be_held(stage: CompareStage, earlier: Earlier) -> Problems:
    """Every contest has its arms, baselines, settings, seeds and suites."""
    evaluation = earlier.stage(stage.evaluation, EvalStage)
    names = [contest.name for contest in stage.contests]
    for index, contest in enumerate(stage.contests):
        if names.index(contest.name) < index:
            yield ("contests", str(index), "name"), f"two contests are called {contest.name!r}; give each its own name"
        for check in _CHECKS:
            for key, message in check(contest, evaluation, earlier):
                yield ("contests", str(index), key), message


def _arms_are_evaluated(contest: Contest, evaluation: EvalStage, earlier: Earlier) -> Found:
    evaluated = evaluation.final_checkpoints
    for key, given in (("arms", contest.arms), ("controls", contest.controls)):
        missing = [name for name in given if name in earlier.by_name and name not in evaluated]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            yield key, f"{missing[0]!r}{more} not evaluated by {evaluation.name!r}{nearest(missing[0], evaluated)}"


def _axes_are_there(contest: Contest, evaluation: EvalStage, earlier: Earlier) -> Found:
    every = [*contest.arms, *contest.controls]
    axes = axes_of(earlier.by_name[name] for name in every if name in earlier.by_name)
    known = {word for axis in axes for word in (axis, axis.rpartition(".")[2])} | {"group"}
    given = [("choose", contest.choose)] if contest.choose else []
    if axes:
        given += [("arm_axes", axis) for axis in contest.arm_axes]
    for key, axis in given:
        if axis not in known:
            yield key, f"no arm has the axis {axis!r}{nearest(axis, axes)}; axes: {', '.join(axes) or 'none'}"


def _baselines_are_arms(contest: Contest, evaluation: EvalStage, earlier: Earlier) -> Found:
    arms = list(dict.fromkeys(one.arm for one in members(contest, earlier.by_name) if one.role != "control"))
    for key, name in (("full", contest.full), ("random", contest.random)):
        if name is not None and name not in arms:
            yield key, f"there is no arm {name!r}{nearest(name, arms)}; arms: {', '.join(arms)}"
    if contest.full == contest.random:
        yield "random", f"the arm {contest.full!r} cannot be both full and random"


def _arms_differ(contest: Contest, evaluation: EvalStage, earlier: Earlier) -> Found:
    first: dict[tuple[str, str, int | None], Member] = {}
    for one in members(contest, earlier.by_name):
        other = first.setdefault((one.arm, one.setting, one.seed), one)
        if other is not one:
            yield (
                "arm_axes",
                f"{other.stage!r} and {one.stage!r} are both the arm {one.arm!r} of one seed; name the axis that tells "
                "them apart in arm_axes, or the one to choose on in choose",
            )
            return


def _seeds_count(contest: Contest, evaluation: EvalStage, earlier: Earlier) -> Found:
    """Every setting is there on every seed; some seeds count, the same for all arms."""
    found = members(contest, earlier.by_name)
    every = sorted({one.seed for one in found if one.seed is not None})
    unknown = [seed for seed in contest.tuning_seeds if seed not in every]
    if every and unknown:
        yield "tuning_seeds", f"no arm is trained with the seed {unknown[0]}; seeds: {', '.join(map(str, every))}"
    if every and not set(every) - set(contest.tuning_seeds):
        yield "tuning_seeds", "every seed serves to choose, so none counts; add seeds that no arm chooses on"
    for arm, settings in _by_setting(found).items():
        several = len(settings) > 1
        if several and not contest.tuning_seeds:
            yield (
                "tuning_seeds",
                f"the arm {arm!r} has {len(settings)} settings to choose from, but no seed to choose on",
            )
            return
        for setting, seeds in settings.items():
            wanted = [seed for seed in every if several or seed not in contest.tuning_seeds]
            missing = [seed for seed in wanted if seed not in seeds and None not in seeds]
            if missing:
                where = f" with {setting}" if setting else ""
                yield "arms", f"the arm {arm!r}{where} is not trained with the seed {missing[0]}, as others are"
                return
            if several and None in seeds:
                yield "arms", f"the arm {arm!r} has several settings and no seeds; give its matrix the axis seed"
                return


def _by_setting(found: Sequence[Member]) -> dict[str, dict[str, set[int | None]]]:
    arms: dict[str, dict[str, set[int | None]]] = {}
    for one in found:
        arms.setdefault(one.arm, {}).setdefault(one.setting, set()).add(one.seed)
    return arms


def _choice_is_measured(contest: Contest, evaluation: EvalStage, earlier: Earlier) -> Found:
    found = members(contest, earlier.by_name)
    several = {arm for arm, settings in _by_setting(found).items() if len(settings) > 1}
    choosing = [one.stage for one in found if one.arm in several]
    if not choosing:
        return
    if contest.choose_by == VALIDATION_LOSS:
        for name in choosing:
            stage = earlier.by_name[name]
            if not isinstance(stage, PretrainStage) or stage.validation is None:
                yield (
                    "choose_by",
                    f"{name!r} has no `validation` corpus to choose by; give it one, or choose by a suite",
                )
                return
    elif contest.choose_by in contest.suites:
        yield "choose_by", f"{contest.choose_by!r} is tested in this contest; choose by other documents"
    elif missing := [name for name in choosing if contest.choose_by not in evaluation.final_suites.get(name, ())]:
        suites = [VALIDATION_LOSS, *dict.fromkeys(suite for item in evaluation.evaluations for suite in item.suites)]
        yield (
            "choose_by",
            f"{missing[0]!r} is not evaluated on {contest.choose_by!r}{nearest(contest.choose_by, suites)}; "
            f"expected {VALIDATION_LOSS} or a suite",
        )


def _suites_are_evaluated(contest: Contest, evaluation: EvalStage, earlier: Earlier) -> Found:
    known = contest_suites(contest.model_copy(update={"suites": []}), evaluation.final_suites)
    if not known:
        yield "suites", "there is no suite on which every arm and control is evaluated"
    for suite in contest.suites:
        if suite not in known:
            yield (
                "suites",
                f"not every arm is evaluated on {suite!r}{nearest(suite, known)}; suites: {', '.join(known)}",
            )


def _documents_are_several(contest: Contest, evaluation: EvalStage, earlier: Earlier) -> Found:
    """The spread over documents takes two of every task."""
    stages = {one.stage for one in members(contest, earlier.by_name)}
    for item in evaluation.evaluations:
        if item.limit == 1 and not item.trajectory and stages.intersection(item.checkpoints):
            yield "arms", f"{evaluation.name!r} asks them one document a task (limit: 1); a spread takes two at least"
            return


_CHECKS: tuple[Callable[[Contest, EvalStage, Earlier], Found], ...] = (
    _arms_are_evaluated,
    _axes_are_there,
    _baselines_are_arms,
    _arms_differ,
    _seeds_count,
    _choice_is_measured,
    _suites_are_evaluated,
    _documents_are_several,
)
