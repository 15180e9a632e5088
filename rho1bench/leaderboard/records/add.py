"""``rho1bench leaderboard add RUN``: packs a run or an evaluation into records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rho1bench.errors import DataError
from rho1bench.leaderboard.records.from_evaluation import find_evaluations, folders_of_results, pack_evaluation
from rho1bench.leaderboard.records.from_run import Run, find_runs, pack_run, recipe_path, recipe_text, run_command
from rho1bench.leaderboard.records.read import RECORDS
from rho1bench.leaderboard.records.record import Record, as_json
from rho1bench.system.files import read_json, write_json, write_text


def add(folder: Path, results: Path, name: str | None = None) -> list[Path]:
    """Write the records of ``folder`` into ``results``; returns the files that are new or changed.

    Raises DataError for a folder that holds neither a run nor an evaluation, and for a record whose name another
    checkpoint has; nothing is written then.
    """
    runs = find_runs(folder)
    records = [record for run in runs for record in pack_run(run)] if runs else list(_evaluated(folder, name))
    if runs and name is not None:
        raise DataError("--name is for an evaluation; the records of a run are named by recipe, stage and seed.")
    if not records:
        raise DataError(
            f"{folder}: neither a run (recipe.yaml, summary.json) nor an evaluation (results.json). "
            "Give a folder that `rho1bench run` or `rho1bench eval` wrote."
        )
    for record in records:
        _check_owner(record, results)
    written = [path for record in records if (path := _write(record, results))]
    return written + [path for run in runs if (path := _write_recipe(run, results))]


def _evaluated(folder: Path, name: str | None) -> Iterator[Record]:
    found = list(find_evaluations(folder))
    if name is not None and len(found) > 1:
        raise DataError(f"{folder}: holds {len(found)} evaluations; --name needs a folder of one.")
    for path in found:
        packed: dict[str, Record] = {}
        for place in folders_of_results(path.resolve()):
            for record in pack_evaluation(place, name):
                packed.setdefault(record.id, record)
        yield from packed.values()


def _path(record: Record, results: Path) -> Path:
    return results / RECORDS / f"{record.id}.json"


def _check_owner(record: Record, results: Path) -> None:
    """Refuse to replace another checkpoint's record; a run that was made again may replace its own."""
    path = _path(record, results)
    if not path.is_file() or record.training is not None:
        return
    before = read_json(path).get("model", {})
    if before.get("weights_sha256") != record.model.weights_sha256 or before.get("source") != record.model.source:
        raise DataError(
            f"{path}: is the record of another checkpoint ({before.get('source')}). Give a --name of its own."
        )


def _write(record: Record, results: Path) -> Path | None:
    path, data = _path(record, results), as_json(record)
    if path.is_file() and read_json(path) == data:
        return None
    write_json(path, data)
    return path


def _write_recipe(run: Run, results: Path) -> Path | None:
    """Keep the recipe of a run beside its records where it is not a shipped one."""
    path = results / recipe_path(run.recipe)
    if "results/recipes/" not in run_command(run) or path.is_file():
        return None
    write_text(path, recipe_text(run.recipe))
    return path
