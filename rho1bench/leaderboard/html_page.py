"""``results/leaderboard.html``."""

from __future__ import annotations

from html import escape

from rho1bench.leaderboard.board import Board


def html_page(board: Board) -> str:
    """Return the page."""
    return "\n".join(escape(record.id) for record in board.records) + "\n"
