"""What must be true of the files in ``results/``: ``rho1bench leaderboard check``, run before every build.

A record is checked by itself (strict JSON, schema, hash, and every number that follows from its scores), in its place
(the file's name is its id) and among the others (one evaluation a column, no row twice, the baseline is there).
Everything is reported at once. ``pages.build`` tells whether the pages are stale.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from rho1bench.comparison.statistics import mcnemar_exact_p
from rho1bench.leaderboard.records import record as rec
from rho1bench.leaderboard.records.compare import differing_parts
from rho1bench.leaderboard.records.read import CLOSE, RECORDS, close, read_one
from rho1bench.leaderboard.records.record import ComparisonRecord, Record
from rho1bench.leaderboard.records.record_summary import RecordSummary, summarize
from rho1bench.system.files import read_json

_KEPT_RECIPE = re.compile(r"\bresults/(recipes/[a-z0-9._-]+\.yaml)\b")


def read_records(results: Path) -> tuple[list[RecordSummary], list[str]]:
    """Return the records under ``results/records`` in the order of their ids, summarized, and every problem of them.

    A record with a problem of its own is left out. They are read one by one, so that thousands fit into memory.
    """
    records, problems = [], []
    for path in sorted((results / RECORDS).rglob("*"), key=lambda path: path.as_posix()):
        if path.is_dir():
            continue
        place = path.relative_to(results).as_posix()
        record, found = read_one(path, place)
        problems += [f"{place}: {problem}" for problem in found]
        if record is not None and not found:
            records.append(summarize(record))
            problems += [f"{place}: {problem}" for problem in _recipe_problems(record, results)]
    return sorted(records, key=lambda one: one.id), problems + list(_among(records, results))


def _recipe_problems(record: Record, results: Path) -> Iterator[str]:
    """Yield what is wrong with the recipe that is kept for a record because it does not ship."""
    match = _KEPT_RECIPE.search(record.command)
    if match is None or record.training is None:
        return
    try:
        recipe = yaml.safe_load((results / match[1]).read_text(encoding="utf-8"))
        fits = rec.settings_sha256(recipe) == record.training.recipe_sha256
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        yield f"its recipe {match[1]} cannot be read: {error}"
        return
    if not fits:
        yield f"{match[1]} is not the recipe that it was made with"


def _among(records: Iterable[RecordSummary], results: Path) -> Iterator[str]:
    """Yield what is wrong among records that are right by themselves."""
    by_id = {record.id: record for record in records}
    columns: dict[tuple[str, str, int | None], list[RecordSummary]] = defaultdict(list)
    for record in by_id.values():
        columns[record.suite, record.scale, record.limit].append(record)
    for column in columns.values():
        yield from _unlike(column, results)
        yield from _twice(column)
    for record in by_id.values():
        if record.comparison is not None:
            yield from _comparison_problems(record, record.comparison, by_id.get(record.comparison.baseline))


def _unlike(column: list[RecordSummary], results: Path) -> Iterator[str]:
    first = column[0]
    for other in column[1:]:
        if other.eval_fingerprint != first.eval_fingerprint:
            whole = (Record.model_validate(read_json(results / RECORDS / f"{one.id}.json")) for one in (first, other))
            parts = "; ".join(list(differing_parts(*whole))[:3])
            yield f"{RECORDS}/{other.id}.json: may not stand in one column with {first.id}, it differs in {parts}"


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


def _comparison_problems(
    record: RecordSummary, comparison: ComparisonRecord, baseline: RecordSummary | None
) -> Iterator[str]:
    place = f"{RECORDS}/{record.id}.json"
    if baseline is None:
        yield f"{place}: its baseline {comparison.baseline} has no record, or a broken one"
        return
    if baseline.eval_fingerprint != record.eval_fingerprint or list(comparison.tasks) != list(record.tasks):
        yield f"{place}: its baseline {baseline.id} was evaluated otherwise"
        return
    entries = {name: (comparison.tasks[name], record.tasks[name], baseline.tasks[name]) for name in record.tasks}
    expected = {name: (entry, left.score - right.score) for name, (entry, left, right) in entries.items()}
    expected["the average"] = (comparison.average, record.average.score - baseline.average.score)
    for name, (entry, difference) in expected.items():
        if not close(entry.difference, difference):
            yield f"{place}: comparison of {name}: the difference is {difference}, not {entry.difference}"
        if entry.ci is not None and not entry.ci[0] - CLOSE <= entry.difference <= entry.ci[1] + CLOSE:
            yield f"{place}: comparison of {name}: ci {list(entry.ci)} does not hold the difference {entry.difference}"
    for name, (entry, left, right) in entries.items():
        if left.is_binary and right.is_binary and not close(entry.p, mcnemar_exact_p(left.values, right.values)):
            yield f"{place}: comparison of {name}: p is not that of McNemar's test"
