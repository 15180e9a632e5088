"""From an evaluation or a run to records: what ``rho1bench leaderboard add`` writes into ``results/records``.

Reads the folders that ``rho1bench eval`` and ``rho1bench run`` left; ``record`` is the form of the result. One record a
checkpoint and suite; a treatment's record also says how it compares with its baseline (paper section 3.3, figure 1).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rho1bench.comparison import eval_results
from rho1bench.comparison.eval_results import LabelScores, TaskScores
from rho1bench.errors import DataError
from rho1bench.leaderboard.records.record import SCHEMA, Record, average_of, encode, sealed, task_interval, task_score
from rho1bench.system.files import read_json

Json = dict[str, Any]
RANKED_SUITES = ("rho1_math9", "rho1_tir7", "rho1_general15")
_FACTS = ("engine", "engine_version", "engine_settings", "dtype", "device", "decoding", "grader", "grader_sha256")
_OLD = "This evaluation was written by an older version. Run the same command again; its answers are kept."


def pack_evaluation(folder: Path, name: str | None = None) -> list[Record]:
    """Return the records of one checkpoint that ``rho1bench eval`` evaluated; ``folder`` holds its results.json.

    Raises DataError where files are missing, do not fit each other, or hold no whole suite.
    """
    scores = eval_results.read_label(folder.parent, folder.name)
    name = name or scores.label
    return [
        sealed(base_record(scores, suite, name, slug(name)) | {"command": eval_command(scores.record, suite)})
        for suite in _suites(scores, folder)
    ]


def _suites(scores: LabelScores, folder: Path) -> list[str]:
    suites = list(scores.suites)
    if not suites:
        raise DataError(
            f"{folder}: holds no suite whose tasks are all there. Evaluate a whole suite (--suite math, for example)."
        )
    return suites


def slug(name: str) -> str:
    """Return a name as part of a file's name: lower case, no separators of paths."""
    text = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")
    if not text:
        raise DataError(f"{name!r} holds no letter or digit to name a record by. Give another with --name.")
    return text[:120]


def base_record(scores: LabelScores, suite: str, name: str, stem: str) -> Json:
    """Return what every record has, from one label's results; ``stem`` names its file, a limit is added to it.

    Raises DataError for results of an older version.
    """
    record = scores.record
    try:
        limit = _limit(record, suite)
        tasks = {task: _task(record["tasks"][task], scores.tasks[task]) for task in scores.suites[suite]}
        evaluation = {key: record[key] for key in _FACTS}
        evaluation |= {"git": record["git"], "versions": record["versions"], "seconds": record["seconds"]}
    except KeyError as error:
        raise DataError(f"{scores.label}: results.json has no {error}. {_OLD}") from error
    return {
        "schema": SCHEMA,
        "id": f"{suite}/{stem}" + (f".limit{limit}" if limit else ""),
        "suite": suite,
        "scale": _scale(suite, tasks),
        "limit": limit,
        "model": {
            "name": name,
            "source": _public_source(str(record["model"])),
            **{key: record[key] for key in ("revision", "weights_sha256", "num_parameters")},
        },
        "training": None,
        "evaluation": evaluation,
        "command": "",
        "average": average_of(tasks),
        "tasks": tasks,
        "curve": [],
        "comparison": None,
    }


def _limit(record: Mapping[str, Any], suite: str) -> int | None:
    """Return the limit of a suite's documents; of a suite whose tasks came with others, the smallest of all."""
    limits = record["limits"]
    found = [limits[suite]] if suite in limits else [limit for limit in limits.values() if limit is not None]
    return min((limit for limit in found if limit is not None), default=None)


def _scale(suite: str, tasks: Mapping[str, Json]) -> str:
    if suite not in RANKED_SUITES:
        return "mini"
    return "full" if all(task["n"] == task["num_rows"] for task in tasks.values()) else "limited"


def _task(entry: Mapping[str, Any], scores: TaskScores) -> Json:
    values = encode([scores.scores[doc_id] for doc_id in ordered(scores)])
    return {
        "metric": entry["metric"],
        "score": task_score(values),
        "ci": task_interval(values).as_list(),
        "n": len(values),
        "num_rows": entry["num_rows"],
        "scores": values,
        "metrics": dict(entry.get("metrics", {})),
        "verdicts": entry.get("verdicts"),
        **{key: entry[key] for key in ("truncated", "prompts_too_long", "version", "data_sha256", "prompts_sha256")},
        "generation_kwargs": entry["generation_kwargs"],
    }


def ordered(scores: TaskScores) -> list[str]:
    """Return the documents' ids in the order of the test set; those of a benchmark task by task."""
    return sorted(scores.scores, key=lambda doc_id: (doc_id.rpartition("/")[0], _number(doc_id.rpartition("/")[2])))


def _number(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() else (-1, text)


def _public_source(source: str) -> str:
    """Return a hub id as it is, and of a folder its name alone: where it lay is nobody's business."""
    return Path(source).name if source.startswith(("/", ".", "~")) or source.count("/") > 1 else source


def eval_command(record: Mapping[str, Any], suite: str) -> str:
    """Return the command that evaluates the checkpoint again."""
    limit = _limit(record, suite)
    settings = record.get("engine_settings", {})
    words = ["rho1bench", "eval", _public_source(str(record["model"])), "--suite", suite]
    words += ["--limit", str(limit)] if limit else []
    words += ["--engine", record["engine"]]
    words += ["--max-model-len", str(settings["max_model_len"])] if "max_model_len" in settings else []
    return shlex.join(words)


def find_evaluations(folder: Path) -> Iterator[Path]:
    """Yield the checkpoint folders under an output folder of ``rho1bench eval``, or the folder itself."""
    if (folder / "results.json").is_file():
        yield folder
    else:
        yield from sorted(path.parent for path in folder.glob("*/results.json"))


def read_record(path: Path) -> Record:
    """Read one record's file without checking more than its form; raises DataError."""
    try:
        return Record.model_validate(read_json(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a record ({error}).") from error
