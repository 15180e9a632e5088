"""What must be true of the records of contests: part of ``rho1bench leaderboard check``.

The choice of settings, every score, difference, interval, p and signal is computed again from the answers; arms, seeds,
terms and steps are those of the recipe, tasks are the pinned ones, and models are those of other records.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rho1bench.comparison.contest.from_run import ContestRun
from rho1bench.comparison.contest.results import ContestResult
from rho1bench.comparison.costs import StagesNeeded
from rho1bench.errors import DataError
from rho1bench.leaderboard.records.contest_from_run import contest_id
from rho1bench.leaderboard.records.contest_record import (
    FOLDER,
    ContestRecord,
    RunRecord,
    SuiteFacts,
    contest_fingerprint,
    held_again,
    scale_of_suites,
)
from rho1bench.leaderboard.records.from_evaluation import scale_of_tasks
from rho1bench.leaderboard.records.origin import flops_problems, kept_recipe_problems, recipe_of, stages_needed
from rho1bench.leaderboard.records.pins import pin_problems
from rho1bench.leaderboard.records.read import RECORDS, read_file, strange_texts
from rho1bench.leaderboard.records.record import record_sha256
from rho1bench.leaderboard.records.record_summary import RecordSummary
from rho1bench.paper.suites import SUITES
from rho1bench.recipe import CompareStage, CorpusStage, EvalStage, PretrainStage, Recipe, TrainStage
from rho1bench.recipe.texts import TextKind, text_of

_SHOWN = 5
_CLOSE = 2e-5
"""Relative difference of two numbers of six digits that were rounded to either side."""


def read_contests(results: Path, records: Sequence[RecordSummary]) -> tuple[list[ContestRecord], list[str]]:
    """Return the contests under ``results/records/contest`` in the order of their ids, and every problem of them.

    One with a problem is left out. ``records`` are those of single models, which must tell the same of a model.
    """
    contests: list[ContestRecord] = []
    problems: list[str] = []
    for path in sorted((results / RECORDS / FOLDER).glob("*")):
        place = path.relative_to(results).as_posix()
        contest, found = read_contest(path, place)
        if contest is not None:
            found += [*recipe_problems(contest, results), *_model_problems(contest, records)]
            contests += [contest] if not found else []
        problems += [f"{place}: {problem}" for problem in found]
    return contests, problems


def read_contest(path: Path, place: str) -> tuple[ContestRecord | None, list[str]]:
    """Read one file, and say what is wrong with it by itself; ``place`` is its path under results/."""
    return read_file(path, place, ContestRecord, _own_problems)


def _own_problems(contest: ContestRecord, data: Mapping[str, Any]) -> Iterator[str]:
    if record_sha256(dict(data)) != contest.sha256:
        yield "sha256 does not match its content: the record was changed after it was written. Pack the run again."
    if contest_fingerprint(dict(data)) != contest.eval_fingerprint:
        yield "eval_fingerprint does not match tasks, prompts, decoding and grader"
    for place, text in strange_texts(data):
        yield f"{place} holds characters other than printable ASCII: {ascii(text)[:80]}"
    for name, suite in contest.suites.items():
        yield from (f"suites.{name}: {problem}" for problem in _suite_problems(name, suite, contest))
    for run in contest.runs:
        yield from (f"{run.stage}: {problem}" for problem in _run_problems(run, contest))
    if contest.scale != "smoke":  # there stages that differ in their steps alone end as one
        yield from _copies(contest.runs)
    yield from _result_problems(contest)


def _suite_problems(name: str, suite: SuiteFacts, contest: ContestRecord) -> Iterator[str]:
    text = text_of(name)
    if text is not None:
        yield from _text_problems(text, suite)
        return
    if name in SUITES and list(suite.tasks) != list(SUITES[name]):
        yield f"tasks are not those of {name}"
    expected = scale_of_tasks(name, is_whole=all(task.is_whole for task in suite.tasks.values()))
    if suite.scale not in (expected, "smoke") or (suite.scale == "full" and suite.limit is not None):
        yield f"scale is {suite.scale}, by its documents it is {expected}"
    if contest.scale != scale_of_suites(contest.suites):
        yield f"scale is {suite.scale}, that of the contest {contest.scale}"
    for task, facts in suite.tasks.items():
        if facts.num_rows is not None and facts.n != min(suite.limit or facts.num_rows, facts.num_rows):
            yield f"{task}: n is {facts.n} of {facts.num_rows} rows, with the limit {suite.limit}"
    yield from pin_problems(suite.tasks)


def _text_problems(text: tuple[TextKind, str], suite: SuiteFacts) -> Iterator[str]:
    kind, name = text
    known = [name] if kind == "corpus" else SUITES.get(name, list(suite.tasks))
    if not suite.tasks or [task for task in known if task in suite.tasks] != list(suite.tasks):
        yield f"texts are not those of {name}"
    expected = scale_of_tasks(name, is_whole=suite.limit is None)
    if suite.scale not in (expected, "smoke"):
        yield f"scale is {suite.scale}, by its documents it is {expected}"
    for task, facts in suite.tasks.items():
        if suite.limit is not None and facts.n > suite.limit:
            yield f"{task}: n is {facts.n}, with the limit {suite.limit}"
        if facts.metric != "bits_per_byte":
            yield f"{task}: metric is {facts.metric}, of a text it is bits_per_byte"


def _run_problems(run: RunRecord, contest: ContestRecord) -> Iterator[str]:
    if list(run.scores) != list(contest.suites) or list(run.late) != list(contest.suites):
        yield "its suites are not those of the contest"
        return
    for name, suite in contest.suites.items():
        sizes = {task: facts.n for task, facts in suite.tasks.items()}
        if {task: len(scores) for task, scores in run.scores[name].items()} != sizes:
            yield f"its answers on {name} are not one a document of every task"
        if any(list(point) != list(sizes) for point in run.late[name]):
            yield f"a checkpoint along its training has other tasks than {name}"
    if run.selected_tokens > run.tokens:
        yield f"selected_tokens are {run.selected_tokens}, more than the {run.tokens} tokens"


def _copies(runs: Sequence[RunRecord]) -> Iterator[str]:
    """Yield runs that share their weights, or every answer with other weights."""
    weights: dict[str, RunRecord] = {}
    answers: dict[str, RunRecord] = {}
    for run in runs:
        other = weights.setdefault(run.weights_sha256, run) if run.weights_sha256 else run
        if other is not run:
            yield f"{run.stage}: has the weights of {other.stage}"
            continue
        other = answers.setdefault(repr(run.scores), run)
        if other is not run and _tells(run):
            yield f"{run.stage}: has the answers of {other.stage} on every document, but other weights"


def _tells(run: RunRecord) -> bool:
    """Tell whether equal answers cannot be chance: a model that gets all or nothing right says little."""
    mixed = [
        scores
        for tasks in run.scores.values()
        for scores in tasks.values()
        if isinstance(scores, list) or 0 < scores.count("1") < len(scores)
    ]
    return sum(len(scores) for scores in mixed) >= 100


def _result_problems(contest: ContestRecord) -> Iterator[str]:
    if contest.result.terms != contest.terms:
        yield "the terms of its result are not its terms"
    try:
        expected = held_again(contest)
    except (DataError, ValueError, KeyError, IndexError) as error:
        yield f"its result cannot be computed again: {error}"
        return
    yield from _unlike(contest.result, expected)


def _unlike(found: ContestResult, expected: ContestResult) -> Iterator[str]:
    """Yield the first numbers of a result that its answers do not give."""
    ours, theirs = expected.model_dump(mode="json"), found.model_dump(mode="json")
    problems = [f"result{place} is {wanted}, not {given}" for place, wanted, given in _differing(ours, theirs, "")]
    yield from problems[:_SHOWN]
    if len(problems) > _SHOWN:
        yield f"and {len(problems) - _SHOWN} further numbers of its result do not follow from its answers"


def _differing(wanted: Any, given: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(wanted, dict) and isinstance(given, dict) and wanted.keys() == given.keys():
        for key in wanted:
            yield from _differing(wanted[key], given[key], f"{place}.{key}")
    elif isinstance(wanted, list) and isinstance(given, list) and len(wanted) == len(given):
        for index, (left, right) in enumerate(zip(wanted, given, strict=True)):
            yield from _differing(left, right, f"{place}.{index}")
    elif isinstance(wanted, float) and isinstance(given, float):
        if not math.isclose(wanted, given, rel_tol=_CLOSE, abs_tol=1e-9):
            yield place, wanted, given
    elif wanted != given:
        yield place, _short(wanted), _short(given)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def recipe_problems(contest: ContestRecord, results: Path) -> Iterator[str]:
    """Yield where a contest is not the one that its recipe holds."""
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
    yield from _terms_problems(contest, held)
    stages = stages_needed(recipe)
    for run in contest.runs:
        problems = [*_steps_problems(run, recipe), *_cost_problems(run, contest, recipe, stages)]
        yield from (f"{run.stage}: {problem}" for problem in problems)


def _terms_problems(contest: ContestRecord, held: ContestRun) -> Iterator[str]:
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
    if contest.evaluation.engine_settings.get("max_model_len") != held.evaluation.max_model_len:
        yield "engine_settings.max_model_len is not that of its recipe"
    limits = {
        suite: {one.limit for one in held.evaluation.evaluations if not one.trajectory and suite in one.suites}
        for suite in contest.suites
    }
    for suite, facts in contest.suites.items():
        if facts.limit not in limits[suite]:
            yield f"suites.{suite}: the limit is {facts.limit}, by its recipe {limits[suite]}"


def _steps_problems(run: RunRecord, recipe: Recipe) -> Iterator[str]:
    stage = recipe.stage(run.stage, TrainStage)
    if run.step != stage.max_steps:
        yield f"step is {run.step}, its recipe trains {stage.max_steps} steps"
    if isinstance(stage, PretrainStage):
        corpus = recipe.stage(stage.corpus, CorpusStage)
        blocks = stage.max_steps * stage.batch_size
        if run.tokens != blocks * corpus.block_size:
            yield f"tokens are {run.tokens}, its recipe reads {blocks * corpus.block_size}"
        predicted = blocks * (corpus.block_size - 1)  # nothing predicts the first token of a block
        if stage.selection is None and not corpus.document_masking and run.selected_tokens != predicted:
            yield f"selected_tokens are {run.selected_tokens}, and it selects all {predicted} that are predicted"


def _cost_problems(run: RunRecord, contest: ContestRecord, recipe: Recipe, stages: StagesNeeded) -> Iterator[str]:
    """Yield where what a run took is not that of its recipe's stages, or cannot be."""
    if not run.needed:
        return
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
        yield from flops_problems(own.cost, run.stage, run.tokens, run.selected_tokens, recipe)


def _model_problems(contest: ContestRecord, records: Sequence[RecordSummary]) -> Iterator[str]:
    """Yield runs of which a record of the same stage tells another model."""
    runs = {run.stage: run for run in contest.runs}
    for record in records:
        training = record.training
        if training is None or training.recipe_sha256 != contest.recipe_sha256:
            continue
        run = runs.get(training.stage) if record.id.endswith(f".seed{contest.seed}") else None
        if run is not None and run.weights_sha256 != record.model.weights_sha256:
            yield f"{run.stage}: has other weights than in {record.id}"
