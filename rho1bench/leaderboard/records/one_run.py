"""Whether the records of one run tell one story: all of them are there, and a stage is the same in each.

Part of ``checks`` and ``contest_checks``. A run is a recipe (by its hash) and a seed; its records are of single models
and of contests, and one model may stand in both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rho1bench.leaderboard.records.contest_record import FOLDER, ContestRecord, RunRecord, TaskFacts
from rho1bench.leaderboard.records.from_evaluation import slug
from rho1bench.leaderboard.records.one_column import unlike_documents
from rho1bench.leaderboard.records.origin import recipe_of, seed_of_run
from rho1bench.leaderboard.records.read import RECORDS
from rho1bench.leaderboard.records.record import Record, decode
from rho1bench.leaderboard.records.record_summary import STAGE_FACTS, RecordSummary
from rho1bench.paper.suites import SUITES
from rho1bench.recipe import CompareStage, EvalStage, Recipe, TrainStage

_OF_MODEL = ("step", "tokens", "selected_tokens", "validation_loss")


@dataclass(frozen=True)
class _Run:
    name: str
    recipe_sha256: str
    seed: int


def record_problems(records: Iterable[RecordSummary], results: Path) -> Iterator[str]:
    """Yield records of single models that their run lacks, or that disagree on how they were made."""
    runs: dict[_Run, list[RecordSummary]] = defaultdict(list)
    for record in records:
        if record.training is not None:
            runs[_run_of(record)].append(record)
    for run, members in runs.items():
        recipe = _recipe(members[0].origin.command, run, results)
        if recipe is not None:
            place = f"{RECORDS}/{members[0].id}.json"
            yield from (f"{place}: {problem}" for problem in _missing(recipe, run, results))
            yield from _unlike_facts(members, recipe, results)


def _run_of(record: RecordSummary) -> _Run:
    assert record.training is not None, "asked of records of runs alone"
    seed = seed_of_run(record.origin.command, record.training)
    return _Run(record.training.recipe, record.training.recipe_sha256, seed)


def _recipe(command: str, run: _Run, results: Path) -> Recipe | None:
    recipe = recipe_of(command, run.name, run.recipe_sha256, results)
    return None if isinstance(recipe, str) else recipe


def _missing(recipe: Recipe, run: _Run, results: Path) -> Iterator[str]:
    """Yield the records of a run that no file holds, of the suites (and contests) that the results show at all."""
    for suite, stage in _evaluated(recipe):
        stem, folder = _stem(recipe, stage, run), results / RECORDS / suite
        if folder.is_dir() and not any(path for end in ("", ".limit*") for path in folder.glob(f"{stem}{end}.json")):
            yield f"its recipe evaluates {stage} on {suite} too, of which there is no record"
    yield from _missing_contests(recipe, run, results)


def _missing_contests(recipe: Recipe, run: _Run, results: Path) -> Iterator[str]:
    folder = results / RECORDS / FOLDER
    for contest in (one for compare in recipe.stages_of(CompareStage) for one in compare.contests):
        if folder.is_dir() and not (folder / f"{_stem(recipe, contest.name, run)}.json").exists():
            yield f"its recipe holds the contest {contest.name} too, of which there is no record"


def _stem(recipe: Recipe, part: str, run: _Run) -> str:
    return f"{slug(recipe.name)}{'.smoke' if recipe.scale == 'smoke' else ''}.{part}.seed{run.seed}"


def _evaluated(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield suite and stage of the records that ``leaderboard add`` makes of single models."""
    left_out = recipe.only_in_contests
    for stage in recipe.stages_of(EvalStage):
        for item in stage.evaluations:
            for suite in item.suites if not item.trajectory else ():
                yield from ((suite, name) for name in item.checkpoints if suite in SUITES and name not in left_out)


def _unlike_facts(members: Sequence[RecordSummary], recipe: Recipe, results: Path) -> Iterator[str]:
    """Yield records of a run that do not say the same of one checkpoint, or of what made all of them."""
    first_of: dict[tuple[str, ...], RecordSummary] = {}
    trained: dict[str, RecordSummary] = {}
    kinds = {stage.name: stage.kind for stage in recipe.stages_of(TrainStage)}
    for record in members:
        assert record.training is not None, "asked of records of runs alone"
        name, evaluation = record.training.stage, _eval_stage(recipe, record.training.stage, record.suite)
        same = first_of.setdefault((evaluation, name), record)
        alike = first_of.setdefault((evaluation,), record)
        kind = trained.setdefault(kinds.get(name, ""), record)
        place = f"{RECORDS}/{record.id}.json"
        if same.facts_sha256 != record.facts_sha256:
            yield f"{place}: says other things than {same.id}, of the same checkpoint: {_words(record, same, results)}"
        elif alike.stage_facts_sha256 != record.stage_facts_sha256:
            yield f"{place}: says other things than {alike.id}, of the same run: {_words(record, alike, results)}"
        if kind.training_code != record.training_code:
            yield f"{place}: says that other code trained it than {kind.id}, of the same run"


def _eval_stage(recipe: Recipe, name: str, suite: str) -> str:
    """Return the ``eval`` stage that evaluates a checkpoint on a suite; empty where none does."""
    for stage in recipe.stages_of(EvalStage):
        if any(name in item.checkpoints and suite in item.suites for item in stage.evaluations if not item.trajectory):
            return stage.name
    return ""


def _words(left: RecordSummary, right: RecordSummary, results: Path) -> str:
    ours, theirs = (_whole(results, one.id) for one in (left, right))
    found = [f"evaluation.{key}" for key, value in ours.evaluation if value != getattr(theirs.evaluation, key)]
    found += [key for key in ("code", "cost", "benchmark_overlap") if getattr(ours, key) != getattr(theirs, key)]
    return ", ".join(found)


def _whole(results: Path, record_id: str) -> Record:
    return Record.model_validate_json((results / RECORDS / f"{record_id}.json").read_bytes())


def contest_problems(
    records: Sequence[RecordSummary], contests: Sequence[ContestRecord], results: Path
) -> Iterator[str]:
    """Yield contests that do not say the same as the records of their run, or as other contests of the same texts."""
    runs: dict[_Run, list[RecordSummary]] = defaultdict(list)
    for record in records:
        if record.training is not None:
            runs[_run_of(record)].append(record)
    for contest in contests:
        run = _Run(contest.recipe, contest.recipe_sha256, contest.seed)
        recipe = _recipe(contest.command, run, results)
        if recipe is not None:
            problems = [
                *_missing_contests(recipe, run, results),
                *_against_records(contest, runs[run], recipe, results),
            ]
            yield from (f"{RECORDS}/{contest.id}.json: {problem}" for problem in problems)
    yield from unlike_documents(contests, records, results)


def _against_records(
    contest: ContestRecord, records: Iterable[RecordSummary], recipe: Recipe, results: Path
) -> Iterator[str]:
    runs = {one.stage: one for one in contest.runs}
    for record in records:
        run = runs.get(record.training.stage) if record.training else None
        if run is not None:
            found = _differences(run, _whole(results, record.id), contest, recipe)
            yield from (f"{run.stage}: {problem} than in {record.id}" for problem in found)


def _differences(run: RunRecord, record: Record, contest: ContestRecord, recipe: Recipe) -> Iterator[str]:
    """Yield what a contest says otherwise of one of its models than the model's record."""
    training = record.training
    assert training is not None, "a record of the same stage"
    if run.weights_sha256 != record.model.weights_sha256:
        yield "has other weights"
    if run.num_parameters != record.model.num_parameters:
        yield "has another number of parameters"
    yield from (f"has another {key}" for key in _OF_MODEL if getattr(run, key) != getattr(training, key))
    known = {part.stage: part for part in (*record.cost.stages, *record.cost.shared)} if record.cost else {}
    unlike = [name for name, part in contest.costs.items() if name in known and known[name] != part]
    yield from (f"{name} took something else" for name in unlike)
    facts = [key for key in type(record.evaluation).model_fields if key != "seconds"]
    for key in facts if run is contest.runs[0] else STAGE_FACTS:
        if getattr(contest.evaluation, key) != getattr(record.evaluation, key):
            yield f"has another evaluation.{key}"
    kind = recipe.stage(run.stage, TrainStage).kind
    code = (record.code.training, record.code.evaluation) if record.code else (None, None)
    if code != (contest.code.training.get(kind), contest.code.evaluation):
        yield "has other code"
    if record.suite in run.scores:
        yield from _unlike_scores(run, record, contest)


def _unlike_scores(run: RunRecord, record: Record, contest: ContestRecord) -> Iterator[str]:
    suite = record.suite
    for name, facts in contest.suites[suite].tasks.items():
        task = record.tasks.get(name)
        if task is None or any(getattr(task, key) != getattr(facts, key) for key in TaskFacts.model_fields):
            yield f"has other documents or prompts of {name}"
        elif not np.array_equal(decode(run.scores[suite][name]), task.values):
            yield f"has other scores on {name}"
    late = run.late[suite]
    for point, scores in zip(record.curve[:-1][-len(late) :], late, strict=False) if late else ():
        for name, values in point.scores.items():
            if name in scores and not np.array_equal(decode(scores[name])[: len(values)], decode(values)):
                yield f"has other scores on {name} at step {point.step}"
