"""What the leaderboard shows, before it is written out: a pure function of the records and the paper's tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rho1bench.leaderboard.record import Record


@dataclass(frozen=True)
class Board:
    """All that the two pages need."""

    records: Sequence[Record]


def make_board(records: Sequence[Record]) -> Board:
    """Return the board of ``records`` (in the order of their ids)."""
    return Board(records)
