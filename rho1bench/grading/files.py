"""Grading files of saved outputs, without a model (``rho1bench grade``).

Three kinds of JSON lines are known by their keys: our own (``task``, ``idx``, ``completion``), the authors' released
outputs (``code``, ``gt``) and lm-eval samples (``doc``, ``target``, ``resps``). Every line is read and checked before
the first answer is graded; every output line keeps its input's keys and gains ``pred``, ``paper`` and ``verified``.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rho1bench.errors import DataError, RunError
from rho1bench.files import write_jsonl
from rho1bench.grading.gold import TASKS
from rho1bench.grading.grader import Answer, grade_answers
from rho1bench.grading.pool import WorkerPool
from rho1bench.grading.records import Lookup, as_answer, canonical_task
from rho1bench.grading.verdict import Grade, Verdict

Row = Mapping[str, Any]


def grade_file(
    input: Path,
    output: Path,
    task: str | None = None,
    data_root: Path | None = None,
    *,
    pool: WorkerPool | None = None,
) -> dict[str, Any]:
    """Grade the outputs in ``input``, write them with their verdicts to ``output``, return the summary.

    ``task`` (a data set's or a task's name) overrides what the lines (or the file's path) say. ``data_root`` is laid
    out as ``data/`` of the documentation (``math/<task>/test.jsonl``); where given, gold answers come from there.
    ``pool`` may be one that reports its progress.

    The summary holds ``n``, ``seconds``, ``tasks`` (counts per verdict and accuracies, in percent) and
    ``disagreements``: every line that the two verdicts score differently.

    Raises:
        DataError: a file is missing, a line is malformed, or a gold answer cannot be found; names file and line.
        RunError: ``output`` cannot be written, or is ``input``; found out before anything is graded.
    """
    began = time.monotonic()
    _check_output(input, output)
    rows, answers = read_answers(input, task, data_root)
    grades = grade_answers(answers, pool=pool)
    graded = [dict(row) | _verdict_keys(grade) for (_, row), grade in zip(rows, grades, strict=True)]
    try:
        write_jsonl(output, graded)
    except OSError as error:
        raise RunError(f"{output}: cannot be written ({error}). Choose another --output and run again.") from error
    return _summary([place for place, _ in rows], graded, answers, grades, time.monotonic() - began)


def _check_output(input: Path, output: Path) -> None:
    if output.is_dir():
        raise RunError(f"{output}: is a folder; --output takes the file that the graded lines are written to.")
    if output.exists() and input.exists() and output.samefile(input):
        raise RunError(f"{output}: is the input itself, which would be lost; give --output another file.")
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise RunError(f"{output}: cannot be written, {folder} is no writable folder; give --output another one.")


def read_answers(
    path: Path, task: str | None = None, data_root: Path | None = None
) -> tuple[list[tuple[int, Row]], list[Answer]]:
    """Return a file's lines with their numbers, and the answers in them; arguments and errors as in ``grade_file``."""
    data_set = canonical_task(task) if task is not None else None
    if task is not None and data_set is None:
        raise DataError(f"Unknown data set {task!r} for --task; expected one of {', '.join(TASKS)}.")
    rows = _read_lines(path)
    lookup = Lookup(data_root)
    return rows, [as_answer(row, f"{path}, line {place}", data_set, path, lookup) for place, row in rows]


def _read_lines(path: Path) -> list[tuple[int, Row]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected JSON lines of saved outputs.") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder; expected one file of JSON lines of saved outputs.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error}).") from error
    rows = [(place, _parse(line, path, place)) for place, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not rows:
        raise DataError(f"{path}: holds no lines; expected one JSON object a line.")
    return rows


def _parse(line: str, path: Path, place: int) -> Row:
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {place}: is not JSON ({error}).") from error
    if not isinstance(row, dict):
        raise DataError(f"{path}, line {place}: expected a JSON object, found {type(row).__name__}.")
    return row


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _verdict_keys(grade: Grade) -> dict[str, str]:
    return {"pred": grade.pred, "paper": grade.paper.value, "verified": grade.verified.value}


def _summary(
    places: Sequence[int], graded: Sequence[Row], answers: Sequence[Answer], grades: Sequence[Grade], seconds: float
) -> dict[str, Any]:
    disagreements = [
        {"line": place, "task": answer.task}
        | {key: row[key] for key in ("idx", "doc_id") if key in row}
        | {"gold": answer.gold}
        | _verdict_keys(grade)
        for place, row, answer, grade in zip(places, graded, answers, grades, strict=True)
        if (grade.paper is Verdict.CORRECT) != (grade.verified is Verdict.CORRECT)
    ]
    by_task: dict[str, list[Grade]] = {}
    for answer, grade in zip(answers, grades, strict=True):
        by_task.setdefault(answer.task, []).append(grade)
    return {
        "n": len(grades),
        "seconds": round(seconds, 3),
        "tasks": {task: _counts(task_grades) for task, task_grades in by_task.items()},
        "disagreements": disagreements,
    }


def _counts(grades: Sequence[Grade]) -> dict[str, Any]:
    counts: dict[str, Any] = {"n": len(grades)}
    for kind in ("paper", "verified"):
        verdicts = Counter(getattr(grade, kind) for grade in grades)
        counts[kind] = {verdict.value: verdicts[verdict] for verdict in Verdict}
        counts[f"{kind}_accuracy"] = round(100 * verdicts[Verdict.CORRECT] / len(grades), 1)
    return counts
