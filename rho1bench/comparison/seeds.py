"""The spread over training seeds: what a run with ``seeds`` found, seed by seed and on average.

Place in the pipeline: ``runner`` calls :func:`summarise` after the runs in ``<out>/seed-<n>/``. A single run's p-value
speaks of the sampled test documents only; whether SLM beats CLM again after another initialisation and another draw of
data is answered here, by a one-sample t test over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rho1bench.comparison.differences import ScoreDifference
from rho1bench.comparison.result_files import SCHEMA, as_json
from rho1bench.comparison.run_summary import (
    PairOverSeeds,
    RunSummary,
    SeedEntry,
    SeedsEntry,
    SeedsSummary,
    read_run_summary,
)
from rho1bench.comparison.statistics import difference_over_seeds
from rho1bench.errors import DataError
from rho1bench.rendering import numbers as fmt
from rho1bench.system.files import write_json, write_text

Bounds = Sequence[float] | None


def summarise(out: Path, seeds: Sequence[int]) -> None:
    """Write ``<out>/summary.json`` and ``<out>/report.md`` from the summaries of ``<out>/seed-<n>/``.

    Raises ``DataError`` where a seed's summary is missing or compares other checkpoints or suites than the first's.
    """
    summary = summarise_runs({seed: read_run_summary(out / f"seed-{seed}" / "summary.json") for seed in seeds})
    write_json(out / "summary.json", as_json(summary))
    write_text(out / "report.md", report_text(summary))


def summarise_runs(runs: Mapping[int, RunSummary]) -> SeedsSummary:
    """Return the summary over seeds, given each seed's summary; raises ``DataError`` where they do not fit."""
    if not runs:
        raise DataError("no seeds to summarise: the recipe's `seeds` is empty.")
    first = next(iter(runs.values()))
    return SeedsSummary(
        schema=SCHEMA,
        recipe=first.recipe,
        scale=first.scale,
        seeds=list(runs),
        rho1bench_version=first.rho1bench_version,
        pairs=[_pair_over_seeds(index, runs) for index in range(len(first.comparisons))],
    )


def _pair_over_seeds(index: int, runs: Mapping[int, RunSummary]) -> PairOverSeeds:
    pairs = {seed: run.comparisons[index] for seed, run in runs.items() if index < len(run.comparisons)}
    shapes = {(pair.treatment, pair.baseline, *sorted(pair.suites), *sorted(pair.tasks)) for pair in pairs.values()}
    if len(pairs) != len(runs) or len(shapes) != 1:
        raise DataError("the seeds compare different checkpoints, suites or tasks; run all of them with one recipe.")
    first = next(iter(pairs.values()))
    return PairOverSeeds(
        treatment=first.treatment,
        baseline=first.baseline,
        suites={
            name: _over_seeds([_seed_entry(seed, pair.suites[name]) for seed, pair in pairs.items()])
            for name in first.suites
        },
        tasks={
            name: _over_seeds([_seed_entry(seed, pair.tasks[name]) for seed, pair in pairs.items()])
            for name in first.tasks
        },
        validation_loss=_losses_over_seeds(first.treatment, first.baseline, runs),
    )


def _seed_entry(seed: int, entry: ScoreDifference) -> SeedEntry:
    return SeedEntry(
        seed=seed,
        treatment=entry.treatment,
        baseline=entry.baseline,
        difference=entry.difference,
        ci=entry.ci,
        p=entry.p,
        n=entry.n,
    )


def _over_seeds(rows: list[SeedEntry]) -> SeedsEntry:
    found = difference_over_seeds([row.difference for row in rows])
    return SeedsEntry(
        treatment=sum(row.treatment for row in rows) / len(rows),
        baseline=sum(row.baseline for row in rows) / len(rows),
        difference=found.mean,
        ci=(found.ci.low, found.ci.high) if found.ci else None,
        p=found.p,
        p_method=f"no t test: {found.refusal}" if found.refusal else "one-sample t test over seeds",
        p_exact=found.p_exact,
        num_positive=found.num_positive,
        n=found.n,
        seeds=rows,
    )


def _losses_over_seeds(treatment: str, baseline: str, runs: Mapping[int, RunSummary]) -> SeedsEntry | None:
    rows = []
    for seed, run in runs.items():
        left, right = run.validation_losses.get(treatment), run.validation_losses.get(baseline)
        if left is None or right is None:
            return None
        difference = left - right
        rows.append(
            SeedEntry(seed=seed, treatment=left, baseline=right, difference=difference, ci=None, p=None, n=None)
        )
    return _over_seeds(rows)


def report_text(summary: SeedsSummary) -> str:
    """Return the summary over seeds as Markdown."""
    seeds = summary.seeds
    parts = [
        f"# {summary.recipe}: {len(seeds)} seed{'s' if len(seeds) != 1 else ''}",
        "Scores in percent, differences in points. A seed's interval and p are over its questions (paired bootstrap, "
        "sign-flip permutation); those of the mean are over seeds (Student's t where it can hold, and beside it the "
        "exact sign-flip p, whose smallest value with n seeds is 2 / 2^n). A seed on which settings were chosen should "
        "not be among them.",
    ]
    for pair in summary.pairs:
        parts += _pair_text(pair)
    return "\n\n".join(parts) + "\n"


def _pair_text(pair: PairOverSeeds) -> list[str]:
    names = fmt.label_name(pair.treatment), fmt.label_name(pair.baseline)
    parts = [f"## {names[0]} against {names[1]}"]
    for suite, entry in pair.suites.items():
        parts += [f"### {suite}", _verdict(names, entry), _table(names, entry, fmt.percent, fmt.points, fmt.interval)]
    if pair.tasks:
        parts += ["### By task, mean over seeds", _task_table(names, pair.tasks)]
    if pair.validation_loss:
        parts += [
            "### Last loss on clean held-out text (nats; lower is better)",
            _table(names, pair.validation_loss, _nats, _nats_signed, _nats_ci),
        ]
    return parts


def _verdict(names: tuple[str, str], entry: SeedsEntry) -> str:
    text = (
        f"{names[0]} is ahead in {entry.num_positive} of {entry.n} seeds; mean difference "
        f"{fmt.points(entry.difference)} points"
    )
    if entry.p_exact is None:
        return f"{text}."
    exact = f"exact sign-flip {fmt.p_clause(entry.p_exact)}"
    if entry.ci is None:
        return f"{text} ({entry.p_method}; {exact})."
    return f"{text} (95% CI {fmt.interval(entry.ci)}, {fmt.p_clause(entry.p)} by Student's t; {exact})."


def _table(
    names: tuple[str, str],
    entry: SeedsEntry,
    score: Callable[[float], str],
    difference: Callable[[float], str],
    bounds: Callable[[Bounds], str],
) -> str:
    lines = [f"| seed | {names[0]} | {names[1]} | difference | 95% CI | p over questions | n |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    rows: list[tuple[str, SeedEntry | SeedsEntry, str]] = [
        (str(row.seed), row, fmt.count(row.n)) for row in entry.seeds
    ]
    for name, row, n in [*rows, ("mean", entry, f"{entry.n} seeds")]:
        cells = [name, score(row.treatment), score(row.baseline), difference(row.difference), bounds(row.ci)]
        p = f"{fmt.p_value(row.p)} over seeds" if row is entry and row.p is not None else fmt.p_value(row.p)
        lines.append("| " + " | ".join([*cells, p, n]) + " |")
    return "\n".join(lines)


def _task_table(names: tuple[str, str], tasks: Mapping[str, SeedsEntry]) -> str:
    lines = [
        f"| task | {names[0]} | {names[1]} | difference | 95% CI | p over seeds | ahead in |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for task, entry in tasks.items():
        cells = [task, fmt.percent(entry.treatment), fmt.percent(entry.baseline), fmt.points(entry.difference)]
        ahead = f"{entry.num_positive} of {entry.n}"
        lines.append("| " + " | ".join([*cells, fmt.interval(entry.ci), fmt.p_value(entry.p), ahead]) + " |")
    return "\n".join(lines)


def _nats(value: float) -> str:
    return f"{value:.4f}"


def _nats_signed(value: float) -> str:
    return fmt.signed(value, 4)


def _nats_ci(bounds: Bounds) -> str:
    return fmt.NONE if bounds is None else f"{_nats_signed(bounds[0])} to {_nats_signed(bounds[1])}"
