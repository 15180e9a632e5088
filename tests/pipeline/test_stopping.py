"""SIGTERM and SIGUSR1: a run saves, ends with a code of its own, and the same command completes it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from small_recipe import SMALL, command, rho1bench, surroundings

from rho1bench.cli.app import STOPPED
from rho1bench.errors import Stopped
from rho1bench.pipeline import stopping
from rho1bench.system.files import read_jsonl


@pytest.mark.parametrize(("number", "jobs"), [(signal.SIGUSR1, 1), (signal.SIGTERM, 2)])
def test_a_signal_stops_a_run_which_the_same_command_completes(tmp_path: Path, number: int, jobs: int):
    """In the runner itself, and in processes of stages side by side."""
    arguments = ("run", SMALL, "--output", tmp_path / "run", "--set", f"jobs={jobs}")
    process = subprocess.Popen(command(*arguments), env=surroundings(FAKE_SLEEP=0.1), stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run/stages" / ("base" if jobs == 1 else "slm") / "metrics.jsonl"
    end = time.monotonic() + 60
    while not log.exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == STOPPED == 75
    assert errors.rstrip().endswith("stopped as a signal asked; the same command continues from the last resume point")
    assert "Traceback" not in errors
    assert not (log.parent / "manifest.json").exists()
    done = rho1bench(*arguments, fake=True)
    assert done.returncode == 0, done.stderr
    assert len(read_jsonl(log)) == 20


def test_a_wish_waits_for_who_saves_and_a_second_one_does_not():
    with stopping.stops_on_signals():
        with stopping.saving_first():
            os.kill(os.getpid(), signal.SIGUSR1)
            assert stopping.is_asked()
            with pytest.raises(Stopped):
                os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(Stopped):
            stopping.stop_if_asked()
    assert not stopping.is_asked()
    stopping.stop_if_asked()


def test_children_are_asked_in_the_place_of_the_runner():
    asked: list[str] = []
    with stopping.stops_on_signals(), stopping.passing_on(lambda: asked.append("children")):
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked == ["children"]
