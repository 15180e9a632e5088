"""SLM minus CLM on the leaderboard: the comparisons that records carry, and their mean over the seeds of a recipe.

A single comparison speaks of the sampled documents (paired bootstrap, exact McNemar or sign flips, Holm over tasks);
the mean over seeds of training itself (Student's t where it can hold, Holm over tasks, and the exact sign-flip p).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rho1bench.comparison.statistics import difference_over_seeds, holm
from rho1bench.leaderboard.records.record import ComparisonRecord, Difference, SpeedUp
from rho1bench.leaderboard.records.record_summary import RecordSummary
from rho1bench.leaderboard.tables.table import Cell, Column, Group, Row, Table, percent, task_title
from rho1bench.rendering.numbers import SIGNIFICANT, label_name, p_clause, signed

FACTS = ("Held-out loss, nats", "Tokens to baseline")


def difference_table(
    key: str, title: str, records: Sequence[RecordSummary], by_id: Mapping[str, RecordSummary]
) -> Table | None:
    """Return the differences of ``records`` of one suite; None where there are none."""
    pairs = [(record, record.comparison) for record in records if record.comparison is not None]
    if not pairs:
        return None
    first = records[0]
    tasks = (Column(task_title(name), task.n) for name, task in first.tasks.items())
    columns = (Column("Average", first.average.n), *tasks)
    return Table(key, title, "differences", FACTS, columns, tuple(_groups(pairs, by_id)))


def _groups(pairs: Sequence[tuple[RecordSummary, ComparisonRecord]], by_id: Mapping[str, RecordSummary]) -> list[Group]:
    groups: dict[tuple[str, ...], list[tuple[RecordSummary, ComparisonRecord]]] = {}
    for record, comparison in pairs:
        groups.setdefault(_pair_key(record, by_id.get(comparison.baseline)), []).append((record, comparison))
    found = []
    for (title, *_), members in sorted(groups.items()):
        members.sort(key=lambda pair: (_seed(pair[0]), pair[0].id))
        losses = [loss_difference(record, by_id.get(comparison.baseline)) for record, comparison in members]
        rows = [_row(record, comparison, loss) for (record, comparison), loss in zip(members, losses, strict=True)]
        if len(members) > 1:
            rows.insert(0, _mean_row(rows, losses))
        found.append(Group(title, tuple(rows)))
    return found


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


def _row(record: RecordSummary, comparison: ComparisonRecord, loss: float | None) -> Row:
    cells = (
        difference_cell(comparison.average),
        *(difference_cell(comparison.tasks[name]) for name in record.tasks),
    )
    name = f"seed {record.training.seed}" if record.training else record.model.name
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


def _mean_row(rows: Sequence[Row], losses: Sequence[float | None]) -> Row:
    """Return the mean over seeds; every row has the same columns."""
    columns = [
        [cell.value for cell in column if cell.value is not None]
        for column in zip(*(row.cells for row in rows), strict=True)
    ]
    spreads = [difference_over_seeds(values) for values in columns]
    adjusted = [None, *holm([spread.p if spread.p is not None else 1.0 for spread in spreads[1:]])]
    cells = []
    for spread, p_holm in zip(spreads, adjusted, strict=True):
        p = spread.p if p_holm is None else p_holm
        ci = (spread.ci.low, spread.ci.high) if spread.ci else None
        marked = spread.p is not None and p is not None and p < SIGNIFICANT
        holm_p = None if spread.p is None else p_holm
        cells.append(Cell(spread.mean, ci, spread.p, holm_p, marked=marked, p_exact=spread.p_exact))
    return Row(f"mean of {len(rows)} seeds", "seeds", (_mean_loss(losses), None), tuple(cells), num_seeds=len(rows))


def tokens_text(speed_up: SpeedUp | None) -> str | None:
    """Return after what share of the baseline's tokens its final accuracy is reached."""
    if speed_up is None:
        return None
    if speed_up.share is None:
        return "not reached"
    return f"{'at most ' if speed_up.at_first_point else ''}{100.0 * speed_up.share:.0f}%"
