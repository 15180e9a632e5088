"""What must be true of the files in ``results/``: ``rho1bench leaderboard check``, run before every build.

A record is checked by itself (``read``), against its recipe and command (``origin``), and among the others: one
evaluation a column, no row twice, one model a stage, and a comparison that is computed again from both records.
Everything is reported at once. ``pages.build`` tells whether the pages are stale.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from rho1bench.errors import DataError
from rho1bench.leaderboard.records import compare
from rho1bench.leaderboard.records.contest_record import FOLDER
from rho1bench.leaderboard.records.one_run import record_problems
from rho1bench.leaderboard.records.origin import (
    declared_seeds,
    expected_baseline,
    is_tuning_seed,
    kept_recipe_problems,
    origin_problems,
    seed_of_run,
    start_of,
)
from rho1bench.leaderboard.records.read import CLOSE, RECORDS, place_of, read_one
from rho1bench.leaderboard.records.record import ComparisonRecord, Record, decode
from rho1bench.leaderboard.records.record_summary import RecordSummary, summarize
from rho1bench.paper.tables import TABLES_SHA256
from rho1bench.sizing.cost import Cost
from rho1bench.system.files import read_json, sha256_file

PAPER_TABLES = "paper/tables.json"


def read_records(results: Path) -> tuple[list[RecordSummary], list[str]]:
    """Return the records under ``results/records`` in the order of their ids, summarized, and every problem of them.

    A record with a problem of its own is left out. They are read one by one, so that thousands fit into memory.
    """
    records: list[RecordSummary] = []
    problems = list(_folder_problems(results))
    for path in sorted(_files(results / RECORDS), key=lambda path: path.as_posix()):
        if path.parent == results / RECORDS / FOLDER and not path.is_symlink():
            continue  # contests, of which `contest_checks` asks other things
        place = place_of(path, results)
        record, found = read_one(path, place)
        problems += [f"{place}: {problem}" for problem in found]
        if record is not None and not found:
            records.append(summarize(record, counts=not is_tuning_seed(record, results)))
            problems += dict.fromkeys(f"{place}: {problem}" for problem in _recipe_problems(record, results))
    return sorted(records, key=lambda one: one.id), problems + list(_among(records, results))


def _recipe_problems(record: Record, results: Path) -> Iterator[str]:
    if record.training is not None:
        yield from kept_recipe_problems(record.command, record.training.recipe_sha256, results)
    yield from origin_problems(record, results)


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in files)
        yield from (path for name in folders if (path := Path(place, name)).is_symlink() or path.suffix == ".json")


def _folder_problems(results: Path) -> Iterator[str]:
    """Yield links (git and pages would show what lies elsewhere) and changed tables of the paper."""
    for path in sorted(_files(results)):
        place = place_of(path, results)
        if path.is_symlink() and not place.startswith(f"{RECORDS}/"):
            yield f"{place}: is a link; results are files of their own"
    tables = results / PAPER_TABLES
    if tables.parent.is_dir() and not (tables.is_file() and sha256_file(tables) == TABLES_SHA256):
        yield f"{PAPER_TABLES}: is not the file with the paper's numbers; restore it from the repository"


def _among(records: Iterable[RecordSummary], results: Path) -> Iterator[str]:
    """Yield what is wrong among records that are right by themselves."""
    by_id = {record.id: record for record in records}
    columns: dict[tuple[str, str, int | None], list[RecordSummary]] = defaultdict(list)
    for record in by_id.values():
        columns[record.suite, record.scale, record.limit].append(record)
    for column in columns.values():
        yield from _unlike(column, results)
        yield from _unlike_measures(column)
        yield from _twice(column)
        yield from _copied(column)
        yield from _missing_seeds(column, results)
    yield from record_problems(by_id.values(), results)
    yield from _models_of_stages(by_id.values())
    yield from _costs_of_stages(by_id.values())
    for record in by_id.values():
        yield from _start_problems(record, by_id, results)
        yield from _pair_problems(record, by_id, results)


def _unlike(column: list[RecordSummary], results: Path) -> Iterator[str]:
    first = column[0]
    for other in column[1:]:
        if other.eval_fingerprint != first.eval_fingerprint:
            whole = (Record.model_validate(read_json(results / RECORDS / f"{one.id}.json")) for one in (first, other))
            parts = "; ".join(list(compare.differing_parts(*whole))[:3])
            yield f"{RECORDS}/{other.id}.json: may not stand in one column with {first.id}, it differs in {parts}"


def _unlike_measures(column: list[RecordSummary]) -> Iterator[str]:
    """Yield tasks of which a record has other metrics, or verdicts of other judges, than the rest of its column."""
    usual = {
        name: Counter(record.tasks[name].measured for record in column if name in record.tasks).most_common(1)[0][0]
        for name in column[0].tasks
    }
    for record in column:
        for name, task in record.tasks.items():
            if task.measured != usual.get(name, task.measured):
                yield (
                    f"{RECORDS}/{record.id}.json: tasks.{name} has {task.measured or 'no metrics and verdicts'}, the "
                    f"other records of its column have {usual[name] or 'none'}"
                )


def _twice(column: list[RecordSummary]) -> Iterator[str]:
    seen: dict[tuple[object, ...], str] = {}
    for record in column:
        model, training = record.model, record.training
        identity = (
            model.weights_sha256 or (model.source, model.revision),
            record.engine,
            (training.recipe, training.stage, training.seed) if training else None,
        )
        if identity in seen:
            yield f"{RECORDS}/{record.id}.json: the same row as {seen[identity]}"
        seen[identity] = record.id


_TELLING = 20
"""Documents that do not score as most of their task do: fewer may well be the same for two models that know nothing."""


def _copied(column: list[RecordSummary]) -> Iterator[str]:
    """Yield rows of different weights that score alike on every document, where chance cannot be the reason."""
    seen: dict[tuple[bytes, ...], RecordSummary] = {}
    for record in column:
        scores = tuple(task.packed for task in record.tasks.values())
        if sum(task.n - max(Counter(task.values.tolist()).values()) for task in record.tasks.values()) < _TELLING:
            continue
        first = seen.setdefault(scores, record)
        if first.model.weights_sha256 != record.model.weights_sha256:
            yield f"{RECORDS}/{record.id}.json: has the scores of {first.id} on every document, but other weights"


def _models_of_stages(records: Iterable[RecordSummary]) -> Iterator[str]:
    """Yield records that disagree on the model that one stage of one run trained, or share it with another stage."""
    models: dict[tuple[object, ...], RecordSummary] = {}
    stages: dict[tuple[object, ...], RecordSummary] = {}
    sizes: dict[str | None, RecordSummary] = {}
    names: dict[tuple[object, ...], RecordSummary] = {}
    for record in records:
        training, model = record.training, record.model
        same = sizes.setdefault(model.weights_sha256, record)
        if model.weights_sha256 is not None and same.model.num_parameters != model.num_parameters:
            yield f"{RECORDS}/{record.id}.json: has the weights of {same.id}, but another number of parameters"
        if training is None:
            name = (model.name, model.source, model.revision)
            named = names.setdefault(name, record)
            if named.model.weights_sha256 != model.weights_sha256:
                yield f"{RECORDS}/{record.id}.json: has name and source of {named.id}, but other weights; give a --name"
            continue
        stage = (training.recipe_sha256, record.scale == "smoke", training.stage, training.seed)
        first = models.setdefault(stage, record)
        if (first.training, first.model) != (training, model):
            yield f"{RECORDS}/{record.id}.json: tells another story of its stage's model than {first.id}"
        # At smoke scale every training takes the same few steps: two stages may well be one computation there.
        if model.weights_sha256 is not None and record.scale != "smoke":
            weights: tuple[object, ...] = (training.recipe_sha256, model.weights_sha256)
            other = stages.setdefault(weights, record)
            if other.training and (other.training.stage, other.training.seed) != (training.stage, training.seed):
                yield f"{RECORDS}/{record.id}.json: has the weights of {other.id}, another stage or seed"


def _costs_of_stages(records: Iterable[RecordSummary]) -> Iterator[str]:
    """Yield records that disagree on what one stage of one run took."""
    costs: dict[tuple[object, ...], tuple[RecordSummary, Cost]] = {}
    for record in records:
        training, cost = record.training, record.cost
        for part in (*cost.stages, *cost.shared) if training and cost else ():
            assert training is not None, "a record with a cost has a training"
            seed = seed_of_run(record.origin.command, training)
            key = (training.recipe_sha256, record.scale == "smoke", seed, part.stage)
            first, known = costs.setdefault(key, (record, part.cost))
            if known != part.cost:
                yield f"{RECORDS}/{record.id}.json: says that {part.stage} took something else than {first.id} says"


def _missing_seeds(column: list[RecordSummary], results: Path) -> Iterator[str]:
    """Yield stages that lack some of the seeds that their recipe declares: a mean over chosen seeds says nothing."""
    stages: dict[tuple[str, str], list[RecordSummary]] = defaultdict(list)
    for record in column:
        if record.training is not None:
            stages[record.training.recipe_sha256, record.training.stage].append(record)
    for members in stages.values():
        first = members[0]
        assert first.training is not None
        found = {seed_of_run(record.origin.command, record.training) for record in members}
        own = f".seed{seed_of_run(first.origin.command, first.training)}"
        declared = set(declared_seeds(first.origin.command, first.training, results)) - found
        files = {seed: results / RECORDS / f"{first.id.replace(own, f'.seed{seed}')}.json" for seed in declared}
        missing = sorted(seed for seed, path in files.items() if not path.exists())
        if missing:
            yield f"{RECORDS}/{first.id}.json: the seeds {missing} of its recipe have no record of this stage"


def _start_problems(record: RecordSummary, by_id: Mapping[str, RecordSummary], results: Path) -> Iterator[str]:
    """Yield where a record does not fit that of the checkpoint which its training started from."""
    training, place = record.training, f"{RECORDS}/{record.id}.json"
    if training is None:
        return
    name = start_of(record.origin.command, training, results)
    start = by_id.get(record.id.replace(f".{training.stage}.seed", f".{name}.seed")) if name else None
    if start is None:
        return
    if start.model.num_parameters != record.model.num_parameters:
        yield f"{place}: has another number of parameters than {start.id}, from which it was trained"
    if record.curve and record.curve[0].tokens == 0:
        for task, scores in _whole(results, record.id).curve[0].scores.items():
            if not np.array_equal(decode(scores), start.tasks[task].values[: len(scores)]):
                yield f"{place}: the first point of its curve has other scores on {task} than {start.id}"


def _pair_problems(record: RecordSummary, by_id: Mapping[str, RecordSummary], results: Path) -> Iterator[str]:
    """Compute a record's comparison again and yield what differs."""
    place, comparison = f"{RECORDS}/{record.id}.json", record.comparison
    if comparison is None:
        if record.training is not None:
            expected_id = expected_baseline(_whole(results, record.id), results)
            if expected_id is not None:
                yield f"{place}: its comparison with {expected_id}, which its recipe makes, is missing"
        return
    baseline = by_id.get(comparison.baseline)
    if baseline is None:
        yield f"{place}: its baseline {comparison.baseline} has no record, or a broken one"
        return
    if baseline.eval_fingerprint != record.eval_fingerprint or list(comparison.tasks) != list(record.tasks):
        yield f"{place}: its baseline {baseline.id} was evaluated otherwise"
        return
    if baseline.id == record.id:
        yield f"{place}: it is compared with itself"
        return
    seed = seed_of_run(record.origin.command, record.training)
    try:
        expected = compare.comparison(_whole(results, record.id), _whole(results, baseline.id), seed=seed)
    except DataError as error:
        yield f"{place}: {error}"
        return
    for name, problem in _differences(comparison, expected):
        yield f"{place}: comparison of {name}: {problem}"


def _whole(results: Path, record_id: str) -> Record:
    return Record.model_validate_json((results / RECORDS / f"{record_id}.json").read_bytes())


def _differences(comparison: ComparisonRecord, expected: ComparisonRecord) -> Iterator[tuple[str, str]]:
    """Yield (what, problem) for every number of ``comparison`` that is not the ``expected`` one."""
    pairs = [("the average", comparison.average, expected.average)]
    pairs += [(name, entry, expected.tasks[name]) for name, entry in comparison.tasks.items()]
    for name, entry, wanted in pairs:
        for field, value in wanted:
            if not _agrees(getattr(entry, field), value):
                title = {"difference": "the difference", "p": f"p ({wanted.p_method})"}.get(field, field)
                yield name, f"{title} is {value}, not {getattr(entry, field)}"
    readings = {
        "the tokens to the baseline": (comparison.tokens_to_baseline, expected.tokens_to_baseline),
        "the scores at equal operations": (comparison.equal_flops, expected.equal_flops),
    }
    for name, (found, reading) in readings.items():
        if found is None or reading is None:
            if found is not reading:
                yield name, f"they are {reading}, not {found}"
            continue
        for field, value in reading:
            if not _agrees(getattr(found, field), value):
                yield name, f"{field} is {value}, not {getattr(found, field)}"


def _agrees(left: object, right: object) -> bool:
    """Compare two values of a comparison; numbers agree to ``CLOSE`` of their size."""
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(_agrees(one, other) for one, other in zip(left, right, strict=True))
    if isinstance(left, BaseModel) and isinstance(right, BaseModel):
        return all(_agrees(one, other) for (_, one), (_, other) in zip(left, right, strict=True))
    if isinstance(left, int | float) and isinstance(right, int | float):
        return math.isclose(left, right, rel_tol=CLOSE, abs_tol=CLOSE)
    return left == right
