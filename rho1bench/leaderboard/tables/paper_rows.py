"""The paper's tables 1 to 5 and figure 5 as rows of the leaderboard, to the printed digit.

The printed averages are computed again from the printed cells. Cells and average are rounded to ``DIGIT``, so the two
may differ by half of it for the cells' rounding and half for the average's own, together ``TOLERANCE``; a row beyond
that gets a footnote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from rho1bench.comparison.result_files import JsonObject
from rho1bench.leaderboard.tables.table import Cell, Column, Fact, Group, Row, Table
from rho1bench.paper.tables import paper_tables

ARXIV = "https://arxiv.org/abs/2404.07965"
DIGIT = Fraction(1, 10)
TOLERANCE = DIGIT
_UNITS = {"B": 1_000_000_000, "M": 1_000_000}

FACTS: Mapping[str, Mapping[str, str]] = {
    "1": {"params": "Size", "data": "Corpus", "train_tokens": "Train tokens"},
    "2": {"params": "Size", "sft_data": "SFT data", "tools": "Tools"},
    "3": {"data": "Corpus", "train_tokens": "Train tokens", "score_function": "Score function"},
    "4": {"select_ratio": "Ratio"},
    "5": {"train_tokens": "Train tokens"},
}
"""Which facts of a row the page shows, and their titles."""

RELEASED = "Released with the outputs"
RELEASED_ABOUT = (
    "The accuracy that came with the outputs which the authors released, and what tables 1 and 2 print for the same "
    "model. rho1bench grade gives the released accuracies again from the outputs."
)
_RELEASED_TABLES = {"cot": "1", "tora": "2"}
PAIRS = {
    "1": (("Rho-1-Math", "TinyLlama-CT", 1_100_000_000), ("Rho-1-Math", "Mistral-CT", 7_000_000_000)),
    "2": (("Rho-1-Math", "TinyLlama-CT", 1_100_000_000), ("Rho-1-Math", "Mistral-CT", 7_000_000_000)),
}
"""SLM and CLM of one base model: (treatment, baseline, parameters)."""


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper; ``rows[i]`` has the parameters ``params[i]``."""

    number: str
    title: str
    suite: str | None
    tasks: tuple[str, ...]
    titles: tuple[str, ...]
    sizes: tuple[int, ...]
    rows: tuple[Row, ...]
    params: tuple[int | None, ...]
    notes: tuple[str, ...]


def paper_table(number: str) -> PaperTable:
    """Return a table by its number; its rows are in the paper's order."""
    table = next(table for table in paper_tables()["tables"] if table["table"] == number)
    notes: list[str] = []
    rows = tuple(_row(number, row, notes) for row in table["rows"])
    return PaperTable(
        number=number,
        title=table["title"],
        suite=table["suite"],
        tasks=tuple(table["tasks"]),
        titles=tuple(table["columns"]),
        sizes=tuple(table["num_rows"]),
        rows=rows,
        params=tuple(row.get("params") for row in table["rows"]),
        notes=tuple(notes),
    )


def _row(number: str, row: JsonObject, notes: list[str]) -> Row:
    note = average_note(row["scores"], row["average"])
    if note:
        notes.append(note)
    average = Cell(row["average"], note=len(notes) if note else None)
    name = row["model"] if "model" in row else _score_name(row["score_function"])
    facts = tuple(_fact(row.get(key)) for key in FACTS[number])
    return Row(name, "paper", facts, (average, *(Cell(score) for score in row["scores"])))


def _score_name(text: str) -> str:
    return "all tokens" if text == "none" else text


def _fact(value: object) -> Fact:
    """Return a fact; a number of tokens such as ``10.5B`` as a number."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and value[-1:] in _UNITS and value[:-1].replace(".", "", 1).isdecimal():
        return float(Fraction(value[:-1]) * _UNITS[value[-1]])
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def average_note(scores: Sequence[float | None], average: float | None) -> str | None:
    """Return what a footnote says where the printed average does not follow from the printed cells."""
    if average is None:
        return None
    cells = [Fraction(str(score)) for score in scores if score is not None]
    again = sum(cells, Fraction(0)) / len(cells)
    if len(cells) == len(scores) and abs(again - Fraction(str(average))) <= TOLERANCE:
        return None
    missing = f" ({len(scores) - len(cells)} cells are not reported)" if len(cells) < len(scores) else ""
    return f"The paper prints {average:.1f}; its cells{missing} average {float(again):.2f}."


def num_averages() -> int:
    """Return how many averages the tables print."""
    return sum(row["average"] is not None for table in paper_tables()["tables"] for row in table["rows"])


def figure_five() -> dict[str, float]:
    """Return the differences, in points, of figure 5 by benchmark."""
    return dict(paper_tables()["figure5_general"]["delta"])


def released_table() -> Table:
    """Return the accuracies that came with the released outputs, each beside the paper's printed one."""
    models: dict[str, list[Cell]] = {}
    for model, prompt, data_set, accuracy in paper_tables()["released_outputs"]["rows"]:
        printed = _printed(_RELEASED_TABLES[prompt], model, data_set.upper())
        models.setdefault(model, []).extend((Cell(accuracy), Cell(printed)))
    sets = list(dict.fromkeys(row[2].upper() for row in paper_tables()["released_outputs"]["rows"]))
    columns = tuple(Column(f"{name}, {what}") for name in sets for what in ("released", "printed"))
    rows = tuple(Row(model, "paper", (), tuple(cells)) for model, cells in models.items())
    return Table("table-released", RELEASED, "scores", (), columns, (Group("", rows),))


def _printed(number: str, model: str, title: str) -> float | None:
    """Return the score that table ``number`` prints for a released checkpoint in the column ``title``."""
    table = next(table for table in paper_tables()["tables"] if table["table"] == number)
    name, params = table["checkpoints"][model]
    row = next(row for row in table["rows"] if (row["model"], row.get("params")) == (name, params))
    score: float | None = row["scores"][table["columns"].index(title)]
    return score


def pair_rows(number: str, num_facts: int) -> list[Row]:
    """Return SLM minus CLM of the paper's printed numbers, without intervals: no scores of documents were printed."""
    table = paper_table(number)
    by_name = {(row.name, params): row for row, params in zip(table.rows, table.params, strict=True)}
    rows = []
    for treatment, baseline, params in PAIRS[number]:
        left, right = by_name[treatment, params], by_name[baseline, params]
        cells = tuple(Cell(_minus(one.value, other.value)) for one, other in zip(left.cells, right.cells, strict=True))
        rows.append(Row(f"{treatment} − {baseline}, {params / 1e9:g}B", "paper", (None,) * num_facts, cells))
    return rows


def _minus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else float(Fraction(str(left)) - Fraction(str(right)))
