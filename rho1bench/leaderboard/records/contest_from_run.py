"""From the folder of a run to the records of its contests: part of ``rho1bench leaderboard add``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rho1bench.comparison.bits_per_byte import TextBits
from rho1bench.comparison.contest.choice import Trial
from rho1bench.comparison.contest.contest import hold
from rho1bench.comparison.contest.from_run import ContestRun, last_validation_loss
from rho1bench.comparison.costs import StageCost
from rho1bench.comparison.eval_results import LabelScores
from rho1bench.comparison.pairing import texts_on, values_on
from rho1bench.comparison.run_summary import read_training
from rho1bench.leaderboard.records.contest_record import (
    FOLDER,
    ContestCode,
    ContestRecord,
    RunRecord,
    SuiteFacts,
    TaskFacts,
    TrialRecord,
    rounded,
    scale_of_suites,
    with_hashes,
)
from rho1bench.leaderboard.records.from_evaluation import limit_of, ordered, scale_of_tasks, slug
from rho1bench.leaderboard.records.from_run import Run, recipe_sha256, run_command, training_code
from rho1bench.leaderboard.records.record import SCHEMA, UNHASHED, EvaluationFacts, Scale, Scores, encode
from rho1bench.recipe import CompareStage, Contest, EvalStage, TrainStage
from rho1bench.recipe.models.contest import Member
from rho1bench.recipe.part import part_of
from rho1bench.recipe.texts import text_of


def contest_runs(run: Run) -> list[Run]:
    """Return the run once for each ``compare`` stage that holds contests, each with no more than what that one needs.

    So the record of a cell of a map names its own command, whichever cells were run with it.
    """
    stages = run.recipe.stages_of(CompareStage)
    if len(stages) == 1:
        return [run] if stages[0].contests else []
    return [replace(run, recipe=part_of(run.recipe, [stage.name])) for stage in stages if stage.contests]


def pack_contests(run: Run) -> Iterator[ContestRecord]:
    """Yield the record of every contest of one of the :func:`contest_runs`, checked before; raises DataError."""
    for stage in run.recipe.stages_of(CompareStage):
        for contest in stage.contests:
            yield _pack(run, stage, contest)


def contest_id(recipe: str, contest: str, seed: int, *, is_smoke: bool) -> str:
    """Return the id of a contest's record."""
    return f"{FOLDER}/{slug(recipe)}{'.smoke' if is_smoke else ''}.{contest}.seed{seed}"


def _pack(run: Run, stage: CompareStage, contest: Contest) -> ContestRecord:
    recipe = run.recipe
    folders = {one.name: run.stage_folder(one.name) for one in recipe.stages}
    held = ContestRun(contest, recipe, recipe.stage(stage.evaluation, EvalStage), folders)
    trials = held.trials()
    result = rounded(hold(held.terms, trials, held.entrants))
    counted = held.counted({choice.arm: choice.setting for choice in result.chosen})
    first = held.label(counted[0].stage)
    suites = {suite: _suite(held, suite, first, is_smoke=run.is_smoke) for suite in held.suites}
    facts = {key: getattr(first.results, key) for key in EvaluationFacts.model_fields}
    seconds = sum(held.label(one.stage).results.seconds for one in counted)
    return with_hashes(
        ContestRecord(
            schema=SCHEMA,
            id=contest_id(recipe.name, contest.name, recipe.seed, is_smoke=run.is_smoke),
            recipe=recipe.name,
            recipe_sha256=recipe_sha256(recipe),
            seed=recipe.seed,
            scale=scale_of_suites(suites),
            command=run_command(run),
            evaluation=EvaluationFacts(**facts | {"seconds": seconds}),
            code=ContestCode(training=_training_code(run, counted), evaluation=first.results.code_sha256),
            terms=held.terms,
            suites=suites,
            trials=[_trial(one) for one in trials],
            runs=[_run(held, one, list(suites)) for one in counted],
            costs=_costs(held, counted),
            result=result,
            eval_fingerprint=UNHASHED,
            sha256=UNHASHED,
        )
    )


def _training_code(run: Run, counted: Sequence[Member]) -> dict[str, str]:
    stages = {run.recipe.stage(one.stage, TrainStage).kind: one.stage for one in counted}
    return {kind: training_code(run.recipe, name) for kind, name in stages.items()}


def _trial(one: Trial) -> TrialRecord:
    return TrialRecord(
        stage=one.label, arm=one.arm, setting=one.setting, number=one.number, seed=one.seed, value=one.value
    )


def _suite(held: ContestRun, suite: str, first: LabelScores, *, is_smoke: bool) -> SuiteFacts:
    text = text_of(suite)
    if text is not None:
        limits = [item.limit for item in held.evaluation.evaluations if not item.trajectory and suite in item.suites]
        scale: Scale = "smoke" if is_smoke else scale_of_tasks(text[1], is_whole=limits[0] is None)
        facts = {name: _text(entry) for name, entry in texts_on(first.results, suite).items()}
        return SuiteFacts(limit=limits[0], scale=scale, tasks=facts)
    names = first.suites[suite]
    tasks = {name: _task(first, name) for name in names}
    is_whole = all(task.n == task.num_rows for task in tasks.values())
    scale = "smoke" if is_smoke else scale_of_tasks(suite, is_whole=is_whole)
    return SuiteFacts(limit=limit_of(first.results, suite), scale=scale, tasks=tasks)


def _text(entry: TextBits) -> TaskFacts:
    return TaskFacts(
        metric="bits_per_byte",
        n=entry.n,
        num_rows=None,
        version=None,
        data_sha256=entry.data_sha256,
        prompts_sha256=entry.data_sha256,
        generation_kwargs=None,
    )


def _task(label: LabelScores, name: str) -> TaskFacts:
    result = label.results.tasks[name]
    return TaskFacts(
        metric=result.metric,
        n=len(label.tasks[name].scores),
        num_rows=result.num_rows,
        version=result.version,
        data_sha256=result.data_sha256,
        prompts_sha256=result.prompts_sha256,
        generation_kwargs=result.generation_kwargs,
    )


def _run(held: ContestRun, member: Member, suites: Sequence[str]) -> RunRecord:
    label = held.label(member.stage)
    training = read_training(held.folders[member.stage])
    return RunRecord(
        stage=member.stage,
        arm=member.arm,
        role=member.role,
        setting=member.setting,
        seed=member.seed,
        weights_sha256=label.results.weights_sha256,
        num_parameters=label.results.num_parameters,
        step=training.max_steps,
        tokens=training.tokens,
        selected_tokens=training.selected_tokens,
        validation_loss=last_validation_loss(held.folders[member.stage]),
        needed=[part.stage for part in held.costs[member.stage].stages] if member.stage in held.costs else [],
        scores={suite: _scores(label, suite) for suite in suites},
        late={suite: [_scores(point, suite) for point in held.late(member.stage, suite)] for suite in suites},
    )


def _costs(held: ContestRun, counted: Sequence[Member]) -> dict[str, StageCost]:
    known = [held.costs[one.stage] for one in counted if one.stage in held.costs]
    return {part.stage: part for cost in known for part in cost.stages}


def _scores(label: LabelScores, suite: str) -> dict[str, Scores]:
    if text_of(suite) is not None:
        return {name: encode(values.tolist()) for name, values in values_on(label, suite).items()}
    found = {task: label.tasks[task] for task in label.suites[suite]}
    return {task: encode([one.scores[doc_id] for doc_id in ordered(one)]) for task, one in found.items()}
