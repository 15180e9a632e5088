"""Grading files of saved outputs, without a model (``rho1bench grade``).

Three kinds of JSON lines are known by their keys: our own (``task``, ``idx``, ``completion``), the authors' released
outputs (``code``, ``gt``) and lm-eval samples (``doc``, ``target``, ``resps``). A CSV or TSV file with such columns is
read as our own lines; plain text, which holds no gold answers, is refused. Every line is read and checked before
the first answer is graded; every output line keeps its input's keys and gains ``pred``, ``paper`` and ``verified``.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from rho1bench.errors import DataError, RunError
from rho1bench.grading.grader import Answer, grade_answers
from rho1bench.grading.paper.gold import TASKS, Row, gold_answer, gold_fault, written_answer
from rho1bench.grading.paper.normal_form import normalise
from rho1bench.grading.pool import WorkerPool
from rho1bench.grading.report import Summary, summarize, verdict_keys
from rho1bench.grading.saved_tables import DELIMITERS, read_table
from rho1bench.system.data_root import DATA_VARIABLE, cache_folder, named_folder
from rho1bench.system.files import write_jsonl

_LISTED = 10
"""Numbers of faulty lines that an error lists."""
_PLAIN = (".txt", ".md")
_SHOWN = 60
"""Characters of a gold answer that an error shows."""


def grade_file(
    input: Path,
    output: Path,
    task: str | None = None,
    data_root: Path | None = None,
    *,
    pool: WorkerPool | None = None,
) -> Summary:
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
    graded = [dict(row) | verdict_keys(grade) for (_, row), grade in zip(rows, grades, strict=True)]
    try:
        write_jsonl(output, graded)
    except OSError as error:
        raise RunError(f"{output}: cannot be written ({error}). Choose another --output and run again.") from error
    return summarize(rows, answers, grades, time.monotonic() - began)


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
    lookup = Lookup(data_root)
    rows: list[tuple[int, Row]] = []
    answers: list[Answer] = []
    faults: list[tuple[int, DataError]] = []
    lines = _lines(path)
    for number, line in lines:
        try:
            row = _parse(line, path, number) if isinstance(line, str) else line
            answers.append(as_answer(row, f"{path}, line {number}", data_set, path, lookup))
            rows.append((number, row))
        except DataError as fault:
            faults.append((number, fault))
    if faults:
        raise _told(faults, len(lines))
    return rows, answers


def _told(faults: list[tuple[int, DataError]], lines: int) -> DataError:
    """Return one error for all lines that cannot be graded: the first in full, then how many and which."""
    if len(faults) == 1:
        return faults[0][1]
    numbers = ", ".join(str(number) for number, _ in faults[:_LISTED])
    more = ", ..." if len(faults) > _LISTED else ""
    return DataError(f"{faults[0][1]} {len(faults)} of {lines} lines cannot be graded: lines {numbers}{more}.")


def _lines(path: Path) -> list[tuple[int, str | Row]]:
    """Return the lines of a file that are not blank, with their numbers; of a table the rows."""
    if path.suffix.lower() in _PLAIN:
        raise DataError(
            f"{path}: is plain text, which holds no gold answers; expected JSON lines, or CSV with a header and one "
            "answer a row: task,completion,gold. `rho1bench grade --help` has examples."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected JSON lines of saved outputs.") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder; expected one file of JSON lines of saved outputs.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error}).") from error
    if path.suffix.lower() in DELIMITERS:
        rows: list[tuple[int, str | Row]] = [*read_table(text, path)]
        if not rows:
            raise DataError(f"{path}: holds no rows below its header; expected one answer a row.")
        return rows
    lines: list[tuple[int, str | Row]] = [
        (number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()
    ]
    if not lines:
        raise DataError(f"{path}: holds no lines; expected one JSON object a line.")
    return lines


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


_ALIASES = {
    "math500": "math", "math_oai": "math", "minerva_math": "math", "sat": "sat_math", "gsmhard": "gsm_hard",
    "gsm-hard": "gsm_hard", "mmlu-stem": "mmlu_stem",
}  # fmt: skip


class Lookup:
    """Test rows of a data folder (the one given, else ``RHO1BENCH_DATA``), else of the cache; read when asked for."""

    def __init__(self, data_root: Path | None) -> None:
        self.root = data_root or named_folder()
        self._rows: dict[str, dict[str, Row]] = {}

    def row(self, task: str, idx: object, where: str) -> Row | None:
        """Return the row of ``task`` whose ``idx`` (else line number, from 0) is ``idx``; None without data."""
        path = (self.root or cache_folder()) / "math" / task / "test.jsonl"
        if self.root is None and not path.is_file():
            return None
        if task not in self._rows:
            self._rows[task] = self._read(path)
        if str(idx) not in self._rows[task]:
            raise DataError(f"{where}: {task} has no row {idx!r} in {path}.")
        return self._rows[task][str(idx)]

    @staticmethod
    def _read(path: Path) -> dict[str, Row]:
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except FileNotFoundError:
            raise DataError(f"{path}: no such file; --data-root needs math/<task>/test.jsonl inside.") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read as JSON lines ({error}).") from error
        return {str(row.get("idx", place)): row for place, row in enumerate(rows)}


def canonical_task(name: str) -> str | None:
    """Return the paper's data-set name in a task's name (``rho1_math500_tir`` -> ``math``), None if there is none."""
    core = re.sub(r"^(?:rho1|mini)_|_(?:cot|tir)$", "", name.lower())
    core = re.sub(r"_(?:cot|tir)$", "", core)
    core = _ALIASES.get(core, core)
    return core if core in TASKS else None


def as_answer(row: Row, where: str, task: str | None, path: Path, lookup: Lookup) -> Answer:
    """Turn one line into an answer; ``where`` names the line in errors. Raises ``DataError``."""
    task = task or _task_of(row, path)
    if task is None:
        raise DataError(f"{where}: names no known data set; add a key 'task' or give --task ({', '.join(TASKS)}).")
    completion = _completion(row, where)
    paper_gold, gold = _golds(row, where, task, lookup)
    if (fault := gold_fault(gold, task)) is not None:
        raise DataError(f"{where}: the gold answer {gold[:_SHOWN]!r} {fault}; correct it, or leave the line out.")
    return Answer(completion, paper_gold, gold, task)


def _task_of(row: Row, path: Path) -> str | None:
    if "task" in row:
        return canonical_task(str(row["task"]))
    sample = re.match(r"samples_(.+?)(?:_\d{4}-\d\d-\d\dT.*)?$", path.stem)
    names = [sample.group(1)] if sample else []
    return next((task for name in [*names, path.parent.name, path.stem] if (task := canonical_task(name))), None)


def _completion(row: Row, where: str) -> str:
    for key in ("completion", "code", "resps", "filtered_resps"):
        responses = list(_flat(row.get(key)))
        if len(responses) > 1:
            raise DataError(
                f"{where}: {key!r} holds {len(responses)} responses, and a line is graded by one; "
                "write each response on a line of its own."
            )
        if responses and not isinstance(responses[0], str):
            raise DataError(f"{where}: {key!r} holds no text but {type(responses[0]).__name__}.")
        if responses:
            return str(responses[0])
    raise DataError(f"{where}: holds no completion; expected one of the keys completion, code, resps.")


def _flat(value: object) -> Iterator[object]:
    """Yield what nested lists hold; nothing for None."""
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    elif value is not None:
        yield value


def _golds(row: Row, where: str, task: str, lookup: Lookup) -> tuple[str, str]:
    """Return the gold answer in normal form and as written, from the data folder, the doc, or the line itself."""
    try:
        if "idx" in row and "gt" not in row and (found := lookup.row(task, row["idx"], where)) is not None:
            return gold_answer(found, task), written_answer(found, task)
        if isinstance(row.get("doc"), Mapping):
            if "data_set" in row["doc"]:
                return _gold_of_document(row["doc"])
            return gold_answer(row["doc"], task), written_answer(row["doc"], task)
    except DataError as error:
        if "target" not in row or not isinstance(row.get("doc"), Mapping):
            raise DataError(f"{where}: {error}".replace(f"{where}: {where}: ", f"{where}: ")) from error
    for key in ("gold", "gt", "target"):
        if row.get(key) is not None:
            return _stated_gold(row, key, task, where)
    raise DataError(
        f"{where}: no gold answer; give --data-root (or {DATA_VARIABLE}) for lines with idx, or a key gold, gt, target."
    )


def _gold_of_document(doc: Row) -> tuple[str, str]:
    """Samples of this project's own tasks, whose documents hold the gold answer ready for use."""
    written = str(doc["answer"])
    return str(doc["paper_gold"]) if "paper_gold" in doc else normalise(written), written


def _stated_gold(row: Row, key: str, task: str, where: str) -> tuple[str, str]:
    """Released outputs carry the test row's own fields beside ``gt``, so the answer as written can be had too."""
    if isinstance(row[key], bool) or not isinstance(row[key], (str, int, float)):
        raise DataError(f"{where}: the gold answer {key!r} holds no text or number but {type(row[key]).__name__}.")
    stated = str(row[key])
    if key == "gold":
        return stated, stated
    try:
        written = written_answer(row, task)
    except DataError:
        written = stated
    return normalise(stated), written
