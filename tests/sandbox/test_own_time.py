"""Verdicts on time depend on the program alone: its own time counts, and time-outs beside others run again apart."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rho1bench.sandbox import programs, run_program, run_programs
from rho1bench.sandbox.fork_server import ForkServer, ProgramEnd
from rho1bench.sandbox.inside.usage import OwnTime, Processes

BUSY = "import time\nwhile time.process_time() < 0.5: pass\nprint('through')"
HOGS = 6


@contextmanager
def one_busy_core() -> Iterator[None]:
    """All that starts here shares one core with ``HOGS`` processes that never sleep."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    hogs = [
        subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"], start_new_session=True) for _ in range(HOGS)
    ]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
        os.sched_setaffinity(0, cores)


def test_waiting_for_a_core_is_not_the_programs_time():
    with one_busy_core():
        server = ForkServer(())
        try:
            server.run("", 5.0, 256)
            began = time.monotonic()
            end = server.run(BUSY, 1.5, 256)
            seconds = time.monotonic() - began
        finally:
            server.close()
    assert (end.ended, end.stdout) == ("exit", "through\n"), end
    assert seconds > 2.0, "the core was not as busy as it was to be"
    assert end.seconds < 1.5


@pytest.mark.parametrize("source", ["import time; time.sleep(30)", "while True: pass", "import os; os.kill(0, 19)"])
def test_sleeping_computing_and_stopping_are_the_programs_time(source: str):
    result = run_program(source, timeout=0.5)
    assert (result.outcome, result.runs) == ("timeout", 1)
    assert 0.4 < result.seconds < 2.5


def test_the_processes_of_a_program_add_up():
    source = "import os, time\nfor _ in range(3): os.fork()\nwhile True: pass"
    began = time.monotonic()
    assert run_program(source, timeout=1.0).outcome == "timeout"
    assert time.monotonic() - began < 6


def test_the_time_of_child_processes():
    processes = Processes()
    sleeper = subprocess.Popen(["sleep", "60"])
    busy = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])
    try:
        assert {sleeper.pid, busy.pid} <= set(processes.ids())
        own_time = OwnTime(0.0)
        assert own_time.seconds(7.5) == 7.5
        own_time.start(100.0, processes)
        assert own_time.seconds(102.0) == 2.0
        deadline = time.monotonic() + 60
        while own_time.seconds(100.0) <= 0:
            own_time.look(processes)
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        for process in (sleeper, busy):
            process.kill()
            process.wait()


def test_time_outs_beside_others_run_again_and_are_counted(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        results = run_programs(["while True: pass", "print(1)"], timeout=0.5, workers=2)
    assert [(result.outcome, result.runs) for result in results] == [("timeout", 2), ("ok", 1)]
    assert "1 of 2 programs ran out of time" in caplog.text
    assert "0 of them then ended in time" in caplog.text


def test_a_program_that_is_in_time_apart_from_others_is_in_time(monkeypatch: pytest.MonkeyPatch):
    seen: list[str] = []

    class Server:
        def run(self, source: str, timeout: float, *_: object, **__: object) -> ProgramEnd:
            seen.append(source)
            late = source == "late" and seen.count("late") == 1
            return ProgramEnd("timeout" if late else "exit", 0, "", "", timeout if late else 0.1)

    monkeypatch.setattr(programs, "_shared_server", Server)
    results = run_programs(["late", "early"], timeout=1.0, workers=2)
    assert [(result.outcome, result.runs) for result in results] == [("ok", 2), ("ok", 1)]
    seen.clear()
    assert run_programs(["late", "early"], timeout=1.0, workers=1)[0].outcome == "timeout"  # it was alone already


def test_a_program_kept_from_its_time_runs_once_more(monkeypatch: pytest.MonkeyPatch):
    ends = [ProgramEnd("timeout", 9, "", "", 0.2), ProgramEnd("exit", 0, "through", "", 0.9)]

    class Server:
        def run(self, *_: object, **__: object) -> ProgramEnd:
            return ends.pop(0)

    monkeypatch.setattr(programs, "_shared_server", Server)
    result = run_program("", timeout=1.0)
    assert (result.outcome, result.stdout, result.runs) == ("ok", "through", 2)
