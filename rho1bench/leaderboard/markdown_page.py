"""``results/LEADERBOARD.md``."""

from __future__ import annotations

from rho1bench.leaderboard.board import Board


def markdown_page(board: Board) -> str:
    """Return the page."""
    return "\n".join(["# Leaderboard", "", *(f"- {record.id}" for record in board.records)]) + "\n"
