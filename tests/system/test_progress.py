"""Progress away from a terminal: a line every few seconds, with the time left where the total is known."""

from __future__ import annotations

import pytest
from rich.console import Console

from rho1bench.system import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves by hand."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("total", "line"),
    [(100, "slm: 25/100 steps, about 36 s left  loss 2.346  tokens per second 900\n"),
     (0, "slm: 25 steps  loss 2.346  tokens per second 900\n")],
)  # fmt: skip
def test_a_line_comes_when_it_is_time(capsys, clock, total, line):
    shown = progress.Progress("slm", Console(width=100))
    shown.start(total, "steps")
    for step in range(1, 26):
        clock[0] += 0.48
        shown.update(step, loss=2.345678, tokens_per_second=900)
    printed = capsys.readouterr().out.splitlines(keepends=True)
    assert len(printed) == 1
    clock[0] = 23.0
    shown.update(25, loss=2.345678, tokens_per_second=900)
    shown.close()
    assert capsys.readouterr().out == line.replace("36", "69")


def test_too_little_is_done_to_say_how_long_it_takes(capsys, clock):
    shown = progress.Progress("eval", Console(width=100))
    shown.start(12_149, "requests")
    for done in (1, 99, 100):
        clock[0] += 20.0
        shown.update(done)
    first, second, third = capsys.readouterr().out.splitlines()
    assert (first, second) == ("eval: 1/12149 requests", "eval: 99/12149 requests")
    assert third == f"eval: 100/12149 requests, about {60 / 100 * 12_049:.0f} s left"


def test_tracked_items_are_all_yielded_and_silence_is_silent(capsys):
    assert list(progress.SilentProgress("x").track("abc", 3, "letters")) == ["a", "b", "c"]
    assert capsys.readouterr().out == ""


def test_a_bar_on_a_terminal_leaves_nothing_behind(capsys):
    shown = progress.Progress("slm", Console(force_terminal=True, width=100))
    for total in (3, 0):
        shown.start(total, "steps")
        shown.update(1, loss=1.0)
    shown.close()
    assert shown._bar is None
