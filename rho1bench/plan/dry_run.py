"""What ``rho1bench run --dry-run`` shows: every stage with its sizes and what would be done, variants as one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.table import Table

from rho1bench.pipeline.decision import Decision
from rho1bench.plan.estimate import reference_shape
from rho1bench.plan.tables import known_sum, short
from rho1bench.recipe import Recipe, ScoreStage, StageBase, TrainStage
from rho1bench.recipe.differences import keys_by_axis, labels_in
from rho1bench.recipe.models.corpus import CorpusStage
from rho1bench.recipe.texts import stages_read
from rho1bench.sizing.flops import FORWARD, flops_per_token

NUMBERS = ("steps", "tokens", "blocks", "weights", "FLOPs", "disk")
SHOWN_LABELS = 6


@dataclass(frozen=True)
class Row:
    """One stage, or all variants of one matrix; sizes of variants are added up, weights are those of the largest."""

    name: str
    kind: str
    reads: Sequence[str]
    steps: int | None = None
    tokens: int | None = None
    blocks: int | None = None
    documents: int | None = None
    weights: int | None = None
    flops: float | None = None
    bytes: int | None = None
    would: Counter[str] = field(default_factory=Counter)

    @property
    def number(self) -> int:
        """Stages in this row."""
        return self.would.total()


def plan_table(recipe: Recipe, decisions: Iterable[tuple[StageBase, Decision]], every: bool = False) -> Table:
    """Return the plan as a table with a total; the caption tells of axes, and why a finished stage would run again.

    Args:
        recipe: the recipe, matrices expanded.
        decisions: its stages in order, and what a run would do with each.
        every: a row for each variant, in place of one for all of a matrix.
    """
    decided = list(decisions)
    rows = [_row(stage, decision, recipe, every) for stage, decision in decided]
    if not every:
        rows = [_together(list(members)) for _, members in groupby(rows, key=lambda row: row.name)]
    table = Table(
        title=f"plan of {recipe.name}, seed {recipe.seed}",
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        show_footer=True,
    )
    table.add_column("stage", no_wrap=True, footer="total")
    table.add_column("kind", no_wrap=True, footer=_plural(len(decided), "stage"))
    table.add_column("reads")
    totals = {"tokens": short(known_sum(row.tokens for row in rows if row.kind in ("pretrain", "sft")))}
    totals |= {
        "FLOPs": short(known_sum(row.flops for row in rows)),
        "disk": short(known_sum(row.bytes for row in rows), "B"),
    }
    for column in NUMBERS:
        table.add_column(column, justify="right", no_wrap=True, footer=totals.get(column, ""))
    table.add_column("would", no_wrap=True, footer=_would(sum((row.would for row in rows), Counter())))
    for row in rows:
        table.add_row(*_cells(row))
    table.caption = "\n".join([*([] if every else _axes(recipe)), *_reasons(decided, every)]) or None
    return table


def plan_rows(recipe: Recipe, decisions: Iterable[tuple[StageBase, Decision]]) -> list[dict[str, object]]:
    """Return the plan as one mapping a stage, variants each by themselves; sizes that are not known are None."""
    rows = ((_row(stage, decision, recipe, every=True), recipe.seed_of(stage)) for stage, decision in decisions)
    return [asdict(row) | {"would": next(iter(row.would)), "seed": seed} for row, seed in rows]


def flops_of(stage: StageBase, recipe: Recipe) -> float | None:
    """Return the operations of training or scoring; None for other kinds, and for a model that is not known here."""
    tokens = stage.sizes(recipe).tokens
    if tokens is None:
        return None
    if isinstance(stage, TrainStage):
        shape = stage.shape(recipe)
        return None if shape is None else tokens * flops_per_token(shape, stage.sequence_length(recipe))
    if isinstance(stage, ScoreStage) and (shape := reference_shape(recipe, stage.reference)) is not None:
        return FORWARD * tokens * flops_per_token(shape, recipe.stage(stage.corpus, CorpusStage).block_size)
    return None


def _row(stage: StageBase, decision: Decision, recipe: Recipe, every: bool) -> Row:
    sizes = stage.sizes(recipe)
    read = (recipe.stage(name) for name in stages_read(stage))
    return Row(
        name=stage.name if every else _title(stage),
        kind=stage.kind,
        reads=list(dict.fromkeys(other.name if every else _title(other) for other in read)),
        steps=sizes.steps,
        tokens=sizes.tokens,
        blocks=sizes.blocks,
        documents=sizes.documents,
        weights=sizes.weights,
        flops=flops_of(stage, recipe),
        bytes=sizes.bytes,
        would=Counter([decision.word]),
    )


def _title(stage: StageBase) -> str:
    return stage.name if stage.variant is None else f"{stage.variant.group}-*"


def _together(rows: Sequence[Row]) -> Row:
    """Return several variants as one row."""
    return Row(
        name=rows[0].name,
        kind=rows[0].kind,
        reads=list(dict.fromkeys(name for row in rows for name in row.reads)),
        steps=known_sum(row.steps for row in rows),
        tokens=known_sum(row.tokens for row in rows),
        blocks=known_sum(row.blocks for row in rows),
        documents=known_sum(row.documents for row in rows),
        weights=max((row.weights for row in rows if row.weights is not None), default=None),
        flops=known_sum(row.flops for row in rows),
        bytes=known_sum(row.bytes for row in rows),
        would=sum((row.would for row in rows), Counter()),
    )


def _cells(row: Row) -> list[str]:
    return [
        row.name if row.number == 1 else f"{row.name} ({row.number})",
        row.kind,
        ", ".join(row.reads),
        short(row.steps),
        short(row.tokens),
        short(row.blocks) if row.documents is None else f"{short(row.documents)} docs",
        short(row.weights),
        short(row.flops),
        short(row.bytes, "B"),
        next(iter(row.would)) if row.number == 1 else _would(row.would),
    ]


def _would(counts: Counter[str]) -> str:
    return ", ".join(f"{word} {number}" for word, number in counts.items())


def _axes(recipe: Recipe) -> Iterator[str]:
    """Yield one line for each axis of each matrix: its labels, and the keys that differ with them and nothing else."""
    for group in dict.fromkeys(stage.variant.group for stage in recipe.stages if stage.variant is not None):
        members = [labels for stage in recipe.stages if (labels := labels_in(stage, group))]
        for axis, keys in keys_by_axis(recipe, group).items():
            shown = list(dict.fromkeys(labels[axis] for labels in members))
            others = [key for key in keys if key != axis]
            along = f"; with it {_some(others)}" if others else ""
            yield f"{group}-*: {axis}: {_some(shown)}{along}"


def _some(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:SHOWN_LABELS])
    return shown if len(labels) <= SHOWN_LABELS else f"{shown} and {len(labels) - SHOWN_LABELS} more"


def _reasons(decided: Sequence[tuple[StageBase, Decision]], every: bool) -> list[str]:
    """Return why stages would run again, or what is to be accepted; the same reason of several variants once."""
    words = [
        f"{stage.name if every else _title(stage)}: {decision.reason}"
        for stage, decision in decided
        if decision.set_aside or decision.versions
    ]
    return list(dict.fromkeys(words))


def _plural(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
