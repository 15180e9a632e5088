"""SLM minus CLM on the leaderboard: the comparisons that records carry, and their mean over the seeds of a recipe.

A single comparison speaks of the sampled documents (paired bootstrap, exact McNemar or sign flips, Holm over tasks);
the mean over seeds of training itself (Student's t where it can hold, Holm over tasks, and the exact sign-flip p). The
p of averages are adjusted over the suites of a pair, and the exact sign-flip p over tasks stands beside them. Seeds on
which a recipe's settings were chosen are shown and not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rho1bench.comparison.statistics import difference_over_seeds, holm, sign_flips_of_several
from rho1bench.leaderboard.records.record import ComparisonRecord, Difference, SpeedUp
from rho1bench.leaderboard.records.record_summary import RecordSummary
from rho1bench.leaderboard.tables.table import Cell, Column, Group, Row, Table, percent, task_title
from rho1bench.rendering.numbers import SIGNIFICANT, label_name, p_clause, signed

FACTS = ("Held-out loss, nats", "Tokens to baseline")


Compared = tuple[RecordSummary, ComparisonRecord]
PairKey = tuple[str, ...]


def difference_table(
    key: str, title: str, records: Sequence[RecordSummary], by_id: Mapping[str, RecordSummary]
) -> Table | None:
    """Return the differences of ``records`` of one suite; None where there are none.

    ``by_id`` holds all records: baselines, and the pairs' other suites, over which p is adjusted.
    """
    if all(record.comparison is None for record in records):
        return None
    first = records[0]
    tasks = (Column(task_title(name), task.n) for name, task in first.tasks.items())
    columns = (Column("Average", first.average.n), *tasks)
    return Table(key, title, "differences", FACTS, columns, tuple(_groups(records, by_id)))


def _groups(records: Sequence[RecordSummary], by_id: Mapping[str, RecordSummary]) -> list[Group]:
    every = _pairs(list(by_id.values()), by_id)
    found = []
    for pair, members in sorted(_pairs(records, by_id).items()):
        suites = _members_by_suite(every[pair], members[0][0])
        losses = [loss_difference(record, by_id.get(comparison.baseline)) for record, comparison in members]
        rows = [_row(one, comparison, loss, suites) for (one, comparison), loss in zip(members, losses, strict=True)]
        counted = [index for index, (record, _) in enumerate(members) if record.counts]
        if len(members) > 1 and counted:
            own = [rows[index] for index in counted], [losses[index] for index in counted]
            rows.insert(0, _mean_row(*own, _mean_p_over_suites(suites, members[0][0].suite)))
        found.append(Group(pair[0], tuple(rows)))
    return found


def _pairs(records: Sequence[RecordSummary], by_id: Mapping[str, RecordSummary]) -> dict[PairKey, list[Compared]]:
    """Return the compared records by pair, seeds ascending."""
    groups: dict[PairKey, list[Compared]] = {}
    for record in sorted(records, key=lambda one: (_seed(one), one.id)):
        if record.comparison is not None:
            key = _pair_key(record, by_id.get(record.comparison.baseline))
            groups.setdefault(key, []).append((record, record.comparison))
    return groups


def _members_by_suite(members: Sequence[Compared], like: RecordSummary) -> dict[str, list[Compared]]:
    """Return the members of a pair by suite, of those of one scale and limit."""
    suites: dict[str, list[Compared]] = {}
    for record, comparison in members:
        if (record.scale, record.limit) == (like.scale, like.limit):
            suites.setdefault(record.suite, []).append((record, comparison))
    return suites


def _mean_p_over_suites(suites: Mapping[str, Sequence[Compared]], suite: str) -> float | None:
    """Return the p of a pair's mean average on ``suite``, adjusted over its suites; None where it has one only."""
    tests = {
        name: difference_over_seeds([comparison.average.difference for record, comparison in members if record.counts])
        for name, members in suites.items()
        if any(record.counts for record, _ in members)
    }
    return _adjusted({name: test.p for name, test in tests.items()}, suite)


def _adjusted(p_values: Mapping[str, float | None], name: str) -> float | None:
    """Return Holm's p of one of several tests; None where there are not several, or where it has no p."""
    if len(p_values) < 2 or p_values[name] is None:
        return None
    every = holm([1.0 if p is None else p for p in p_values.values()])
    return dict(zip(p_values, every, strict=True))[name]


def _pair_key(record: RecordSummary, baseline: RecordSummary | None) -> tuple[str, ...]:
    """Title of a comparison, then what tells apart those of one title."""
    other = baseline.model.name if baseline else (record.comparison.baseline if record.comparison else "")
    if record.training is None:
        return f"{record.model.name} − {other}", record.id
    facts = record.training
    if baseline is not None and baseline.training is not None:
        other = label_name(baseline.training.stage)
    return f"{facts.recipe}: {label_name(facts.stage)} − {other}", facts.recipe_sha256


def _seed(record: RecordSummary) -> int:
    return record.training.seed if record.training else 0


def _row(
    record: RecordSummary,
    comparison: ComparisonRecord,
    loss: float | None,
    suites: Mapping[str, Sequence[Compared]],
) -> Row:
    same_seed = {
        name: other.average.p
        for name, members in suites.items()
        for one, other in members
        if _seed(one) == _seed(record)
    }
    average = comparison.average.model_copy(update={"p_holm": _adjusted(same_seed, record.suite)})
    p_tasks = sign_flips_of_several([entry.difference for entry in comparison.tasks.values()])
    cells = (
        replace(difference_cell(average), p_tasks=p_tasks),
        *(difference_cell(comparison.tasks[name]) for name in record.tasks),
    )
    name = f"seed {record.training.seed}" if record.training else record.model.name
    name += "" if record.counts else " (settings chosen on it; not counted)"
    facts = (None if loss is None else signed(loss, 3), tokens_text(comparison.tokens_to_baseline))
    return Row(name, "rho1bench", facts, cells, record.origin)


def loss_difference(record: RecordSummary, baseline: RecordSummary | None) -> float | None:
    """Return the difference of the last losses on the recipe's held-out text, in nats; below zero is better."""
    losses = [one.training.validation_loss if one and one.training else None for one in (record, baseline)]
    return None if losses[0] is None or losses[1] is None else losses[0] - losses[1]


def _mean_loss(losses: Sequence[float | None]) -> str | None:
    known = [loss for loss in losses if loss is not None]
    if len(known) < len(losses):
        return None
    found = difference_over_seeds(known)
    bounds = f" ({signed(found.ci.low, 3)} to {signed(found.ci.high, 3)}), {p_clause(found.p)}" if found.ci else ""
    exact = f", exact {p_clause(found.p_exact)}" if found.p_exact is not None else ""
    return f"{signed(found.mean, 3)}{bounds}{exact}"


def difference_cell(entry: Difference) -> Cell:
    """Return one difference in points; marked where its p (Holm's, if it has one) is significant."""
    p = entry.p if entry.p_holm is None else entry.p_holm
    return Cell(100.0 * entry.difference, percent(entry.ci), entry.p, entry.p_holm, marked=p < SIGNIFICANT)


def _mean_row(rows: Sequence[Row], losses: Sequence[float | None], average_p_holm: float | None) -> Row:
    """Return the mean over seeds; every row has the same columns."""
    columns = [
        [cell.value for cell in column if cell.value is not None]
        for column in zip(*(row.cells for row in rows), strict=True)
    ]
    spreads = [difference_over_seeds(values) for values in columns]
    adjusted = [average_p_holm, *holm([spread.p if spread.p is not None else 1.0 for spread in spreads[1:]])]
    cells = []
    for spread, p_holm in zip(spreads, adjusted, strict=True):
        p = spread.p if p_holm is None else p_holm
        ci = (spread.ci.low, spread.ci.high) if spread.ci else None
        marked = spread.p is not None and p is not None and p < SIGNIFICANT
        holm_p = None if spread.p is None else p_holm
        cells.append(Cell(spread.mean, ci, spread.p, holm_p, marked=marked, p_exact=spread.p_exact))
    p_tasks = sign_flips_of_several([cell.value for cell in cells[1:] if cell.value is not None])
    cells[0] = replace(cells[0], p_tasks=p_tasks)
    return Row(f"mean of {len(rows)} seeds", "seeds", (_mean_loss(losses), None), tuple(cells), num_seeds=len(rows))


def tokens_text(speed_up: SpeedUp | None) -> str | None:
    """Return after what share of the baseline's tokens its final accuracy is reached."""
    if speed_up is None:
        return None
    if speed_up.share is None:
        return "not reached"
    return f"{'at most ' if speed_up.at_first_point else ''}{100.0 * speed_up.share:.0f}%"
