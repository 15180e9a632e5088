"""Live progress for long work: a rich bar on a terminal, a line every few seconds elsewhere.

The runner hands one :class:`Progress` to each stage; stages report numbers and know nothing of terminals.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 10.0
_SHARE_TO_JUDGE_BY, _DONE_TO_JUDGE_BY = 0.02, 100
"""Of all units, and in units: with fewer finished since the first report, nothing is said of the time that is left."""


class Board:
    """The one live display of a console: a bar for each stage that runs right now."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars: RichProgress | None = None
        self._lock = Lock()

    def add(self, label: str, total: int) -> TaskID:
        """Show one more bar."""
        with self._lock:
            if self._bars is None:
                self._bars = _bars(self.console)
                self._bars.start()
            return self._bars.add_task(label, total=total, info="")

    def update(self, bar: TaskID, done: int, info: str) -> None:
        """Move a bar."""
        if self._bars is not None:
            self._bars.update(bar, completed=done, info=info)

    def remove(self, bar: TaskID) -> None:
        """Take a bar away, and the display with the last one."""
        with self._lock:
            if self._bars is None:
                return
            self._bars.remove_task(bar)
            if not self._bars.tasks:
                self._bars.stop()
                self._bars = None


def _bars(console: Console) -> RichProgress:
    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[info]}"),
        console=console,
        transient=True,
    )


class Progress:
    """Progress of one stage; ``start`` may be called again for each phase of a stage."""

    def __init__(self, label: str, console: Console | None = None, board: Board | None = None) -> None:
        self.label = label
        self.console = console or (board.console if board is not None else Console(stderr=True))
        self._board = board or Board(self.console)
        self._bar: TaskID | None = None
        self._total = 0
        self._unit = ""
        self._last_line = 0.0
        self._first: tuple[int, float] | None = None
        """The first report of a phase: units and time. What came before is no work (a boot), or was done earlier."""

    def start(self, total: int, unit: str) -> None:
        """Begin a phase of ``total`` units (``"steps"``, ``"blocks"``, ``"requests"``); 0 if nobody knows how many."""
        self.close()
        self._total, self._unit = total, unit
        self._last_line, self._first = time.monotonic(), None
        if self.console.is_terminal:
            self._bar = self._board.add(self.label, total)

    def update(self, done: int, **fields: str | float | int) -> None:
        """Report ``done`` units finished so far, with numbers to show beside the bar.

        The time left is reckoned from the phase's first report on: it comes when the first units can be worked at, and
        counts those that need no work.
        """
        if self._first is None:
            self._first = (done, time.monotonic())
        info = "  ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in fields.items())
        if self._bar is not None:
            self._board.update(self._bar, done, info)
            return
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self.message(f"{self._state(done)}  {info}".rstrip())

    def rate(self, done: int) -> float | None:
        """Return units a second since the first report; None as long as too few are ``done`` to judge by."""
        if self._first is None:
            return None
        fresh, seconds = done - self._first[0], time.monotonic() - self._first[1]
        if seconds <= 0 or fresh < max(1, min(self._total * _SHARE_TO_JUDGE_BY, _DONE_TO_JUDGE_BY)):
            return None
        return fresh / seconds

    def _state(self, done: int) -> str:
        if not self._total:
            return f"{done} {self._unit}"
        rate = self.rate(done)
        left = "" if rate is None else f", about {(self._total - done) / rate:.0f} s left"
        return f"{done}/{self._total} {self._unit}{left}"

    def message(self, text: str) -> None:
        """Print one line above the bar."""
        self.console.print(f"{self.label}: {text}", markup=False, highlight=False, soft_wrap=True)

    def track(self, items: Iterable[T], total: int, unit: str) -> Iterator[T]:
        """Yield ``items`` while counting them."""
        self.start(total, unit)
        for done, item in enumerate(items, start=1):
            yield item
            self.update(done)
        self.close()

    def close(self) -> None:
        """End the phase and remove its bar."""
        if self._bar is not None:
            self._board.remove(self._bar)
            self._bar = None


class SilentProgress(Progress):
    """Progress that shows nothing: for library use and tests."""

    def __init__(self, label: str = "") -> None:
        super().__init__(label, Console(quiet=True, force_terminal=False))


def _short(value: str | float | int) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
