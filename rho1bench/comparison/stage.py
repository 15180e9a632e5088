"""Stage ``compare``: checkpoints on the same documents, in pairs and in contests of many arms.

Reads the ``eval`` stage, writes ``comparison.json`` for ``report``. The paper compares SLM with CLM by averages only
(section 3.3); here every difference comes with a paired bootstrap interval, an exact McNemar p (0/1 scores) or a
sign-flip permutation p (other scores, suite averages), and Holm's adjustment over all tasks of the pair, and over its
suites; beside the p of an average, which speaks of its documents, stands the exact sign-flip p over its tasks.
"""

from __future__ import annotations

from collections.abc import Mapping

from rho1bench.comparison import statistics
from rho1bench.comparison.contest.from_run import ContestRun, contest_of_run
from rho1bench.comparison.contest.results import ContestResult
from rho1bench.comparison.costs import checkpoint_costs
from rho1bench.comparison.differences import (
    CONFIDENCE,
    BitsComparison,
    Comparison,
    ComparisonSettings,
    PairComparison,
    ScoreDifference,
    TaskDifference,
    TextDifference,
    compare_scores,
    compare_texts,
)
from rho1bench.comparison.eval_results import LabelScores, read_label
from rho1bench.comparison.pairing import check_comparable, paired, paired_texts
from rho1bench.comparison.result_files import SCHEMA, as_json
from rho1bench.comparison.statistics import Values
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import CompareStage, EvalStage
from rho1bench.system.files import write_json


def run(context: StageContext) -> None:
    """Compare the recipe's pairs, hold its contests and write ``comparison.json``.

    Raises ``DataError`` where two checkpoints were evaluated otherwise, or a contest lacks what it chooses by.
    """
    stage = context.config(CompareStage)
    folder = context.input(stage.evaluation)
    read: dict[str, LabelScores] = {}
    pairs = []
    for pair in context.progress.track(stage.pairs, len(stage.pairs), "pairs"):
        for label in (pair.treatment, pair.baseline):
            if label not in read:
                read[label] = read_label(folder, label)
        pairs.append(
            compare_labels(
                read[pair.treatment], read[pair.baseline], seed=context.seed, num_resamples=stage.num_resamples
            )
        )
    settings = ComparisonSettings(confidence=CONFIDENCE, num_resamples=stage.num_resamples, seed=context.seed)
    comparison = Comparison(
        schema=SCHEMA,
        pairs=pairs,
        settings=settings,
        contests=_hold_contests(stage, context),
        costs=checkpoint_costs(context.recipe, context.inputs),
    )
    write_json(context.folder / "comparison.json", as_json(comparison))


def _hold_contests(stage: CompareStage, context: StageContext) -> list[ContestResult]:
    if not stage.contests:
        return []
    evaluation = context.recipe.stage(stage.evaluation, EvalStage)
    tracked = context.progress.track(stage.contests, len(stage.contests), "contests")
    return [contest_of_run(ContestRun(contest, context.recipe, evaluation, context.inputs)) for contest in tracked]


def compare_labels(
    treatment: LabelScores, baseline: LabelScores, *, seed: int, num_resamples: int = 2000
) -> PairComparison:
    """Return one entry of comparison.json's ``pairs``.

    Raises ``DataError`` naming what differs where tasks, documents or ``eval_fingerprint`` of the two differ.
    """
    check_comparable(treatment, baseline)
    suite_of = {task: suite for suite, tasks in reversed(treatment.suites.items()) for task in tasks}
    scores = {task: paired(treatment.tasks[task], baseline.tasks[task]) for task in treatment.tasks}
    found = {task: compare_scores([pair], seed=seed, num_resamples=num_resamples) for task, pair in scores.items()}
    adjusted = statistics.holm([entry.p for entry in found.values()])
    tasks = {
        task: TaskDifference(
            **dict(entry) | {"p_holm": p_holm},
            suite=suite_of.get(task),
            metric=treatment.results.tasks[task].metric,
        )
        for (task, entry), p_holm in zip(found.items(), adjusted, strict=True)
    }
    suites = _compare_suites(treatment, scores, seed, num_resamples)
    pair = PairComparison(treatment=treatment.label, baseline=baseline.label, suites=suites, tasks=tasks)
    bits = compare_bits(treatment, baseline, seed=seed, num_resamples=num_resamples)
    return pair if bits is None else pair.model_copy(update={"bits_per_byte": bits})


def compare_bits(
    treatment: LabelScores, baseline: LabelScores, *, seed: int, num_resamples: int = 2000
) -> BitsComparison | None:
    """Return both sides' bits per byte of the texts that both were measured on; None without one.

    Raises ``DataError`` for a text of one name and another content.
    """
    corpora, answers = paired_texts(treatment, baseline)
    if not corpora and not answers:
        return None

    def compare(*pairs: tuple[Values, Values]) -> TextDifference:
        return compare_texts(pairs, seed=seed, num_resamples=num_resamples)

    suites = {suite: [task for task in tasks if task in answers] for suite, tasks in treatment.suites.items()}
    return BitsComparison(
        corpora={name: compare(pair) for name, pair in corpora.items()},
        gold_answers={name: compare(pair) for name, pair in answers.items()},
        suites={suite: compare(*(answers[task] for task in tasks)) for suite, tasks in suites.items() if tasks},
    )


def _compare_suites(
    treatment: LabelScores, scores: Mapping[str, tuple[Values, Values]], seed: int, num_resamples: int
) -> dict[str, ScoreDifference]:
    """Compare the averages, p adjusted over the suites, and beside it the p over each suite's tasks."""
    found = {
        suite: compare_scores([scores[task] for task in names], seed=seed, num_resamples=num_resamples)
        for suite, names in treatment.suites.items()
    }
    adjusted = statistics.holm([entry.p for entry in found.values()])
    suites = {}
    for (suite, entry), p_holm in zip(found.items(), adjusted, strict=True):
        differences = [
            float((left - right).mean()) for left, right in (scores[task] for task in treatment.suites[suite])
        ]
        p_tasks = statistics.sign_flips_of_several(differences)
        suites[suite] = entry.model_copy(update={"p_holm": p_holm, "p_tasks": p_tasks})
    return suites
