"""Whether a contest's record is what its command makes: bound to its recipe, arms, seeds, limits and costs.

Part of ``contest_checks``, as ``origin`` is of ``checks``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rho1bench.comparison.contest.from_run import ContestRun
from rho1bench.comparison.costs import StagesNeeded
from rho1bench.comparison.signal_to_noise import LATE
from rho1bench.leaderboard.records.contest_from_run import contest_id
from rho1bench.leaderboard.records.contest_record import ContestRecord, RunRecord
from rho1bench.leaderboard.records.evaluation_checks import evaluation_problems, protocol_problems, stage_problems
from rho1bench.leaderboard.records.origin import kept_recipe_problems, limit_words, recipe_of, stages_needed
from rho1bench.leaderboard.records.training_checks import (
    Trained,
    cost_problems,
    own_flops_problems,
    training_problems,
)
from rho1bench.recipe import CompareStage, CorpusStage, EvalStage, Recipe, TrainStage
from rho1bench.recipe.models.training import checkpoint_steps
from rho1bench.recipe.texts import MAX_BLOCKS, text_of


def recipe_problems(contest: ContestRecord, results: Path) -> Iterator[str]:
    """Yield where a contest is not the one that its recipe holds."""
    yield from evaluation_problems(contest.evaluation)
    yield from protocol_problems(contest.evaluation, contest.suites)
    yield from kept_recipe_problems(contest.command, contest.recipe_sha256, results)
    recipe = recipe_of(contest.command, contest.recipe, contest.recipe_sha256, results)
    if isinstance(recipe, str):
        yield recipe
        return
    is_smoke = recipe.scale == "smoke"
    expected = contest_id(recipe.name, contest.terms.name, contest.seed, is_smoke=is_smoke)
    if contest.id != expected or contest.recipe != recipe.name or (contest.scale == "smoke") != is_smoke:
        yield f"its id is not that of its recipe, name and seed: {expected}"
    if not contest.command.endswith(f" --seed {contest.seed}"):
        yield f"seed is {contest.seed}, its command says otherwise"
    held = next(
        (
            ContestRun(one, recipe, recipe.stage(stage.evaluation, EvalStage), {})
            for stage in recipe.stages_of(CompareStage)
            for one in stage.contests
            if one.name == contest.terms.name
        ),
        None,
    )
    if held is None:
        yield f"its recipe holds no contest {contest.terms.name!r}"
        return
    unlike = list(_terms_problems(contest, held))
    yield from unlike
    if unlike:
        return
    yield from stage_problems(contest.evaluation, held.evaluation, contest.seed)
    yield from _suite_problems(contest, held.evaluation, recipe)
    yield from _code_problems(contest, recipe)
    stages = stages_needed(recipe)
    for run in contest.runs:
        problems = [
            *training_problems(_trained(run), recipe),
            *_late_problems(run, contest, held.evaluation, recipe),
            *_cost_problems(run, contest, recipe, stages),
        ]
        yield from (f"{run.stage}: {problem}" for problem in problems)
    needed = {name for run in contest.runs for name in run.needed}
    yield from (f"costs.{name}: no run needed it" for name in contest.costs if name not in needed)
    yield from cost_problems((part for name, part in contest.costs.items() if name in needed), recipe)


def _terms_problems(contest: ContestRecord, held: ContestRun) -> Iterator[str]:
    if list(contest.terms.place) != list(held.terms.place):
        yield f"its place on the map is not in the order of its recipe: {', '.join(held.terms.place)}"
    if contest.terms != held.terms:
        unlike = [key for key, value in held.terms if getattr(contest.terms, key) != value]
        yield f"its terms are not those of its recipe: {', '.join(unlike)}"
    if list(contest.suites) != held.suites:
        yield f"its suites are not those of its recipe: {', '.join(held.suites)}"
    if [(one.stage, one.arm, one.setting, one.number, one.seed) for one in contest.trials] != [
        (one.stage, one.arm, one.setting, one.number, one.seed) for one in held.members
    ]:
        yield "its trained stages are not those of its recipe"
        return
    counted = held.counted({choice.arm: choice.setting for choice in contest.result.chosen})
    if [(one.stage, one.arm, one.role, one.setting, one.seed) for one in contest.runs] != [
        (one.stage, one.arm, one.role, one.setting, one.seed) for one in counted
    ]:
        yield "the runs that count are not those of its recipe and choice"
    measured = {one.stage for one in contest.trials if one.value is not None}
    tuning = {one.stage for one in held.members if one.seed in held.contest.tuning_seeds}
    if measured - tuning:
        yield f"{min(measured - tuning)} counts, and yet the choice saw it"


def _suite_problems(contest: ContestRecord, evaluation: EvalStage, recipe: Recipe) -> Iterator[str]:
    for suite, facts in contest.suites.items():
        limits = {one.limit for one in evaluation.evaluations if not one.trajectory and suite in one.suites}
        if facts.limit not in limits:
            yield f"suites.{suite}: the limit is {facts.limit}, its recipe asks for {limit_words(limits)}"
        kind, name = text_of(suite) or ("", "")
        corpus = recipe.stage(name, CorpusStage) if kind == "corpus" else None
        if corpus is not None and corpus.max_blocks is not None and not corpus.at_most:
            blocks = min(facts.limit or MAX_BLOCKS, corpus.max_blocks)
            if facts.tasks[name].n != blocks:
                yield f"suites.{suite}: n is {facts.tasks[name].n}, by its recipe {blocks} blocks are measured"


def _code_problems(contest: ContestRecord, recipe: Recipe) -> Iterator[str]:
    kinds = {recipe.stage(run.stage, TrainStage).kind for run in contest.runs}
    if contest.code.training.keys() != kinds:
        yield f"code.training is of the kinds {sorted(contest.code.training)}, its runs of {sorted(kinds)}"
    if contest.code.evaluation is None:
        yield "code.evaluation is missing"


def _late_problems(run: RunRecord, contest: ContestRecord, evaluation: EvalStage, recipe: Recipe) -> Iterator[str]:
    """Yield where the last checkpoints along a training are not those that the recipe evaluates."""
    for suite, points in run.late.items():
        asked = [
            one
            for one in evaluation.evaluations
            if one.trajectory and run.stage in one.checkpoints and suite in one.suites
        ]
        stage = recipe.stage(run.stage, TrainStage)
        steps = checkpoint_steps(stage.max_steps, stage.num_checkpoints) if asked else []
        if len(points) != len(steps[-LATE:]):
            yield f"late.{suite} has {len(points)} checkpoints, by its recipe {len(steps[-LATE:])}"
        for task, facts in contest.suites[suite].tasks.items() if asked else ():
            rows = facts.n if facts.num_rows is None else facts.num_rows
            if any(len(point[task]) > min(asked[0].limit or rows, rows) for point in points):
                yield f"late.{suite}: a checkpoint has more documents of {task} than its recipe asks for"
            if len({len(point[task]) for point in points}) > 1:
                yield f"late.{suite}: its checkpoints have unlike numbers of documents of {task}"


def _trained(run: RunRecord) -> Trained:
    return Trained(
        stage=run.stage,
        step=run.step,
        tokens=run.tokens,
        selected_tokens=run.selected_tokens,
        validation_loss=run.validation_loss,
        num_parameters=run.num_parameters,
        weights_sha256=run.weights_sha256,
    )


def _cost_problems(run: RunRecord, contest: ContestRecord, recipe: Recipe, stages: StagesNeeded) -> Iterator[str]:
    """Yield where what a run took is not that of its recipe's stages, or cannot be."""
    needed, _ = stages.of(run.stage)
    if run.needed != needed:
        yield f"it needed {run.needed}, by its recipe {needed}"
        return
    for name in needed:
        kind = "training" if isinstance(recipe.stage(name), TrainStage) else "scoring"
        part = contest.costs.get(name)
        if part is None or (part.stage, part.kind) != (name, kind):
            yield f"what {name} took is not in the record"
    own = contest.costs.get(run.stage)
    if own is not None:
        yield from own_flops_problems(own.cost, _trained(run), recipe)
