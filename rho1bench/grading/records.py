"""One line of saved outputs as an answer to grade: which kind of line it is, its task, completion and gold answer."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from rho1bench.errors import DataError
from rho1bench.grading.gold import TASKS, gold_answer, written_answer
from rho1bench.grading.grader import Answer
from rho1bench.grading.normal_form import normalise

Row = Mapping[str, Any]
DATA_VARIABLE = "RHO1BENCH_DATA"
_ALIASES = {
    "math500": "math", "math_oai": "math", "minerva_math": "math", "sat": "sat_math", "gsmhard": "gsm_hard",
    "gsm-hard": "gsm_hard", "mmlu-stem": "mmlu_stem",
}  # fmt: skip


class Lookup:
    """Test rows of a local data folder, read when first asked for."""

    def __init__(self, data_root: Path | None) -> None:
        self._given = data_root
        self._rows: dict[str, dict[str, Row]] = {}

    @cached_property
    def root(self) -> Path | None:
        """The data folder: the one given, else ``RHO1BENCH_DATA``, else None."""
        named = os.environ.get(DATA_VARIABLE)
        return self._given or (Path(named) if named else None)

    def row(self, task: str, idx: Any, where: str) -> Row | None:
        """Return the row of ``task`` whose ``idx`` (else line number, from 0) is ``idx``; None without data."""
        if self.root is None:
            return None
        if task not in self._rows:
            self._rows[task] = self._read(self.root / "math" / task / "test.jsonl")
        if str(idx) not in self._rows[task]:
            raise DataError(f"{where}: {task} has no row {idx!r} in {self.root / 'math' / task / 'test.jsonl'}.")
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
    return Answer(completion, *_golds(row, where, task, lookup), task)


def _task_of(row: Row, path: Path) -> str | None:
    if "task" in row:
        return canonical_task(str(row["task"]))
    sample = re.match(r"samples_(.+?)(?:_\d{4}-\d\d-\d\dT.*)?$", path.stem)
    names = [sample.group(1)] if sample else []
    return next((task for name in [*names, path.parent.name, path.stem] if (task := canonical_task(name))), None)


def _completion(row: Row, where: str) -> str:
    for key in ("completion", "code", "resps", "filtered_resps"):
        value = row.get(key)
        while isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, str):
            return value
        if value is not None and value != []:
            raise DataError(f"{where}: {key!r} holds no text but {type(value).__name__}.")
    raise DataError(f"{where}: holds no completion; expected one of the keys completion, code, resps.")


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
            return _stated_gold(row, key, task)
    raise DataError(
        f"{where}: no gold answer; give --data-root (or {DATA_VARIABLE}) for lines with idx, or a key gold, gt, target."
    )


def _gold_of_document(doc: Row) -> tuple[str, str]:
    """Samples of this project's own tasks, whose documents hold the gold answer ready for use."""
    written = str(doc["answer"])
    return str(doc["paper_gold"]) if "paper_gold" in doc else normalise(written), written


def _stated_gold(row: Row, key: str, task: str) -> tuple[str, str]:
    """Released outputs carry the test row's own fields beside ``gt``, so the answer as written can be had too."""
    stated = str(row[key])
    if key == "gold":
        return stated, stated
    try:
        written = written_answer(row, task)
    except DataError:
        written = stated
    return normalise(stated), written
