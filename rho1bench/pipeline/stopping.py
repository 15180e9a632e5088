"""A run that is asked to stop: SIGTERM or SIGUSR1 to the runner, and training saves its state before everything ends.

Schedulers send them before they take machines away. Training notes the wish and leaves a resume point at the end of the
step (``saving_first``); whatever else is under way may be killed at any moment and simply ends. The runner hands the
wish on to the processes of stages over their standard input (``stage_process``).
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rho1bench.errors import Stopped

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
Action = Callable[[], None]


class _Wish:
    """Whether this process has been asked to stop, and what it is about."""

    asked = False
    is_saving = False
    pass_on: Action | None = None
    """How children learn of it, where children do the work."""


def is_asked() -> bool:
    """Tell whether this process has been asked to stop."""
    return _Wish.asked


def stop_if_asked() -> None:
    """Raise :class:`Stopped` if this process has been asked to stop."""
    if _Wish.asked:
        raise Stopped


def ask(end: Action) -> None:
    """Note the wish; call ``end`` unless training, or a child, is to leave a resume point first.

    A second wish ends at once.
    """
    again, _Wish.asked = _Wish.asked, True
    if not again and _Wish.pass_on is not None:
        _Wish.pass_on()
    elif again or not _Wish.is_saving:
        end()


@contextmanager
def saving_first() -> Iterator[None]:
    """Inside, a wish to stop is only noted: whoever works here looks at :func:`is_asked` and saves."""
    _Wish.is_saving = True
    try:
        yield
    finally:
        _Wish.is_saving = False


@contextmanager
def passing_on(pass_on: Action) -> Iterator[None]:
    """Inside, children do the work: a wish to stop is handed to them, and they end when they have saved."""
    _Wish.pass_on = pass_on
    try:
        yield
    finally:
        _Wish.pass_on = None


@contextmanager
def stops_on_signals() -> Iterator[None]:
    """Inside, :data:`SIGNALS` raise :class:`Stopped` in the main thread, once what is under way has been saved."""
    before = {number: signal.signal(number, _on_signal) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _Wish.asked = False


def _on_signal(number: int, frame: FrameType | None) -> None:
    ask(_raise)


def _raise() -> None:
    raise Stopped
