"""The spread of differences that a finished run (or a contest's record) shows, for ``rho1bench power``.

A contest tells the spread of each arm against full training: the medians of their parts count. A run of pairs tells
that of its first pair, over all of its counted seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from pydantic import ValidationError

from rho1bench.comparison.contest.results import ContestResult, ContestSuite, Unit
from rho1bench.comparison.crossed_effects import CrossedMean, Spread, crossed_mean, spread_of
from rho1bench.comparison.eval_results import LabelScores, read_label
from rho1bench.comparison.pairing import check_comparable, on_suite, paired
from rho1bench.comparison.run_summary import RunSummary, SeedsSummary, read_summary
from rho1bench.errors import DataError
from rho1bench.recipe import CompareStage, Recipe
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.system.files import read_json

_ADVICE = "Give the folder of a finished run that compares something, or the record of a contest."


@dataclass(frozen=True)
class ObservedSpread:
    """A spread, and what it is of."""

    spread: Spread
    what: str
    """In words."""
    num_seeds: int
    num_documents: int
    num_tasks: int
    unit: Unit = "share"


def observed_spread(path: Path, suite: str | None = None) -> ObservedSpread:
    """Return the spread that a run folder or a contest's record shows on ``suite``, the first one by default.

    Raises ``DataError`` where there is none.
    """
    if path.is_file():
        return _of_contests([_contest_of_record(path)], path, suite)
    summary = read_summary(path / "summary.json") if (path / "summary.json").is_file() else None
    if isinstance(summary, RunSummary) and summary.contests:
        return _of_contests(summary.contests, path, suite)
    if summary is None:
        raise DataError(f"{path}: no finished run. {_ADVICE}")
    return _of_pairs(path, summary, suite)


def _contest_of_record(path: Path) -> ContestResult:
    try:
        return ContestResult.model_validate(read_json(path)["result"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        unreadable = isinstance(error, OSError | ValueError) and not isinstance(error, ValidationError)
        detail = f"it cannot be read: {error}" if unreadable else "it has other fields than a contest's"
        raise DataError(f"{path}: not the record of a contest, {detail}. {_ADVICE}") from error


def _of_contests(contests: Sequence[ContestResult], path: Path, suite: str | None) -> ObservedSpread:
    suites = {one.suite: one for contest in reversed(contests) for one in reversed(contest.suites)}
    found = suites[_chosen(suite, list(reversed(suites)), path)]
    arms = [one.against["full"].spread for one in found.arms if one.role != "control" and "full" in one.against]
    if not arms:
        raise DataError(f"{path}: its contest has no arm beside full training. {_ADVICE}")
    seeds = [one.seeds for one in arms if one.seeds is not None]
    spread = Spread(
        seeds=_middle(seeds),
        documents=_middle([one.documents for one in arms]),
        residual=_middle([one.residual for one in arms]),
    )
    num_seeds = max(len(one.seeds) for one in found.arms)
    what = f"{len(arms)} arms against {_full(found)} on {found.suite}, medians"
    return ObservedSpread(spread, what, num_seeds, found.num_documents, len(found.tasks), found.unit)


def _full(suite: ContestSuite) -> str:
    return next(one.arm for one in suite.arms if one.role == "full")


def _middle(values: Sequence[float]) -> float:
    """Return the root of the median of squares; 0 where nothing is known."""
    return math.sqrt(median(value**2 for value in values)) if values else 0.0


def _chosen(suite: str | None, known: Sequence[str], path: Path) -> str:
    if suite is not None and suite not in known:
        raise DataError(f"{path}: nothing is compared on {suite!r}; suites: {', '.join(known)}.")
    return suite or known[0]


def _of_pairs(path: Path, summary: RunSummary | SeedsSummary, suite: str | None) -> ObservedSpread:
    recipe = load_recipe(str(path / "recipe.yaml"))
    stage = next(iter(recipe.stages_of(CompareStage)), None)
    if stage is None or not stage.pairs:
        raise DataError(f"{path}: compares no pair. {_ADVICE}")
    pair = stage.pairs[0]
    places = _places(path, recipe, summary)
    labels = [
        tuple(read_label(place / "stages" / stage.evaluation, name) for name in (pair.treatment, pair.baseline))
        for place in places
    ]
    name = _chosen(suite, list(labels[0][0].suites), path)
    found = _difference([(on_suite(left, name), on_suite(right, name)) for left, right in labels])
    num_tasks = len(labels[0][0].suites[name])
    what = f"{pair.treatment} against {pair.baseline} on {name}"
    return ObservedSpread(spread_of(found), what, found.num_seeds, found.num_documents, num_tasks)


def _places(path: Path, recipe: Recipe, summary: RunSummary | SeedsSummary) -> list[Path]:
    """Return the folders of the seeds that count, or that of the only run."""
    if isinstance(summary, RunSummary):
        return [path]
    return [path / f"seed-{seed}" for seed in recipe.seeds if seed not in recipe.tuning_seeds]


def _difference(labels: Sequence[tuple[LabelScores, LabelScores]]) -> CrossedMean:
    first = labels[0][0]
    for left, right in labels:
        check_comparable(left, right)
        check_comparable(first, left)
    strata = []
    for task in first.tasks:
        pairs = [paired(left.tasks[task], right.tasks[task]) for left, right in labels]
        strata.append(np.stack([treatment - baseline for treatment, baseline in pairs]))
    return crossed_mean(strata)
