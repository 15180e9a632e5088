"""Live progress for long work: a rich bar on a terminal, a line every few seconds elsewhere.

The runner hands one :class:`Progress` to each stage; stages report numbers and know nothing of terminals.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Progress of one stage; ``start`` may be called again for each phase of a stage."""

    def __init__(self, label: str, console: Console | None = None) -> None:
        self.label = label
        self.console = console or Console(stderr=True)
        self._bar: RichProgress | None = None
        self._total = 0
        self._unit = ""
        self._began = self._last_line = 0.0

    def start(self, total: int, unit: str) -> None:
        """Begin a phase of ``total`` units (``"steps"``, ``"blocks"``, ``"requests"``); 0 if nobody knows how many."""
        self.close()
        self._total, self._unit = total, unit
        self._began = self._last_line = time.monotonic()
        if self.console.is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[info]}"),
                console=self.console,
                transient=True,
            )
            self._bar.add_task(self.label, total=total or None, info="")
            self._bar.start()

    def update(self, done: int, **fields: str | float | int) -> None:
        """Report ``done`` units finished so far, with numbers to show beside the bar."""
        info = "  ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in fields.items())
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, info=info)
            return
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self.message(f"{self._state(done, now)}  {info}".rstrip())

    def _state(self, done: int, now: float) -> str:
        if not self._total:
            return f"{done} {self._unit}"
        left = (now - self._began) / max(done, 1) * (self._total - done)
        return f"{done}/{self._total} {self._unit}, about {left:.0f} s left"

    def message(self, text: str) -> None:
        """Print one line above the bar."""
        self.console.print(f"{self.label}: {text}", markup=False, highlight=False)

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
            self._bar.stop()
            self._bar = None


class SilentProgress(Progress):
    """Progress that shows nothing: for library use and tests."""

    def __init__(self, label: str = "") -> None:
        super().__init__(label, Console(quiet=True, force_terminal=False))


def _short(value: str | float | int) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
