"""``contests`` of a ``compare`` stage: many arms at once, and which trained stage stands for which arm and seed.

The arms are variants of a matrix: one axis (or several) names the arm, ``choose`` an axis whose value each arm may
choose on the tuning seeds, and the seed is the stage's own. A stage that is no variant is an arm of its own name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from rho1bench.recipe.models.base import METRICS, Model, Name, Seed, StageBase, StageRef, references

VALIDATION_LOSS = "validation_loss"
Role = Literal["full", "random", "rule", "control"]
Arms = list[Annotated[Name, StageRef(("pretrain", "sft"), METRICS)]]


class Contest(Model):
    """Arms that differ in nothing but their rule, each against full training, random selection and the best control."""

    name: Name = "contest"
    arms: Annotated[Arms, Field(min_length=2)]
    """Trained stages, by name, pattern or matrix."""
    arm_axes: Annotated[list[str], Field(min_length=1)] = ["selection"]
    """Axes of the matrix whose labels name an arm."""
    full: str
    """The arm that trains on every token."""
    random: str | None = None
    """The arm that selects at random; without it nothing is said about equivalence to random."""
    controls: Arms = []
    """Stages that use what the arms use in another way: the reference itself, its text mixed in, a line filter."""
    choose: str | None = None
    """Axis whose value is chosen for each arm, ``optimizer.learning_rate`` for example."""
    choose_by: str = VALIDATION_LOSS
    """``validation_loss`` (the last one of the stage, lower is better), or a suite of documents that are not tested."""
    tuning_seeds: list[Seed] = []
    """Seeds on which values are chosen; they never count."""
    suites: list[str] = []
    """Suites of the contest; default: all on which every arm is evaluated, but for ``choose_by``."""
    place: Annotated[dict[str, str], Field(max_length=3)] = {}
    """Where it lies on a map, by axis: contests of one recipe with the same axes are drawn as cells of one figure."""
    margin: Annotated[float, Field(gt=0)] = 1.0
    """Differences within so many points are negligible: the margin of the tests of equivalence."""


@dataclass(frozen=True)
class Member:
    """One trained stage of a contest."""

    stage: str
    arm: str
    role: Role
    setting: str
    """Label on the chosen axis; empty for a stage without that axis."""
    number: float | None
    """What the label stands for, where it is a number."""
    seed: int | None
    """None: trained once, for all seeds."""


def members(contest: Contest, stages: Mapping[str, StageBase]) -> list[Member]:
    """Return the trained stages of a contest, controls last; those that ``stages`` lacks are left out."""
    names = dict.fromkeys([*(name for name in contest.arms if name not in contest.controls), *contest.controls])
    return [_member(contest, stages[name]) for name in names if name in stages]


def _member(contest: Contest, stage: StageBase) -> Member:
    arm = _arm(contest, stage)
    role: Role = "control" if stage.name in contest.controls else "rule"
    if role == "rule" and arm in (contest.full, contest.random):
        role = "full" if arm == contest.full else "random"
    setting = (label_on(stage, contest.choose) if contest.choose else None) or ""
    number = _number(stage, contest.choose) if setting else None
    return Member(stage.name, arm, role, setting, number, stage.seed if stage.variant else None)


def _arm(contest: Contest, stage: StageBase) -> str:
    if stage.variant is None:
        return stage.name
    labels = [label_on(stage, axis) for axis in contest.arm_axes]
    return "-".join(label for label in labels if label) or stage.variant.group


def label_on(stage: StageBase, axis: str) -> str | None:
    """Return a variant's label on an axis, which may be named by its last word (or be ``group``); None without one."""
    if stage.variant is None:
        return None
    if axis == "group":
        return stage.variant.group
    labels = stage.variant.labels
    return next((label for name, label in labels.items() if axis in (name, name.rpartition(".")[2])), None)


def axes_of(stages: Iterable[StageBase]) -> list[str]:
    """Return the axes of all variants among ``stages``."""
    return list(dict.fromkeys(axis for stage in stages if stage.variant for axis in stage.variant.labels))


def _number(stage: StageBase, axis: str | None) -> float | None:
    """Return the value of a stage at a dotted key, where it is a number."""
    labels = stage.variant.labels if stage.variant else {}
    full = next((name for name in labels if axis in (name, name.rpartition(".")[2])), "")
    value: object = stage
    for key in full.split("."):
        value = getattr(value, key, None)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def shared_stages(contest: Contest, stages: Mapping[str, StageBase]) -> list[str]:
    """Return the stages behind the arms that were made once for all seeds: what no spread over seeds can cover."""
    behind: dict[int, set[str]] = {}
    for member in members(contest, stages):
        if member.seed is not None and member.role != "control":
            behind.setdefault(member.seed, set()).update(_ancestors(member.stage, stages))
    common = set.intersection(*behind.values()) if len(behind) > 1 else set()
    return [name for name in stages if name in common]


def contest_suites(contest: Contest, suites: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the suites of a contest, given those on which the last checkpoint of each stage is evaluated."""
    common = [
        suite
        for suite in dict.fromkeys(suite for names in suites.values() for suite in names)
        if suite != contest.choose_by
        and all(suite in suites.get(name, ()) for name in (*contest.arms, *contest.controls))
    ]
    return [suite for suite in common if suite in contest.suites] if contest.suites else common


def _ancestors(name: str, stages: Mapping[str, StageBase]) -> Iterator[str]:
    for _, other, _ in references(stages[name]):
        if other in stages:
            yield other
            yield from _ancestors(other, stages)
