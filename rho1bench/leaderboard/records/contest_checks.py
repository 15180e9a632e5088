"""What must be true of the records of contests: part of ``rho1bench leaderboard check``.

The choice of settings, every score, difference, interval, p and signal is computed again from the answers; arms, seeds,
terms and steps are those of the recipe, tasks are the pinned ones, and models are those of other records.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from rho1bench.comparison.contest.results import ContestResult
from rho1bench.comparison.result_files import schema_problems
from rho1bench.errors import DataError
from rho1bench.leaderboard.records.contest_origin import recipe_problems
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
from rho1bench.leaderboard.records.one_run import contest_problems
from rho1bench.leaderboard.records.pins import pin_problems
from rho1bench.leaderboard.records.read import RECORDS, is_answers, place_of, read_file, strange_texts
from rho1bench.leaderboard.records.record import record_sha256
from rho1bench.leaderboard.records.record_summary import RecordSummary
from rho1bench.paper.suites import SUITES
from rho1bench.recipe.texts import TextKind, text_of

_SHOWN = 5
_CLOSE = 2e-5
"""Relative difference of two numbers of six digits that were rounded to either side."""


def read_contests(results: Path, records: Sequence[RecordSummary]) -> tuple[list[ContestRecord], list[str]]:
    """Return the contests under ``results/records/contest`` in the order of their ids, and every problem of them.

    One with a problem is left out. ``records`` are those of single models, which must tell the same of a run.
    """
    contests: list[ContestRecord] = []
    problems: list[str] = []
    for path in sorted((results / RECORDS / FOLDER).glob("*")):
        place = place_of(path, results)
        contest, found = read_contest(path, place)
        if contest is not None:
            found += dict.fromkeys(recipe_problems(contest, results))
            contests += [contest] if not found else []
        problems += [f"{place}: {problem}" for problem in found]
    return contests, problems + list(contest_problems(records, contests, results))


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
    if contest.scale != scale_of_suites(contest.suites):
        yield f"scale is {contest.scale}, that of its suites {scale_of_suites(contest.suites)}"
    for run in contest.runs:
        yield from (f"{run.stage}: {problem}" for problem in _run_problems(run, contest))
    if contest.scale != "smoke":  # there stages that differ in their steps alone end as one
        yield from _copies(contest.runs)
    yield from _result_problems(contest)


def _suite_problems(name: str, suite: SuiteFacts, contest: ContestRecord) -> Iterator[str]:
    text = text_of(name)
    if text is not None:
        yield from _text_problems(text, suite, contest)
        return
    if name in SUITES and list(suite.tasks) != list(SUITES[name]):
        yield f"tasks are not those of {name}"
    expected = scale_of_tasks(name, is_whole=all(task.is_whole for task in suite.tasks.values()))
    if suite.scale not in (expected, "smoke") or (suite.scale == "full" and suite.limit is not None):
        yield f"scale is {suite.scale}, by its documents it is {expected}"
    for task, facts in suite.tasks.items():
        if facts.num_rows is not None and facts.n != min(suite.limit or facts.num_rows, facts.num_rows):
            yield f"{task}: n is {facts.n} of {facts.num_rows} rows, with the limit {suite.limit}"
    yield from pin_problems(suite.tasks)


def _text_problems(text: tuple[TextKind, str], suite: SuiteFacts, contest: ContestRecord) -> Iterator[str]:
    kind, name = text
    known = [name] if kind == "corpus" else SUITES.get(name, list(suite.tasks))
    if not suite.tasks or [task for task in known if task in suite.tasks] != list(suite.tasks):
        yield f"texts are not those of {name}"
    expected = scale_of_tasks(name, is_whole=suite.limit is None)
    if suite.scale != expected and not (suite.scale == contest.scale == "smoke"):
        yield f"scale is {suite.scale}, by its documents it is {expected}"
    for task, facts in suite.tasks.items():
        if suite.limit is not None and facts.n > suite.limit:
            yield f"{task}: n is {facts.n}, with the limit {suite.limit}"
        if facts.metric != "bits_per_byte":
            yield f"{task}: metric is {facts.metric}, of a text it is bits_per_byte"
        if facts.prompts_sha256 != facts.data_sha256:
            yield f"{task}: prompts_sha256 of a text is that of its data"
        if (facts.num_rows, facts.version, facts.generation_kwargs) != (None, None, None):
            yield f"{task}: a text has no num_rows, version or generation_kwargs"


def _run_problems(run: RunRecord, contest: ContestRecord) -> Iterator[str]:
    if list(run.scores) != list(contest.suites) or list(run.late) != list(contest.suites):
        yield "its suites are not those of the contest"
        return
    for name, suite in contest.suites.items():
        sizes = {task: facts.n for task, facts in suite.tasks.items()}
        if {task: len(scores) for task, scores in run.scores[name].items()} != sizes:
            yield f"its answers on {name} are not one a document of every task"
        is_text = text_of(name) is not None
        for task, scores in run.scores[name].items():
            if is_text if isinstance(scores, str) else is_answers(scores):
                yield f"its scores of {task} are not written as {'numbers' if is_text else 'digits'}"
        if any(list(point) != list(sizes) for point in run.late[name]):
            yield f"a checkpoint along its training has other tasks than {name}"


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
        with np.errstate(all="ignore"):  # of numbers too large, which the result's form refuses
            expected = held_again(contest)
    except ValidationError as error:
        yield f"its result cannot be computed again: {'; '.join(schema_problems(error, 1))}"
        return
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
