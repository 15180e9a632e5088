"""``results/LEADERBOARD.md``: the same tables where only Markdown is shown."""

from __future__ import annotations

from pathlib import Path

from rho1bench.drawing.templates import markdown_environment
from rho1bench.leaderboard import formatting as fmt
from rho1bench.leaderboard.board import Board
from rho1bench.leaderboard.page_view import figure_view, table_view
from rho1bench.leaderboard.paper_lines import ARXIV, num_averages

TEMPLATES = Path(__file__).parent / "templates"


def markdown_page(board: Board) -> str:
    """Return the page."""
    template = markdown_environment(TEMPLATES).get_template("leaderboard.md.j2")
    return template.render(
        board=board,
        view=table_view,
        figure_view=figure_view,
        count=fmt.count,
        arxiv=ARXIV,
        num_averages=num_averages(),
    )
