"""Differences of scores on the same documents, as ``comparison.json`` and ``summary.json`` hold them.

Place in the pipeline: the ``compare`` stage writes :class:`Comparison`, ``report`` reads it; ``leaderboard`` pairs
records through :func:`compare_scores`. Paper section 3.3 prints bare averages.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from rho1bench.comparison import statistics
from rho1bench.comparison.contest.results import ContestResult
from rho1bench.comparison.costs import CheckpointCost
from rho1bench.comparison.result_files import ResultModel, read_result_file
from rho1bench.comparison.statistics import Values
from rho1bench.errors import DataError

CONFIDENCE = 0.95
MCNEMAR = "exact McNemar"
SIGN_FLIP = f"sign-flip permutation ({statistics.NUM_SIGN_FLIPS} draws)"
_ADVICE = "Run the compare stage again."


class PairedDifference(ResultModel):
    """Treatment minus baseline, over documents that both have."""

    treatment: float
    baseline: float
    difference: float
    ci: tuple[float, float] | None
    """Paired bootstrap over documents, or blocks; None where a task has fewer than two."""
    p: float
    """Over the documents; of these tasks or texts, and of these two trained models."""
    p_method: str
    n: int
    """Documents, or blocks, over all tasks."""


class ScoreDifference(PairedDifference):
    """The difference on one task, or on a suite's average; fractions of 1."""

    p_holm: float | None = None
    """Of a suite: adjusted over the suites of the pair."""
    p_tasks: float | None = None
    """Of a suite: exact sign-flip over its tasks' differences; None with fewer than five tasks."""


class TaskDifference(ScoreDifference):
    """The difference on one task; ``p_holm`` is adjusted over all tasks of the pair."""

    suite: str | None
    metric: str
    p_holm: float


class TextDifference(PairedDifference):
    """The difference in bits per byte of one text; below 0 the treatment predicts it better."""


class BitsComparison(ResultModel):
    """Both sides' bits per byte of what both were measured on."""

    corpora: dict[str, TextDifference]
    gold_answers: dict[str, TextDifference]
    """By task."""
    suites: dict[str, TextDifference]
    """Gold answers again: plain means over the tasks of a suite, those without gold answers left out."""


class PairComparison(ResultModel):
    """Treatment against baseline on every suite and task that both were evaluated on."""

    treatment: str
    baseline: str
    suites: dict[str, ScoreDifference]
    tasks: dict[str, TaskDifference]
    bits_per_byte: BitsComparison | None = None
    """None where no text was measured for both."""


class ComparisonSettings(ResultModel):
    """How intervals and p-values were drawn."""

    confidence: float = CONFIDENCE
    num_resamples: int
    seed: int


class Comparison(ResultModel):
    """The file ``comparison.json``."""

    schema_version: Literal[1] = Field(alias="schema")
    pairs: list[PairComparison]
    settings: ComparisonSettings
    contests: list[ContestResult] = []
    costs: dict[str, CheckpointCost] = {}
    """By evaluated checkpoint; of runs with stages of earlier versions, those that are known."""


def compare_scores(pairs: Sequence[tuple[Values, Values]], *, seed: int, num_resamples: int = 2000) -> ScoreDifference:
    """Compare the scores of one task (one pair of arrays), or of a suite (one pair a task), on the same documents.

    The scores of a suite are the plain means of its tasks' means. p is exact McNemar for one task whose scores are 0
    and 1, else a sign-flip permutation test. Raises ``ValueError`` for a task without documents.
    """
    differences = [left - right for left, right in pairs]
    interval = statistics.bootstrap_interval(differences, seed=seed, num_resamples=num_resamples, confidence=CONFIDENCE)
    if len(pairs) == 1 and all(statistics.is_binary(values) for values in pairs[0]):
        p, p_method = statistics.mcnemar_exact_p(*pairs[0]), MCNEMAR
    else:
        p, p_method = statistics.sign_flip_p(differences, seed=seed), SIGN_FLIP
    return ScoreDifference(
        treatment=statistics.stratified_mean([left for left, _ in pairs]),
        baseline=statistics.stratified_mean([right for _, right in pairs]),
        difference=statistics.stratified_mean(differences),
        ci=(interval.low, interval.high) if interval else None,
        p=p,
        p_method=p_method,
        n=sum(len(values) for values in differences),
    )


def compare_texts(pairs: Sequence[tuple[Values, Values]], *, seed: int, num_resamples: int = 2000) -> TextDifference:
    """Compare the bits per byte of one text (one pair of arrays), or their plain mean over the texts of a suite."""
    found = compare_scores(pairs, seed=seed, num_resamples=num_resamples)
    return TextDifference(**{name: getattr(found, name) for name in TextDifference.model_fields})


def read_comparison(folder: Path) -> Comparison:
    """Read a compare stage's ``comparison.json``; raises ``DataError`` where it is missing, broken or empty."""
    path = folder / "comparison.json"
    comparison = read_result_file(path, Comparison, "a comparison", _ADVICE)
    if not comparison.pairs and not comparison.contests:
        raise DataError(f"{path}: compares nothing. {_ADVICE}")
    return comparison
