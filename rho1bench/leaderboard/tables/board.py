"""What the leaderboard shows, before it is written out: a pure function of the records and the paper's tables.

Full records stand in one table with the paper's rows and are ranked and marked; partial ones (a limit of documents, the
mini world, a smoke test) get tables of their own, which mark nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rho1bench.leaderboard.records.contest_record import ContestRecord
from rho1bench.leaderboard.records.record_summary import RecordSummary, selection_text
from rho1bench.leaderboard.tables.accuracy_curves import Figure, accuracy_figures
from rho1bench.leaderboard.tables.contests import ContestBoard, contest_boards
from rho1bench.leaderboard.tables.differences import FACTS as DIFFERENCE_FACTS
from rho1bench.leaderboard.tables.differences import difference_table
from rho1bench.leaderboard.tables.maps import ContestMap, contest_maps
from rho1bench.leaderboard.tables.paper_rows import FACTS, PaperTable, figure_five, pair_rows, paper_table
from rho1bench.leaderboard.tables.significance import Contender, best_beyond_chance
from rho1bench.leaderboard.tables.table import Cell, Column, Fact, Group, Row, Table, score_cells, task_title
from rho1bench.paper.protocol import RANKED_SUITES
from rho1bench.paper.suites import SUITES

MATH, TOOLS, GENERAL = RANKED_SUITES
SUITE_TITLES = {
    MATH: "Math, few-shot chain of thought",
    TOOLS: "Math, tool-integrated after fine-tuning",
    GENERAL: "General, 15 benchmarks",
    "mini_math9": "Nine miniature math tasks",
    "mini_tir7": "Seven miniature tool-integrated tasks",
    "mini_general15": "Fifteen miniature general tasks",
}
SIZES = ((0.5e9, "Under 0.5B parameters"), (3e9, "0.5B to 3B parameters"), (30e9, "3B to 30B parameters"))
LARGEST, UNKNOWN = "Over 30B parameters", "Size not published"
_SELF_REFERENCE = ("reference_loss", "reference_entropy")
WEAK_TO_STRONG = "weak_to_strong"
"""A recipe with this in its name is one of table 5."""


@dataclass(frozen=True)
class Partial:
    """Records that are never ranked: those of one suite with one limit."""

    title: str
    why: str
    mini: bool
    """True: of the mini world or a smoke test; False: of the paper's test sets, but not all documents."""
    scores: Table
    differences: Table | None
    figures: tuple[Figure, ...]
    figures_left_out: int


@dataclass(frozen=True)
class Board:
    """All that the two pages need."""

    num_full: int
    num_partial: int
    math: Table
    tools: Table
    general: Table | None
    figure5: Table
    differences: tuple[Table, ...]
    figures: tuple[Figure, ...]
    figures_left_out: int
    ablations: tuple[Table, ...]
    partial: tuple[Partial, ...]
    contests: tuple[ContestBoard, ...] = ()
    maps: tuple[ContestMap, ...] = ()

    @property
    def all_figures(self) -> tuple[Figure, ...]:
        """The figures of whole evaluations and of trials."""
        return (*self.figures, *(figure for part in self.partial for figure in part.figures))

    @property
    def num_notes(self) -> int:
        """How many printed averages do not follow from their cells."""
        return sum(len(table.notes) for table in (self.math, self.tools, *self.ablations))


def make_board(records: Sequence[RecordSummary], contests: Sequence[ContestRecord] = ()) -> Board:
    """Return the board of ``records`` and ``contests`` (in the order of their ids)."""
    by_id = {record.id: record for record in records}
    full = {suite: [one for one in records if one.scale == "full" and one.suite == suite] for suite in SUITE_TITLES}
    ours = [record for suite in full.values() for record in suite]
    rest = [record for record in records if record.scale != "full"]
    figures, left_out = accuracy_figures(ours, by_id)
    return Board(
        num_full=len(ours),
        num_partial=len(rest),
        math=_ranked("table-1", SUITE_TITLES[MATH], paper_table("1"), full[MATH]),
        tools=_ranked("table-2", SUITE_TITLES[TOOLS], paper_table("2"), full[TOOLS]),
        general=_general(full[GENERAL]),
        figure5=_figure_five(full[GENERAL], by_id),
        differences=tuple(_differences(full, by_id)),
        figures=figures,
        figures_left_out=left_out,
        ablations=tuple(_ablation(number, full[MATH], by_id) for number in ("3", "4", "5")),
        partial=tuple(_partial(rest, by_id)),
        contests=contest_boards(contests),
        maps=contest_maps(contests),
    )


def _ranked(key: str, title: str, paper: PaperTable, records: Sequence[RecordSummary]) -> Table:
    """Return the paper's rows and ours in groups of size, the best average first, marked."""
    lines: list[tuple[Row, int | None, RecordSummary | None]] = [
        (row, params, None) for row, params in zip(paper.rows, paper.params, strict=True)
    ]
    lines += [(_score_row(paper.number, one, paper.tasks), one.model.num_parameters, one) for one in records]
    columns = _columns(paper.titles, paper.sizes)
    groups = []
    for name in (*(title for _, title in SIZES), LARGEST, UNKNOWN):
        members = [(row, record) for row, params, record in lines if size_class(params) == name]
        if members:
            groups.append(Group(name, tuple(_best_first(_marked(members, paper.tasks, paper.sizes)))))
    return Table(key, title, "scores", tuple(FACTS[paper.number].values()), columns, tuple(groups), paper.notes)


def size_class(params: int | None) -> str:
    """Return the title of the group in which a model of so many parameters stands."""
    if not params:
        return UNKNOWN
    return next((title for limit, title in SIZES if params < limit), LARGEST)


def _columns(titles: Sequence[str], sizes: Sequence[int | None]) -> tuple[Column, ...]:
    known = [size for size in sizes if size is not None]
    total = sum(known) if len(known) == len(sizes) else None
    return (Column("Average", total), *(Column(title, n) for title, n in zip(titles, sizes, strict=True)))


def _marked(
    members: Sequence[tuple[Row, RecordSummary | None]], tasks: Sequence[str], sizes: Sequence[int | None]
) -> list[Row]:
    contenders = [
        Contender(
            [cell.value for cell in row.cells], [record.tasks[task].n for task in tasks] if record else sizes, record
        )
        for row, record in members
    ]
    marks = best_beyond_chance(contenders, tasks)
    return [
        replace(
            row, cells=tuple(replace(cell, marked=(place, column) in marks) for column, cell in enumerate(row.cells))
        )
        for place, (row, _) in enumerate(members)
    ]


def _best_first(rows: Iterable[Row]) -> list[Row]:
    """Sort by average; rows without one come last, equal ones stay in order."""
    return sorted(rows, key=lambda row: -1.0 if row.cells[0].value is None else row.cells[0].value, reverse=True)


def _score_row(number: str | None, record: RecordSummary, tasks: Sequence[str]) -> Row:
    facts = tuple(_record_fact(record, key) for key in (FACTS[number] if number else _PARTIAL_FACTS))
    return Row(record.model.name, "rho1bench", facts, score_cells(record, tasks), record.origin)


_PARTIAL_FACTS = {"params": "Size", "train_tokens": "Train tokens"}


def _record_fact(record: RecordSummary, key: str) -> Fact:
    training = record.training
    if key == "params":
        return record.model.num_parameters
    if key == "tools":
        return "yes"
    if training is None:
        return None
    if key == "train_tokens":
        return training.selected_tokens if training.selection else training.tokens
    if key == "score_function":
        return selection_text(training.selection)
    if key == "select_ratio":
        ratio = (training.selection or {"ratio": 1.0}).get("ratio")
        return f"{100 * ratio:g}%" if isinstance(ratio, int | float) else None
    return None


def _general(records: Sequence[RecordSummary]) -> Table | None:
    """Return our rows on the general suite; the paper prints none."""
    if not records:
        return None
    tasks = list(SUITES[GENERAL])
    sizes = [records[0].tasks[task].n for task in tasks]
    groups = []
    for name in (*(title for _, title in SIZES), LARGEST, UNKNOWN):
        members = [
            (_score_row(None, record, tasks), record)
            for record in records
            if size_class(record.model.num_parameters) == name
        ]
        if members:
            groups.append(Group(name, tuple(_best_first(_marked(members, tasks, sizes)))))
    columns = _columns([task_title(task) for task in tasks], sizes)
    return Table(
        "table-general", SUITE_TITLES[GENERAL], "scores", tuple(_PARTIAL_FACTS.values()), columns, tuple(groups)
    )


_FIGURE_FIVE = {"HumanEval": "HumanEval pass@1", "MBPP": "MBPP pass@1", "TyDiQA": "TyDiQA F1"}


def _figure_five(records: Sequence[RecordSummary], by_id: Mapping[str, RecordSummary]) -> Table:
    """Return the paper's differences and those of our pairs; its mean counts pass@1 of the two code sets alone."""
    deltas = figure_five()
    counted = [value for name, value in deltas.items() if not name.endswith("pass@10")]
    mean = Cell(round(sum(counted) / len(counted), 1))
    paper = Row("Rho-1-1B − TinyLlama-CT", "paper", (), (mean, *(Cell(value) for value in deltas.values())))
    groups = [Group("Paper", (paper,))]
    table = difference_table("", "", records, by_id) if records else None
    for group in table.groups if table else ():
        groups.append(Group(group.title, tuple(_in_figure_five(row, tuple(deltas)) for row in group.rows)))
    columns = (Column("Average"), *(Column(name) for name in deltas))
    return Table("figure-5", "Figure 5: SLM minus CLM in general", "differences", (), columns, tuple(groups))


def _in_figure_five(row: Row, names: Sequence[str]) -> Row:
    titles = [_FIGURE_FIVE.get(task_title(task), task_title(task)) for task in SUITES[GENERAL]]
    cells = dict(zip(titles, row.cells[1:], strict=True))
    return replace(row, facts=(), cells=(row.cells[0], *(cells.get(name, Cell(None)) for name in names)))


def _differences(full: Mapping[str, Sequence[RecordSummary]], by_id: Mapping[str, RecordSummary]) -> Iterable[Table]:
    """Yield the differences on the two math suites, the paper's pairs beside ours; figure 5 has the general ones."""
    for number, suite in (("1", MATH), ("2", TOOLS)):
        paper, records = paper_table(number), full[suite]
        table = difference_table(f"differences-{number}", SUITE_TITLES[suite], records, by_id) if records else None
        groups = (
            Group("Paper, from the printed numbers", tuple(pair_rows(number, len(DIFFERENCE_FACTS)))),
            *(table.groups if table else ()),
        )
        columns = _columns(paper.titles, paper.sizes)
        facts = DIFFERENCE_FACTS
        yield Table(f"differences-{number}", SUITE_TITLES[suite], "differences", facts, columns, groups)


def _ablation(number: str, records: Sequence[RecordSummary], by_id: Mapping[str, RecordSummary]) -> Table:
    paper = paper_table(number)
    chosen = dict.fromkeys(record.id for record in records if _belongs(number, record))
    chosen |= dict.fromkeys(
        one.comparison.baseline for one in records if one.id in chosen and one.comparison is not None
    )
    ours = [_score_row(number, by_id[name], paper.tasks) for name in chosen if name in by_id]
    groups = [Group("Paper", paper.rows)] + ([Group("rho1bench", tuple(ours))] if ours else [])
    title = f"Table {number}: {paper.title}"
    columns = _columns(paper.titles, paper.sizes)
    return Table(f"table-{number}", title, "scores", tuple(FACTS[number].values()), columns, tuple(groups), paper.notes)


def _belongs(number: str, record: RecordSummary) -> bool:
    """Tell whether a treatment is one of an ablation: by its score functions, or by its recipe's name."""
    if record.training is None or record.training.selection is None:
        return False
    if number == "5":
        return WEAK_TO_STRONG in record.training.recipe
    text = selection_text(record.training.selection) or ""
    return any(name in text for name in _SELF_REFERENCE) and "excess_loss" not in text


def _partial(records: Sequence[RecordSummary], by_id: Mapping[str, RecordSummary]) -> Iterable[Partial]:
    sets: dict[tuple[str, str, int], list[RecordSummary]] = {}
    for record in records:
        sets.setdefault((record.scale, record.suite, record.limit or 0), []).append(record)
    suites = list(SUITE_TITLES)
    order = sorted(
        sets, key=lambda key: (key[0] != "mini", suites.index(key[1]) if key[1] in suites else len(suites), *key)
    )
    for index, (scale, suite, limit) in enumerate(order, start=1):
        own = sets[scale, suite, limit]
        tasks = list(own[0].tasks)
        rows = tuple(_score_row(None, record, tasks) for record in own)
        columns = _columns([task_title(task) for task in tasks], [own[0].tasks[task].n for task in tasks])
        facts = tuple(_PARTIAL_FACTS.values())
        title = SUITE_TITLES.get(suite, suite)
        scores = Table(f"partial-{index}", f"{title}: scores", "scores", facts, columns, (Group("", rows),))
        differences = difference_table(f"partial-{index}-differences", f"{title}: SLM minus CLM", own, by_id)
        yield Partial(
            title, _why(scale, suite, limit), scale == "mini", scores, differences, *accuracy_figures(own, by_id)
        )


def _why(scale: str, suite: str, limit: int) -> str:
    """Return why records are not ranked."""
    if scale == "mini" and not suite.startswith("mini_"):
        return f"{suite}: none of the paper's suites" + (f"; the first {limit} documents of each task" if limit else "")
    if scale == "mini":
        rows = f", the first {limit} documents of each task" if limit else ""
        return f"{suite}{rows}: small tasks of the embedded mini world, not the paper's test sets"
    if scale == "smoke":
        return f"{suite}: a smoke test of a recipe, far smaller than what it stands for"
    return f"{suite}, the first {limit} documents of each task: a trial" if limit else f"{suite}: not all documents"
