"""From an evaluation to its records: one a checkpoint and suite, part of ``rho1bench leaderboard add``.

Reads the folders that ``rho1bench eval`` left; ``record`` is the form of the result, ``from_run`` adds what a run knows
of training.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from rho1bench.comparison import eval_results
from rho1bench.comparison.eval_results import EARLIER, SETTINGS, EvalResults, LabelScores, TaskResult, TaskScores
from rho1bench.errors import DataError
from rho1bench.leaderboard.records.record import (
    SCHEMA,
    UNHASHED,
    CheckpointFacts,
    CodeFacts,
    EvaluationFacts,
    Record,
    Scale,
    TaskRecord,
    average_of,
    encode,
    task_interval,
    task_score,
    with_hashes,
)
from rho1bench.paper.protocol import RANKED_SUITES
from rho1bench.system.hub import public_name

_OPTIONS = (
    "dtype", "include_path", "num_fewshot", "chat_template", "samples", "temperature", "top_p", "max_new_tokens",
    "base",
)  # fmt: skip
"""Options of ``rho1bench eval`` that results name among the engine's settings where they were given."""


def pack_evaluation(folder: Path, name: str | None = None) -> list[Record]:
    """Return the records of one checkpoint that ``rho1bench eval`` evaluated; ``folder`` holds its results.json.

    Raises DataError where files are missing, do not fit each other, or hold no whole suite.
    """
    scores = eval_results.read_label(folder.parent, folder.name)
    eval_results.check_unchanged(folder, scores.results)
    name = name or scores.label
    return [with_hashes(base_record(scores, suite, name, slug(name))) for suite in _suites(scores, folder)]


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


def base_record(scores: LabelScores, suite: str, name: str, stem: str) -> Record:
    """Return what every record has, from one label's results; ``stem`` names its file, a limit is added to it."""
    results = scores.results
    limit = limit_of(results, suite)
    tasks = {task: _task(results.tasks[task], scores.tasks[task]) for task in scores.suites[suite]}
    return Record(
        schema=SCHEMA,
        id=f"{suite}/{stem}" + (f".limit{limit}" if limit else ""),
        suite=suite,
        scale=scale_of(suite, tasks),
        limit=limit,
        model=CheckpointFacts(
            name=name,
            source=public_name(results.model),
            revision=results.revision,
            weights_sha256=results.weights_sha256,
            num_parameters=results.num_parameters,
        ),
        training=None,
        evaluation=EvaluationFacts(**{key: getattr(results, key) for key in EvaluationFacts.model_fields}),
        command=eval_command(results, suite),
        average=average_of(tasks),
        tasks=tasks,
        curve=[],
        comparison=None,
        eval_fingerprint=UNHASHED,
        sha256=UNHASHED,
        code=CodeFacts(training=None, evaluation=results.code_sha256) if results.code_sha256 else None,
    )


def limit_of(results: EvalResults, suite: str) -> int | None:
    """Return the limit of a suite's documents; of a suite whose tasks came with others, the smallest of all."""
    limits = results.limits
    found = [limits[suite]] if suite in limits else list(limits.values())
    return min((limit for limit in found if limit is not None), default=None)


def scale_of(suite: str, tasks: Mapping[str, TaskRecord]) -> Scale:
    """Return the scale of a record that is no smoke test."""
    return scale_of_tasks(suite, is_whole=all(task.is_whole for task in tasks.values()))


def scale_of_tasks(suite: str, *, is_whole: bool) -> Scale:
    """Return the scale of a suite of which every row was asked, or not."""
    if suite not in RANKED_SUITES:
        return "mini"
    return "full" if is_whole else "limited"


def _task(result: TaskResult, scores: TaskScores) -> TaskRecord:
    values = encode([scores.scores[doc_id] for doc_id in ordered(scores)])
    interval = task_interval(values)
    return TaskRecord(
        metric=result.metric,
        score=task_score(values),
        ci=(interval.low, interval.high),
        n=len(values),
        num_rows=result.num_rows,
        scores=values,
        metrics=dict(result.metrics),
        verdicts=result.verdicts,
        truncated=result.truncated,
        prompts_too_long=result.prompts_too_long,
        version=result.version,
        data_sha256=result.data_sha256,
        prompts_sha256=result.prompts_sha256,
        generation_kwargs=result.generation_kwargs,
    )


def ordered(scores: TaskScores) -> list[str]:
    """Return the documents' ids in the order of the test set; those of a benchmark task by task."""
    return sorted(scores.scores, key=lambda doc_id: (doc_id.rpartition("/")[0], _number(doc_id.rpartition("/")[2])))


def _number(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() else (-1, text)


def eval_command(results: EvalResults, suite: str) -> str:
    """Return the command that evaluates the checkpoint again."""
    source, limit = public_name(results.model), limit_of(results, suite)
    return evaluation_command(source, suite, limit, results.engine, results.engine_settings)


def evaluation_command(source: str, suite: str, limit: int | None, engine: str, settings: Mapping[str, object]) -> str:
    """Return the command that evaluates ``source`` on a suite."""
    words = ["rho1bench", "eval", source, "--suite", suite]
    words += ["--limit", str(limit)] if limit else []
    words += ["--engine", engine]
    words += ["--max-model-len", str(settings["max_model_len"])] if "max_model_len" in settings else []
    for name in _OPTIONS:
        value = settings.get(name)
        if value is not None and value is not False:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return shlex.join(words)


def find_evaluations(folder: Path) -> Iterator[Path]:
    """Yield the checkpoint folders under an output folder of ``rho1bench eval``, or the folder itself."""
    if (folder / "results.json").is_file() or (folder / EARLIER).is_dir():
        yield folder
    else:
        found = [*folder.glob("*/results.json"), *folder.glob(f"*/{EARLIER}")]
        yield from sorted({path.parent for path in found})


def folders_of_results(folder: Path) -> list[Path]:
    """Return the folders with results of one checkpoint: its own, then those of earlier requests."""
    kept = sorted(path.parent for path in folder.glob(f"{EARLIER}/*/{SETTINGS}"))
    return [place for place in (folder, *kept) if (place / "results.json").is_file()]
