"""``rho1bench leaderboard add RUN``: packs a run or an evaluation into records, all of them or none.

Everything is made and checked in a copy of the results folder; only then are the new files moved into place. A refused
or failed ``add`` leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rho1bench.comparison.result_files import JsonObject
from rho1bench.errors import DataError
from rho1bench.leaderboard.records.contest_from_run import contest_runs, pack_contests
from rho1bench.leaderboard.records.contest_record import ContestRecord, record_text
from rho1bench.leaderboard.records.contest_record import as_json as contest_as_json
from rho1bench.leaderboard.records.from_evaluation import find_evaluations, folders_of_results, pack_evaluation
from rho1bench.leaderboard.records.from_run import Run, find_runs, pack_run, recipe_path, recipe_text, run_command
from rho1bench.leaderboard.records.read import RECORDS
from rho1bench.leaderboard.records.record import Record, as_json
from rho1bench.recipe import EvalStage
from rho1bench.system.disk_errors import disk_errors
from rho1bench.system.files import read_json, write_json, write_text

_COPY = ".adding-"


def add(folder: Path, results: Path, name: str | None = None) -> list[Path]:
    """Write the records of ``folder`` into ``results``; returns the files that are new or changed.

    Raises DataError for a folder that holds neither a run nor an evaluation, was changed since it was written, or
    whose record has the name of another checkpoint's; RunError for a full disk. Nothing is written then.
    """
    runs = find_runs(folder)
    if runs and name is not None:
        raise DataError("--name is for an evaluation; the records of a run are named by recipe, stage and seed.")
    records = [record for run in runs for record in pack_run(run)] if runs else list(_evaluated(folder, name))
    parts = [part for run in runs for part in contest_runs(run)]
    contests = [contest for part in parts for contest in pack_contests(part)]
    if not records and not contests:
        raise DataError(f"{folder}: {_nothing_in(folder, runs)}")
    for record in records:
        _check_owner(record, results)
    with all_or_nothing(results) as copy:
        written = [path for record in records if (path := _write(record.id, as_json(record), copy))]
        written += [path for contest in contests if (path := _write_contest(contest, copy))]
        recorded = [*(runs if records else []), *parts]
        written += [path for run in recorded if (path := _write_recipe(run, copy))]
    return [results / path.relative_to(copy) for path in written]


@contextmanager
def all_or_nothing(results: Path) -> Iterator[Path]:
    """Yield a copy of the results folder to change; its new and changed files replace those of ``results`` at the end.

    Where the body or the replacing fails, ``results`` stays as it was. Raises DataError for a link in it, through which
    files elsewhere would be written.
    """
    for link in (path for path in results.rglob("*") if path.is_symlink()):
        raise DataError(f"{link}: is a link; results are files of their own. Put what it leads to in its place.")
    home = results
    while not home.is_dir():
        home = home.parent
    with disk_errors(results):
        for left in results.glob(f"{_COPY}*"):  # of an `add` that was killed
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_COPY, dir=home) as place:
            copy = Path(place) / "results"
            copy.mkdir()
            if results.is_dir():
                ignored = shutil.ignore_patterns(f"{_COPY}*")
                shutil.copytree(results, copy, copy_function=_link, ignore=ignored, symlinks=True, dirs_exist_ok=True)
            try:
                yield copy
            except DataError as error:
                raise DataError(str(error).replace(str(copy), str(results))) from error
            _replace(copy, results)


def _link(source: str, target: str) -> str:
    """Give a file a second name, which costs no space; files are only ever replaced, never written into."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
    return target


def _replace(copy: Path, results: Path) -> None:
    """Move what is new or changed from ``copy`` to ``results``; on a failure put back what was there."""
    changed = [path for path in sorted(copy.rglob("*")) if path.is_file() and not _same(path, copy, results)]
    with ExitStack() as undo:
        for path in changed:
            target = results / path.relative_to(copy)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                before = copy.parent / "before" / path.relative_to(copy)
                before.parent.mkdir(parents=True, exist_ok=True)
                _link(str(target), str(before))
                undo.callback(os.replace, before, target)
            else:
                undo.callback(target.unlink, missing_ok=True)
            os.replace(path, target)
        undo.pop_all()


def _same(path: Path, copy: Path, results: Path) -> bool:
    target = results / path.relative_to(copy)
    return target.is_file() and (path.samefile(target) or path.read_bytes() == target.read_bytes())


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


def _nothing_in(folder: Path, runs: Sequence[Run]) -> str:
    """Say what a folder without any record lacks."""
    if runs:
        has_eval = any(run.recipe.stages_of(EvalStage) for run in runs)
        lack = "evaluates no whole suite" if has_eval else "has no stage of the kind eval"
        return (
            f"the recipe {runs[0].recipe.name!r} of this run {lack}, and records are of evaluated checkpoints. "
            f"`rho1bench eval {folder}/stages/NAME/checkpoint --suite SUITE` evaluates one; add what it writes."
        )
    if not folder.is_dir():
        return f"{'is a file' if folder.exists() else 'does not exist'}. Give a folder of `rho1bench run` or `eval`."
    return (
        "holds neither a run (no recipe.yaml) nor an evaluation (no results.json, here or one folder down). "
        "Give a folder that `rho1bench run` or `rho1bench eval` wrote."
    )


def _path(record_id: str, results: Path) -> Path:
    return results / RECORDS / f"{record_id}.json"


def _check_owner(record: Record, results: Path) -> None:
    """Refuse to replace another checkpoint's record; a run that was made again may replace its own."""
    path = _path(record.id, results)
    if not path.is_file() or record.training is not None:
        return
    before = read_json(path).get("model", {})
    if before.get("weights_sha256") != record.model.weights_sha256 or before.get("source") != record.model.source:
        raise DataError(
            f"{path}: is the record of another checkpoint ({before.get('source')}). Give a --name of its own."
        )


def _write(record_id: str, data: JsonObject, results: Path) -> Path | None:
    path = _path(record_id, results)
    if path.is_file() and read_json(path) == data:
        return None
    write_json(path, data)
    return path


def _write_contest(contest: ContestRecord, results: Path) -> Path | None:
    path, text = _path(contest.id, results), record_text(contest_as_json(contest))
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return None
    write_text(path, text)
    return path


def _write_recipe(run: Run, results: Path) -> Path | None:
    """Keep the recipe of a run beside its records where it is not a shipped one."""
    path = results / recipe_path(run.recipe)
    if "results/recipes/" not in run_command(run) or path.is_file():
        return None
    write_text(path, recipe_text(run.recipe))
    return path
