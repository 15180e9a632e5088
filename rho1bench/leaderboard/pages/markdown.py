"""``results/LEADERBOARD.md``: the same tables where only Markdown is shown."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from rho1bench.leaderboard.pages.text import SELF_REPORTED, CellView, RowView, figure_view, table_view
from rho1bench.leaderboard.tables.board import Board
from rho1bench.leaderboard.tables.paper_rows import ARXIV, RELEASED_ABOUT, num_averages
from rho1bench.rendering import numbers as fmt
from rho1bench.rendering.templates import markdown_environment

TEMPLATES = Path(__file__).parent / "templates"


def markdown_page(board: Board) -> str:
    """Return the page."""
    template = markdown_environment(TEMPLATES).get_template("leaderboard.md.j2")
    return template.render(
        board=board,
        view=table_view,
        cells=_cells,
        figure_view=figure_view,
        count=fmt.count,
        self_reported=SELF_REPORTED,
        arxiv=ARXIV,
        released_about=RELEASED_ABOUT,
        num_averages=num_averages(),
    )


def _cells(row: RowView) -> Markup:
    """Return the cells of a row's numbers."""
    link = row.link if row.by != "paper" else ""
    return Markup("".join([f" {_cell(cell, link)} |" for cell in row.cells]))


def _cell(cell: CellView, link: str) -> str:
    # Thousands of these: plain strings. Their texts are numbers that `pages.text` wrote, not words from outside.
    text = f"[{cell.text}]({link})" if link and cell.text != fmt.NONE else cell.text
    text = f"**{text}**" if cell.marked else text
    text += f" <sup>{cell.note}</sup>" if cell.note else ""
    text += f"<br><sub>{cell.interval}</sub>" if cell.interval else ""
    return text + (f"<br><sub>{cell.p.replace('<', '&lt;')}</sub>" if cell.p else "")
