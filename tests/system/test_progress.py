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
    [(100, "slm: 25/100 steps, about 70 s left  loss 2.346  tokens per second 900\n"),
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
    assert capsys.readouterr().out == line  # 24 steps since the first report, at 0.48 s; 75 are left


@pytest.mark.parametrize("earlier", [0, 5_000])
def test_time_left_is_said_when_enough_is_done_and_knows_no_boot_and_no_earlier_work(capsys, clock, earlier):
    shown = progress.Progress("eval", Console(width=100))
    shown.start(12_149, "requests")
    clock[0] += 500.0  # the engine boots
    shown.update(earlier)  # answers of an earlier run
    for done in (1, 99, 100):
        clock[0] += 20.0
        shown.update(earlier + done)
    *early, last = capsys.readouterr().out.splitlines()
    assert early == [f"eval: {earlier + done}/12149 requests" for done in (0, 1, 99)]
    left = 60 / 100 * (12_049 - earlier)
    assert last == f"eval: {earlier + 100}/12149 requests, about {left:.0f} s left"


def test_of_a_short_phase_a_fiftieth_is_enough(capsys, clock):
    shown = progress.Progress("slm", Console(width=100))
    shown.start(200, "steps")
    for done in (51, 54, 55):  # 50 steps are those of a resume point
        clock[0] += 20.0
        shown.update(done)
    assert shown.rate(55) == pytest.approx(4 / 40)
    assert [line.partition(", ")[2] for line in capsys.readouterr().out.splitlines()] == ["", "", "about 1450 s left"]


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
