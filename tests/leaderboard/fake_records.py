"""Valid records of runs that never were, for tests of the leaderboard: every number follows from seeded scores."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rho1bench.leaderboard.records.compare import compare_records
from rho1bench.leaderboard.records.record import (
    SCHEMA,
    Record,
    TaskRecord,
    as_json,
    average_of,
    eval_fingerprint,
    record_sha256,
    task_interval,
    task_score,
)
from rho1bench.paper.suites import SUITES
from rho1bench.system.files import sha256_bytes, write_json
from rho1bench.system.paths import results_dir

Json = dict[str, Any]
ROWS = 40
"""Documents of a task unless said otherwise: a test set of this size is evaluated whole."""
_NUMBERS = ("tydiqa", "mbpp", "humaneval")
_SPREAD = (-0.15, 0.2)


def fake_record(
    name: str = "model-a",
    *,
    suite: str = "rho1_math9",
    seed: int = 0,
    accuracy: float = 0.4,
    scale: str | None = None,
    limit: int | None = None,
    rows: int | Mapping[str, int] = ROWS,
    num_parameters: int | None = 1_100_000_000,
    training: Mapping[str, Any] | None = None,
    curve: Sequence[float] = (),
    engine: str = "vllm",
) -> Json:
    """Return a record as its file holds it.

    ``accuracy`` is what documents are drawn with, task by task a little above or below it; ``rows`` the documents of
    each task's test set, of which ``limit`` are asked; ``training`` the facts that differ from :func:`fake_training`'s
    defaults (an empty mapping will do); ``curve`` the accuracies at checkpoints along the way, the end included.
    """
    generator = np.random.default_rng([seed, *name.encode(), *suite.encode()])
    tasks = {task: _task(task, accuracy, _rows(rows, task), limit, generator) for task in _tasks(suite)}
    scale = scale or ("mini" if not suite.startswith("rho1_") else "limited" if limit else "full")
    record: Json = {
        "schema": SCHEMA,
        "id": f"{suite}/{name}" + (f".limit{limit}" if limit else ""),
        "suite": suite,
        "scale": scale,
        "limit": limit,
        "model": {
            "name": name,
            "source": f"example/{name}",
            "revision": "0" * 40,
            "weights_sha256": _sha256(f"weights {name} {seed}"),
            "num_parameters": num_parameters,
        },
        "training": None if training is None else fake_training(**{"seed": seed, **training}),
        "evaluation": _evaluation(engine),
        "command": f"rho1bench eval example/{name} --suite {suite}",
        "average": average_of({name: TaskRecord.model_validate(task) for name, task in tasks.items()}).model_dump(
            mode="json"
        ),
        "tasks": tasks,
        "curve": [_point(index, len(curve), share, tasks, generator) for index, share in enumerate(curve)],
        "comparison": None,
    }
    return with_hashes(record)


def fake_training(**facts: Any) -> Json:
    """Return a record's ``training``; ``facts`` replace defaults."""
    own = {
        "recipe": "fake_recipe",
        "recipe_sha256": _sha256(str(facts.get("recipe", "fake_recipe"))),
        "stage": facts.get("method", "slm"),
        "method": "slm",
        "selection": {"ratio": 0.6, "score": "excess_loss"} if facts.get("method", "slm").startswith("slm") else None,
        "seed": 0,
        "step": 1000,
        "tokens": 15_000_000_000,
        "selected_tokens": 9_000_000_000,
        "validation_loss": 1.25,
    }
    return own | facts


def fake_pair(
    name: str = "fake_recipe", *, suite: str = "rho1_math9", seed: int = 0, gain: float = 0.15, **settings: Any
) -> list[Json]:
    """Return a run's two records, SLM (with its comparison) and CLM, ``gain`` apart; both have curves."""
    facts = {"recipe": name, "recipe_sha256": _sha256(name)}
    accuracy = settings.pop("accuracy", 0.4)
    both = [
        fake_record(
            f"{name}.{method}.seed{seed}",
            suite=suite,
            seed=seed,
            accuracy=accuracy + extra,
            training=facts | {"stage": method, "method": method},
            curve=[accuracy / 2, accuracy * 0.8 + extra, accuracy + extra],
            **settings,
        )
        for method, extra in (("slm", gain), ("clm", 0.0))
    ]
    return [compared(*both), both[1]]


def compared(treatment: Json, baseline: Json, seed: int | None = None) -> Json:
    """Return ``treatment`` with its comparison; ``seed`` is that of its training."""
    if seed is None:
        seed = treatment["training"]["seed"] if treatment["training"] else 0
    return as_json(compare_records(Record.model_validate(treatment), Record.model_validate(baseline), seed=seed))


def with_hashes(record: Mapping[str, Any]) -> Json:
    """Return ``record`` with the fingerprint and hash that fit its content (anew, after a test changed something)."""
    data = {**record}
    data["eval_fingerprint"] = eval_fingerprint(data)
    data["sha256"] = record_sha256(data)
    return data


def write_results(folder: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    """Write ``records`` as a results folder, the paper's tables beside them; returns ``folder``."""
    (folder / "records").mkdir(parents=True, exist_ok=True)
    shutil.copytree(results_dir() / "paper", folder / "paper", dirs_exist_ok=True)
    for record in records:
        write_json(folder / "records" / f"{record['id']}.json", record)
    return folder


def _tasks(suite: str) -> Sequence[str]:
    return SUITES.get(suite, (suite,))


def _rows(rows: int | Mapping[str, int], task: str) -> int:
    return rows if isinstance(rows, int) else rows[task]


def _task(name: str, accuracy: float, rows: int, limit: int | None, generator: np.random.Generator) -> Json:
    n = min(limit or rows, rows)
    numbers = any(part in name for part in _NUMBERS)
    share = float(np.clip(accuracy + generator.uniform(*_SPREAD), 0.02, 0.98))
    scores = _draw(share, n, numbers, generator)
    score = task_score(scores)
    correct = round(score * n)
    return {
        "metric": "f1" if numbers else "exact_match",
        "score": score,
        "ci": task_interval(scores).as_list(),
        "n": n,
        "num_rows": rows,
        "scores": scores,
        "metrics": {"verified": score},
        "verdicts": {"paper": {"correct": correct, "incorrect": n - correct}} if isinstance(scores, str) else None,
        "truncated": 0,
        "prompts_too_long": 0,
        "version": 1.0,
        "data_sha256": _sha256(f"data {name}"),
        "prompts_sha256": _sha256(f"prompts {name}"),
        "generation_kwargs": None,
    }


def _draw(share: float, n: int, numbers: bool, generator: np.random.Generator) -> str | list[float]:
    """Scores as a record keeps them."""
    if numbers:
        return generator.beta(4 * share, 4 * (1 - share), size=n).round(3).tolist()
    return ((generator.random(n) < share) + np.uint8(ord("0"))).tobytes().decode("ascii")


def _point(index: int, count: int, share: float, tasks: Mapping[str, Json], generator: np.random.Generator) -> Json:
    part = index / max(count - 1, 1)
    share = min(max(share, 0.02), 0.98)
    sizes = {name: min(task["n"], 40) for name, task in tasks.items()}
    drawn = {name: _draw(share, size, False, generator) for name, size in sizes.items()}
    last = {name: tasks[name]["scores"][:size] for name, size in sizes.items()}
    return {
        "step": round(1000 * part),
        "tokens": round(15e9 * part),
        "selected_tokens": round(9e9 * part),
        "scores": last if index == count - 1 else drawn,
    }


def _evaluation(engine: str) -> Json:
    return {
        "engine": engine,
        "engine_version": "0.32.0",
        "engine_settings": {"max_model_len": 4096, "batch_size": 256},
        "dtype": "bfloat16",
        "device": "8 x NVIDIA H100 80GB HBM3",
        "decoding": {"strategy": "greedy", "temperature": 0.0},
        "grader": 1,
        "grader_sha256": _sha256("grader"),
        "git": {"commit": "c0ffee" + "0" * 34, "dirty": False},
        "versions": {"rho1bench": "0.1.0", "torch": "2.13.0"},
        "seconds": 12.5,
    }


def _sha256(text: str) -> str:
    return sha256_bytes(text.encode())
