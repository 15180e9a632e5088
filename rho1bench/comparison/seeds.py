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
from rho1bench.comparison.statistics import difference_over_seeds, holm, sign_flips_of_several
from rho1bench.errors import DataError
from rho1bench.rendering import numbers as fmt
from rho1bench.system.files import write_json, write_text

Bounds = Sequence[float] | None


def summarise(out: Path, seeds: Sequence[int], tuning_seeds: Sequence[int] = ()) -> None:
    """Write ``<out>/summary.json`` and ``<out>/report.md`` from the summaries of ``<out>/seed-<n>/``.

    ``tuning_seeds`` are those on which settings were chosen; they are shown and never counted. Raises ``DataError``
    where a seed's summary is missing or compares other checkpoints or suites than the first's, or no seed counts.
    """
    runs = {seed: read_run_summary(out / f"seed-{seed}" / "summary.json") for seed in seeds}
    summary = summarise_runs(runs, tuning_seeds)
    write_json(out / "summary.json", as_json(summary))
    write_text(out / "report.md", report_text(summary))


def summarise_runs(runs: Mapping[int, RunSummary], tuning_seeds: Sequence[int] = ()) -> SeedsSummary:
    """Return the summary over seeds, given each seed's summary; raises ``DataError`` where they do not fit."""
    if not set(runs) - set(tuning_seeds):
        raise DataError("no seeds to summarise: the recipe's `seeds` holds none that is not in `tuning_seeds`.")
    first = next(iter(runs.values()))
    return SeedsSummary(
        schema=SCHEMA,
        recipe=first.recipe,
        scale=first.scale,
        seeds=list(runs),
        tuning_seeds=[seed for seed in runs if seed in tuning_seeds],
        rho1bench_version=first.rho1bench_version,
        pairs=[_pair_over_seeds(index, runs, tuning_seeds) for index in range(len(first.comparisons))],
    )


def _pair_over_seeds(index: int, runs: Mapping[int, RunSummary], tuning_seeds: Sequence[int]) -> PairOverSeeds:
    pairs = {seed: run.comparisons[index] for seed, run in runs.items() if index < len(run.comparisons)}
    shapes = {(pair.treatment, pair.baseline, *sorted(pair.suites), *sorted(pair.tasks)) for pair in pairs.values()}
    if len(pairs) != len(runs) or len(shapes) != 1:
        raise DataError("the seeds compare different checkpoints, suites or tasks; run all of them with one recipe.")
    first = next(iter(pairs.values()))
    tasks = {
        name: _over_seeds([_seed_entry(seed, pair.tasks[name]) for seed, pair in pairs.items()], tuning_seeds)
        for name in first.tasks
    }
    suites = {
        name: _over_seeds([_seed_entry(seed, pair.suites[name]) for seed, pair in pairs.items()], tuning_seeds)
        for name in first.suites
    }
    members = {name: [tasks[task].difference for task in tasks if first.tasks[task].suite == name] for name in suites}
    suites = {
        name: entry.model_copy(update={"p_tasks": sign_flips_of_several(members[name])})
        for name, entry in suites.items()
    }
    return PairOverSeeds(
        treatment=first.treatment,
        baseline=first.baseline,
        suites=_adjusted(suites),
        tasks=_adjusted(tasks),
        validation_loss=_losses_over_seeds(first.treatment, first.baseline, runs, tuning_seeds),
    )


def _adjusted(entries: Mapping[str, SeedsEntry]) -> dict[str, SeedsEntry]:
    """Put Holm's p beside each p over seeds; where t cannot hold there is none, which counts as finding nothing."""
    adjusted = holm([1.0 if entry.p is None else entry.p for entry in entries.values()])
    return {
        name: entry.model_copy(update={"p_holm": None if entry.p is None else p_holm})
        for (name, entry), p_holm in zip(entries.items(), adjusted, strict=True)
    }


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


def _over_seeds(rows: list[SeedEntry], tuning_seeds: Sequence[int]) -> SeedsEntry:
    counted = [row for row in rows if row.seed not in tuning_seeds]
    found = difference_over_seeds([row.difference for row in counted])
    return SeedsEntry(
        treatment=sum(row.treatment for row in counted) / len(counted),
        baseline=sum(row.baseline for row in counted) / len(counted),
        difference=found.mean,
        ci=(found.ci.low, found.ci.high) if found.ci else None,
        p=found.p,
        p_method=f"no t test: {found.refusal}" if found.refusal else "one-sample t test over seeds",
        p_exact=found.p_exact,
        num_positive=found.num_positive,
        n=found.n,
        seeds=rows,
    )


def _losses_over_seeds(
    treatment: str, baseline: str, runs: Mapping[int, RunSummary], tuning_seeds: Sequence[int]
) -> SeedsEntry | None:
    rows = []
    for seed, run in runs.items():
        left, right = run.validation_losses.get(treatment), run.validation_losses.get(baseline)
        if left is None or right is None:
            return None
        difference = left - right
        rows.append(
            SeedEntry(seed=seed, treatment=left, baseline=right, difference=difference, ci=None, p=None, n=None)
        )
    return _over_seeds(rows, tuning_seeds)


def report_text(summary: SeedsSummary) -> str:
    """Return the summary over seeds as Markdown."""
    seeds = summary.seeds
    tuning = ", ".join(map(str, summary.tuning_seeds))
    parts = [
        f"# {summary.recipe}: {len(seeds)} seed{'s' if len(seeds) != 1 else ''}",
        "Scores in percent, differences in points. A seed's interval and p are over its questions (paired bootstrap, "
        "sign-flip permutation); those of the mean are over seeds (Student's t where it can hold, and beside it the "
        "exact sign-flip p, whose smallest value with n seeds is 2 / 2^n). p of several suites, or tasks, is adjusted "
        "by Holm's method over them.",
        f"Settings were chosen on seed {tuning}, which is shown and counts in no mean and no p."
        if tuning
        else "A seed on which settings were chosen should not be among them; `tuning_seeds` in the recipe names it.",
    ]
    for pair in summary.pairs:
        parts += _pair_text(pair, summary.tuning_seeds)
    return "\n\n".join(parts) + "\n"


def _pair_text(pair: PairOverSeeds, tuning: Sequence[int]) -> list[str]:
    names = fmt.label_name(pair.treatment), fmt.label_name(pair.baseline)
    parts = [f"## {names[0]} against {names[1]}"]
    for suite, entry in pair.suites.items():
        table = _table(names, entry, fmt.percent, fmt.points, fmt.interval, tuning)
        parts += [f"### {suite}", _verdict(names, entry), table]
    if pair.tasks:
        parts += ["### By task, mean over seeds", _task_table(names, pair.tasks)]
    if pair.validation_loss:
        parts += [
            "### Last loss on clean held-out text (nats; lower is better)",
            _table(names, pair.validation_loss, _nats, _nats_signed, _nats_ci, tuning),
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
    if entry.p_tasks is not None:
        exact += f"; over the tasks instead of seeds {fmt.p_clause(entry.p_tasks)}"
    if entry.ci is None:
        return f"{text} ({entry.p_method}; {exact})."
    holm_p = f", {fmt.p_value(entry.p_holm)} by Holm over suites" if entry.p_holm not in (None, entry.p) else ""
    return f"{text} (95% CI {fmt.interval(entry.ci)}, {fmt.p_clause(entry.p)} by Student's t{holm_p}; {exact})."


def _table(
    names: tuple[str, str],
    entry: SeedsEntry,
    score: Callable[[float], str],
    difference: Callable[[float], str],
    bounds: Callable[[Bounds], str],
    tuning: Sequence[int],
) -> str:
    lines = [f"| seed | {names[0]} | {names[1]} | difference | 95% CI | p over questions | n |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    rows: list[tuple[str, SeedEntry | SeedsEntry, str]] = [
        (f"{row.seed} (not counted)" if row.seed in tuning else str(row.seed), row, fmt.count(row.n))
        for row in entry.seeds
    ]
    for name, row, n in [*rows, ("mean", entry, f"{entry.n} seeds")]:
        cells = [name, score(row.treatment), score(row.baseline), difference(row.difference), bounds(row.ci)]
        p = f"{fmt.p_value(row.p)} over seeds" if row is entry and row.p is not None else fmt.p_value(row.p)
        lines.append("| " + " | ".join([*cells, p, n]) + " |")
    return "\n".join(lines)


def _task_table(names: tuple[str, str], tasks: Mapping[str, SeedsEntry]) -> str:
    lines = [
        f"| task | {names[0]} | {names[1]} | difference | 95% CI | p over seeds | p, Holm | ahead in |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for task, entry in tasks.items():
        cells = [task, fmt.percent(entry.treatment), fmt.percent(entry.baseline), fmt.points(entry.difference)]
        ahead = f"{entry.num_positive} of {entry.n}"
        cells += [fmt.interval(entry.ci), fmt.p_value(entry.p), fmt.p_value(entry.p_holm), ahead]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _nats(value: float) -> str:
    return f"{value:.4f}"


def _nats_signed(value: float) -> str:
    return fmt.signed(value, 4)


def _nats_ci(bounds: Bounds) -> str:
    return fmt.NONE if bounds is None else f"{_nats_signed(bounds[0])} to {_nats_signed(bounds[1])}"
