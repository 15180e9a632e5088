"""A contest in words and written numbers: the same on the console, in a run's report and on the leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rho1bench.comparison.contest.results import ArmDifference, ArmResult, ContestResult, ContestSuite
from rho1bench.comparison.statistics import FEWEST_FOR_SIGN_FLIPS
from rho1bench.recipe.models.contest import VALIDATION_LOSS
from rho1bench.rendering import numbers as fmt

PARTS = {"full": "full training", "random": "random selection", "control": "the best control"}
"""The baselines of an arm, in words."""
_MOST_SHARED = 10
ROLES = {"full": "baseline", "random": "baseline", "rule": "rule", "control": "control"}


@dataclass(frozen=True)
class DifferenceText:
    """One difference from a baseline."""

    difference: str
    ci: str
    p: str
    """After Holm's adjustment."""
    p_seeds: str
    p_tasks: str
    significant: bool
    equivalent: str
    """p that it is negligible, after Holm's adjustment; empty where there is none."""
    is_equivalent: bool


@dataclass(frozen=True)
class ArmRow:
    """One line of a contest's table."""

    arm: str
    role: str
    setting: str
    score: str
    seeds: str
    """Lowest and highest score over the seeds."""
    flops: str
    """Operations of a run with everything that it alone needed."""
    seconds: str
    against: dict[str, DifferenceText | None]
    """By the part of the baseline; None against itself."""


def baselines_of(suite: ContestSuite) -> dict[str, str]:
    """Return the name of each baseline that a suite has, by its part."""
    found = {part: value.baseline for one in suite.arms for part, value in one.against.items()}
    return {part: found[part] for part in PARTS if part in found}


def parts_of(suite: ContestSuite) -> dict[str, str]:
    """Return the baselines that a suite has, in words with their names."""
    return {part: f"{PARTS[part]} ({name})" for part, name in baselines_of(suite).items()}


def arm_rows(suite: ContestSuite) -> list[ArmRow]:
    """Return the lines of a suite's table, the best arm first."""
    return [_row(one, suite) for one in suite.arms]


def _row(one: ArmResult, suite: ContestSuite) -> ArmRow:
    scores = [score_text(score, suite) for score in (min(one.seeds.values()), max(one.seeds.values()))]
    return ArmRow(
        arm=one.arm,
        role=ROLES[one.role],
        setting=one.setting,
        score=score_text(one.score, suite),
        seeds="trained once" if "" in one.seeds else f"{scores[0]} to {scores[1]}",
        flops=fmt.flops(one.flops),
        seconds=fmt.seconds(one.seconds),
        against={
            part: _difference(one.against[part], suite) if part in one.against else None for part in parts_of(suite)
        },
    )


def _difference(value: ArmDifference, suite: ContestSuite) -> DifferenceText:
    equal = value.equivalence.p_holm
    return DifferenceText(
        difference=difference_text(value.difference, suite),
        ci=f"{difference_text(value.ci[0], suite)} to {difference_text(value.ci[1], suite)}",
        p=fmt.p_value(value.p_holm),
        p_seeds=fmt.p_value(value.p_seeds),
        p_tasks=fmt.p_value(value.p_tasks),
        significant=is_significant(value),
        equivalent="" if equal is None else fmt.p_value(equal),
        is_equivalent=equal is not None and equal < fmt.SIGNIFICANT,
    )


def is_significant(value: ArmDifference) -> bool:
    """Tell whether a difference is beyond chance, by its p after Holm's adjustment."""
    return value.p_holm is not None and value.p_holm < fmt.SIGNIFICANT


def score_text(score: float, suite: ContestSuite) -> str:
    """Write a score: percent, or bits per byte."""
    return fmt.percent(score) if suite.unit == "share" else f"{score:.4f}"


def difference_text(difference: float, suite: ContestSuite) -> str:
    """Write a difference: points, or bits per byte."""
    return fmt.points(difference) if suite.unit == "share" else fmt.signed(difference, 4)


@dataclass(frozen=True)
class Finding:
    """What the rules of a suite come to against one baseline."""

    verdict: str
    evidence: str
    """Which rules, by how much; empty where there is no rule."""

    @property
    def sentence(self) -> str:
        """Both as one sentence."""
        return f"{self.verdict}: {self.evidence}." if self.evidence else f"{self.verdict}."


def findings(suite: ContestSuite) -> list[Finding]:
    """Return one finding a baseline: which rules are ahead of it, behind it, or negligibly different."""
    return [_finding(suite, part, name) for part, name in parts_of(suite).items()]


def _finding(suite: ContestSuite, part: str, name: str) -> Finding:
    rules = [one for one in suite.arms if one.role == "rule" and part in one.against]
    if not rules:
        return Finding(f"No rule is held against {name} on {suite.suite}", "")
    sign = -1.0 if suite.unit == "bits per byte" else 1.0
    sure = [one for one in rules if is_significant(one.against[part])]
    ahead = [one for one in sure if sign * one.against[part].difference > 0]
    behind = [one for one in sure if one not in ahead]
    same = [one for one in rules if _is_negligible(one.against[part])]
    beat = f"{len(ahead)} of {len(rules)} rules beat" if ahead else "No rule beats"
    clauses = [f"ahead: {_names(ahead, part, suite)}"] if ahead else [f"the best is {_names(rules[:1], part, suite)}"]
    clauses += [f"significantly behind: {_names(behind, part, suite)}"] if behind else []
    if same:
        margin = difference_text(same[0].against[part].equivalence.margin, suite).lstrip("+")
        clauses.append(f"within {margin} of it: {_names(same, part, suite)}")
    return Finding(f"{beat} {name} on {suite.suite}", "; ".join(clauses))


def _is_negligible(value: ArmDifference) -> bool:
    return value.equivalence.p_holm is not None and value.equivalence.p_holm < fmt.SIGNIFICANT


def _names(arms: Sequence[ArmResult], part: str, suite: ContestSuite) -> str:
    unit = "points" if suite.unit == "share" else suite.unit
    return ", ".join(f"{one.arm} {difference_text(one.against[part].difference, suite)}" for one in arms) + f" {unit}"


def coverage(result: ContestResult, suite: ContestSuite) -> list[str]:
    """Return what intervals and p of a suite speak of, and what keeps them from saying more."""
    terms = result.terms
    covers = {value.covers for one in suite.arms for value in one.against.values()}
    tasks = "one task" if len(suite.tasks) == 1 else f"{len(suite.tasks)} tasks"
    documents = f"{fmt.count(suite.num_documents)} documents in {tasks}"
    if "seeds and documents" in covers:
        seeds = ", ".join(map(str, terms.seeds))
        words = [f"Intervals and p speak of other training seeds ({seeds} were run) and other documents ({documents})."]
        if terms.shared_stages:
            shared, left_out = terms.shared_stages[:_MOST_SHARED], len(terms.shared_stages) - _MOST_SHARED
            more = f" and {left_out} more" if left_out > 0 else ""
            words.append(f"Made once for all seeds, and so not covered: {', '.join(shared)}{more}.")
    else:
        words = [f"Intervals and p speak of other documents ({documents}), not of other training seeds."]
    words.append(
        "Each interval is of one difference; p is adjusted by Holm's method over arms of a kind and suites of a unit."
    )
    if terms.seeds and len(terms.seeds) < FEWEST_FOR_SIGN_FLIPS:
        words.append(f"{len(terms.seeds)} seeds are too few for an exact p over seeds alone; it takes five.")
    if suite.best_control is not None:
        words.append("The best control is picked on the same answers, which favours it.")
    return words + [f"{caution}." for caution in _cautions(suite)]


def _cautions(suite: ContestSuite) -> list[str]:
    found = dict.fromkeys(
        f"{one.arm}: {caution}" if "groups" in caution else caution
        for one in suite.arms
        for value in one.against.values()
        for caution in value.cautions
    )
    return [
        caution[0].upper() + caution[1:] if caution.startswith(tuple("0123456789")) else caution for caution in found
    ]


def choices(result: ContestResult) -> str:
    """Return how settings were chosen, and which lie at the edge of what was tried; empty without a choice."""
    terms = result.terms
    if not any(choice.values for choice in result.chosen):
        return ""
    by = "the lowest validation loss" if terms.choose_by == VALIDATION_LOSS else f"the best score on {terms.choose_by}"
    seeds = ", ".join(map(str, terms.tuning_seeds))
    text = f"{terms.choose} was chosen for each arm by {by} on seed {seeds}, which counts in no other number."
    edge = [f"{choice.arm} {choice.setting}" for choice in result.chosen if choice.at_edge]
    return (
        f"{text} At the edge of what was tried, so that better ones may lie beyond: {', '.join(edge)}."
        if edge
        else text
    )


def signal_rows(suite: ContestSuite) -> list[list[str]]:
    """Return task, documents, spread between arms, seeds and late checkpoints, and signal-to-noise."""
    rows = []
    for task, signal in suite.signal.items():
        spreads = (signal.between_arms, signal.between_seeds, signal.between_checkpoints)
        numbers = [fmt.NONE if value is None else score_text(value, suite) for value in spreads]
        ratio = fmt.NONE if signal.ratio is None else f"{signal.ratio:.1f}"
        rows.append([task, fmt.count(suite.tasks[task]), *numbers, ratio])
    return rows
