"""The spread over training seeds: what a run with ``seeds`` found, seed by seed and on average.

Place in the pipeline: ``runner`` calls :func:`summarise` after the runs in ``<out>/seed-<n>/``. A single run's p-value
speaks of the sampled test documents only; whether SLM beats CLM again after another initialisation and another draw of
data is answered here, by a one-sample t test over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rho1bench.comparison.statistics import spread_over_seeds
from rho1bench.errors import DataError
from rho1bench.rendering import numbers as fmt
from rho1bench.system.files import read_json, write_json, write_text

_KEPT = ("treatment", "baseline", "difference", "ci", "p", "n")


def summarise(out: Path, seeds: Sequence[int]) -> None:
    """Write ``<out>/summary.json`` and ``<out>/report.md`` from the summaries of ``<out>/seed-<n>/``.

    Raises ``DataError`` where a seed's summary is missing or compares other checkpoints or suites than the first's.
    """
    summary = summarise_runs({seed: _read(out / f"seed-{seed}" / "summary.json") for seed in seeds})
    write_json(out / "summary.json", summary)
    write_text(out / "report.md", report_text(summary))


def _read(path: Path) -> dict[str, Any]:
    try:
        summary = read_json(path)
        summary["comparisons"][0]["suites"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path}: not the summary of a finished run ({error!r}). Run this seed again.") from error
    return dict(summary)


def summarise_runs(runs: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the summary over seeds, given each seed's summary.json.

    ``pairs`` holds one entry a compared pair: ``suites`` and ``tasks`` map names to the means over seeds, the mean
    ``difference`` with t interval ``ci`` and ``p``, ``num_positive``, ``n`` (seeds) and the single ``seeds``;
    ``validation_loss`` does the same for the last loss on clean held-out text (a negative difference is better).
    """
    if not runs:
        raise DataError("no seeds to summarise: the recipe's `seeds` is empty.")
    first = next(iter(runs.values()))
    pairs = [_pair_over_seeds(index, runs) for index in range(len(first["comparisons"]))]
    return {
        "schema": 1,
        "recipe": first["recipe"],
        "scale": first.get("scale", "full"),
        "seeds": list(runs),
        "rho1bench_version": first["rho1bench_version"],
        "pairs": pairs,
    }


def _pair_over_seeds(index: int, runs: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    pairs = {seed: run["comparisons"][index] for seed, run in runs.items() if index < len(run["comparisons"])}
    shapes = {
        seed: (pair["treatment"], pair["baseline"], *sorted(pair["suites"]), *sorted(pair["tasks"]))
        for seed, pair in pairs.items()
    }
    if len(pairs) != len(runs) or len(set(shapes.values())) != 1:
        raise DataError("the seeds compare different checkpoints, suites or tasks; run all of them with one recipe.")
    first = next(iter(pairs.values()))
    result = {"treatment": first["treatment"], "baseline": first["baseline"]}
    for level in ("suites", "tasks"):
        result[level] = {
            name: _entry_over_seeds([{"seed": seed, **_kept(pair[level][name])} for seed, pair in pairs.items()])
            for name in first[level]
        }
    return result | {"validation_loss": _losses_over_seeds(result["treatment"], result["baseline"], runs)}


def _kept(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in _KEPT}


def _entry_over_seeds(rows: list[dict[str, Any]]) -> dict[str, Any]:
    spread = spread_over_seeds([row["difference"] for row in rows])
    return {
        "treatment": sum(row["treatment"] for row in rows) / len(rows),
        "baseline": sum(row["baseline"] for row in rows) / len(rows),
        "difference": spread.mean,
        "ci": spread.ci.as_list() if spread.ci else None,
        "p": spread.p,
        "p_method": "one-sample t test over seeds",
        "num_positive": spread.num_positive,
        "n": spread.n,
        "seeds": rows,
    }


def _losses_over_seeds(treatment: str, baseline: str, runs: Mapping[int, Mapping[str, Any]]) -> dict[str, Any] | None:
    rows = []
    for seed, run in runs.items():
        losses = run.get("validation_losses", {})
        left, right = losses.get(treatment), losses.get(baseline)
        if left is None or right is None:
            return None
        row = {"seed": seed, "treatment": left, "baseline": right, "difference": left - right}
        rows.append(row | {"ci": None, "p": None, "n": None})
    return _entry_over_seeds(rows)


def report_text(summary: Mapping[str, Any]) -> str:
    """Return the summary over seeds as Markdown."""
    seeds = summary["seeds"]
    parts = [
        f"# {summary['recipe']}: {len(seeds)} seed{'s' if len(seeds) != 1 else ''}",
        "Scores in percent, differences in points. A seed's interval and p speak of its test documents (paired "
        "bootstrap, sign-flip permutation); those of the mean speak of the spread over seeds (Student's t).",
    ]
    for pair in summary["pairs"]:
        parts += _pair_text(pair)
    return "\n\n".join(parts) + "\n"


def _pair_text(pair: Mapping[str, Any]) -> list[str]:
    names = fmt.label_name(pair["treatment"]), fmt.label_name(pair["baseline"])
    parts = [f"## {names[0]} against {names[1]}"]
    for suite, entry in pair["suites"].items():
        parts += [f"### {suite}", _verdict(names, entry), _table(names, entry, fmt.percent, fmt.points, fmt.interval)]
    if pair["tasks"]:
        parts += ["### By task, mean over seeds", _task_table(names, pair["tasks"])]
    if pair.get("validation_loss"):
        loss = pair["validation_loss"]
        parts += [
            "### Last loss on clean held-out text (nats; lower is better)",
            _table(names, loss, _nats, _nats_signed, _nats_ci),
        ]
    return parts


def _verdict(names: tuple[str, str], entry: Mapping[str, Any]) -> str:
    text = (
        f"{names[0]} is ahead in {entry['num_positive']} of {entry['n']} seeds; mean difference "
        f"{fmt.points(entry['difference'])} points"
    )
    return f"{text} (95% CI {fmt.interval(entry['ci'])}, {fmt.p_clause(entry['p'])})." if entry["ci"] else f"{text}."


def _table(names: tuple[str, str], entry: Mapping[str, Any], score: Any, difference: Any, bounds: Any) -> str:
    lines = [f"| seed | {names[0]} | {names[1]} | difference | 95% CI | p | n |", "|---|---:|---:|---:|---:|---:|---:|"]
    for row in [*entry["seeds"], {"seed": "mean", **entry}]:
        cells = [str(row["seed"]), score(row["treatment"]), score(row["baseline"]), difference(row["difference"])]
        n = f"{row['n']} seeds" if row["seed"] == "mean" else fmt.count(row["n"])
        lines.append("| " + " | ".join([*cells, bounds(row["ci"]), fmt.p_value(row["p"]), n]) + " |")
    return "\n".join(lines)


def _task_table(names: tuple[str, str], tasks: Mapping[str, Any]) -> str:
    lines = [
        f"| task | {names[0]} | {names[1]} | difference | 95% CI | p | ahead in |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for task, entry in tasks.items():
        cells = [task, fmt.percent(entry["treatment"]), fmt.percent(entry["baseline"]), fmt.points(entry["difference"])]
        ahead = f"{entry['num_positive']} of {entry['n']}"
        lines.append("| " + " | ".join([*cells, fmt.interval(entry["ci"]), fmt.p_value(entry["p"]), ahead]) + " |")
    return "\n".join(lines)


def _nats(value: float) -> str:
    return f"{value:.4f}"


def _nats_signed(value: float) -> str:
    return fmt.signed(value, 4)


def _nats_ci(bounds: Sequence[float] | None) -> str:
    return fmt.NONE if bounds is None else f"{_nats_signed(bounds[0])} to {_nats_signed(bounds[1])}"
