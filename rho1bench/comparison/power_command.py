"""``rho1bench power``: the smallest difference that can be found, as a table of documents by training seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rho1bench.comparison.crossed_effects import FEWEST_SEEDS, Spread
from rho1bench.comparison.observed_spread import ObservedSpread, observed_spread
from rho1bench.comparison.power import ALPHA, Design, power_of, smallest_difference
from rho1bench.errors import UserError

SEEDS, DOCUMENTS, TIMES = (3, 5, 8, 12), (300, 1000, 3000, 10_000), (1, 2, 4, 8)
"""Seeds and documents of the table where none are given; documents as multiples of those of a run."""


@dataclass(frozen=True)
class PowerOptions:
    """What is asked; spreads and the difference in points (bits per byte where the run's suite is in these)."""

    run: Path | None = None
    suite: str | None = None
    documents: Sequence[int] = ()
    seeds: Sequence[int] = ()
    tasks: int | None = None
    sd_seeds: float | None = None
    sd_documents: float | None = None
    sd_residual: float | None = None
    arms: int = 1
    power: float = 0.8
    difference: float | None = None


@dataclass(frozen=True)
class PowerCell:
    """One cell of the tables: differences in the unit of :class:`PowerTables`, chances in percent."""

    documents: int
    seeds: int
    smallest_difference: float
    chance: float | None
    """To find the difference that was asked about."""


@dataclass(frozen=True)
class PowerTables:
    """What ``rho1bench power`` found: words about the spread, and the cells, documents by seeds."""

    about: Sequence[str]
    unit: str
    digits: int
    options: PowerOptions
    cells: Sequence[PowerCell]


def find_power(options: PowerOptions) -> PowerTables:
    """Return the tables; raises ``UserError`` without a spread, ``DataError`` for a run that shows none."""
    observed = observed_spread(options.run, options.suite) if options.run else None
    scale, unit = (1.0, "bits per byte") if observed and observed.unit == "bits per byte" else (100.0, "points")
    spread = _spread(options, observed, scale)
    documents = options.documents or ([observed.num_documents * n for n in TIMES] if observed else DOCUMENTS)
    tasks = options.tasks or (observed.num_tasks if observed else 1)

    def cell(num_documents: int, num_seeds: int) -> PowerCell:
        design = Design(num_seeds, num_documents, tasks, ALPHA / options.arms)
        smallest = scale * smallest_difference(spread, design, power=options.power)
        asked = options.difference
        chance = None if asked is None else 100 * power_of(asked / scale, spread, design)
        return PowerCell(num_documents, num_seeds, smallest, chance)

    cells = [cell(count, number) for count in documents for number in options.seeds or SEEDS]
    about = _about(observed, spread, options, scale, unit)
    return PowerTables(about, unit, 1 if scale > 1 else 4, options, cells)


def print_power(found: PowerTables, console: Console) -> None:
    """Print the tables, and the first cell in words."""
    options, digits = found.options, found.digits
    for line in found.about:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    level = f"p < {ALPHA / options.arms:.2g}"
    title = f"smallest difference in {found.unit} that {level} finds with a chance of {options.power:.0%}"
    console.print(_table(title, found.cells, lambda cell: f"{cell.smallest_difference:.{digits}f}"))
    if options.difference is not None:
        title = f"chance that {level} finds a difference of {options.difference:g} {found.unit}"
        console.print(_table(title, found.cells, lambda cell: f"{cell.chance:.0f}%"))
    first = found.cells[0]
    words = f"{first.seeds} seeds, {first.documents:,} documents: {first.smallest_difference:.{digits}f} {found.unit}"
    console.print(f"{words} at {options.power:.0%}", highlight=False)


def _spread(options: PowerOptions, observed: ObservedSpread | None, scale: float) -> Spread:
    """Return the observed spread, with what was given in its place."""
    given = {"seeds": options.sd_seeds, "documents": options.sd_documents, "residual": options.sd_residual}
    known = {name: value / scale for name, value in given.items() if value is not None}
    missing = [f"--sd-{name}" for name in ("seeds", "documents") if name not in known]
    if observed is None and missing:
        raise UserError(
            f"which spread? Give a finished run or a contest's record to take it from, or {' and '.join(missing)} in "
            "points (0 to 100)."
        )
    own = observed.spread if observed else Spread(0.0, 0.0, 0.0)
    return Spread(**({"seeds": own.seeds, "documents": own.documents, "residual": own.residual} | known))


def _about(
    observed: ObservedSpread | None, spread: Spread, options: PowerOptions, scale: float, unit: str
) -> list[str]:
    digits = 2 if scale > 1 else 4
    parts = (("seeds", spread.seeds), ("documents", spread.documents), ("seed and document", spread.residual))
    numbers = ", ".join(f"{name} {scale * value:.{digits}f}" for name, value in parts)
    lines = [f"standard deviations of a difference, {unit}: {numbers}"]
    if observed is not None:
        seeds = f"{observed.num_seeds} seed{'s' if observed.num_seeds != 1 else ''}"
        lines.insert(0, f"{observed.what}; {seeds}, {observed.num_documents:,} documents")
        if observed.num_seeds < FEWEST_SEEDS and options.sd_seeds is None:
            lines.append(f"{seeds} tell no spread between seeds, which counts as 0 here; give --sd-seeds")
    if min(options.seeds or SEEDS) < FEWEST_SEEDS:
        lines.append(f"with fewer than {FEWEST_SEEDS} seeds the test speaks of other documents, not of other seeds")
    return lines


def _table(title: str, cells: Sequence[PowerCell], words: Callable[[PowerCell], str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("documents", justify="right")
    for number in dict.fromkeys(cell.seeds for cell in cells):
        table.add_column(f"{number} seed{'s' if number > 1 else ''}", justify="right")
    for count in dict.fromkeys(cell.documents for cell in cells):
        table.add_row(f"{count:,}", *(words(cell) for cell in cells if cell.documents == count))
    return table
