"""The sandbox: each way for a program to end is reported as such, and nothing of it stays behind."""

from __future__ import annotations

import os
import threading
import time

import pytest
from host_processes import unique_seconds, wait_for_processes
from hypothesis import given, settings
from hypothesis import strategies as st

from rho1bench.sandbox import run_program, run_programs


def test_a_program_prints():
    result = run_program("print(6 * 7)")
    assert (result.outcome, result.stdout, result.error) == ("ok", "42\n", "")


def test_it_runs_as_main_with_packages_at_hand():
    result = run_program("import sympy\nprint(__name__, sympy.Rational(1, 3) + 1)")
    assert (result.outcome, result.stdout) == ("ok", "__main__ 4/3\n")


@pytest.mark.parametrize(
    ("source", "outcome", "error"),
    [
        ("1 / 0", "error", "ZeroDivisionError: division by zero"),
        ("def f(:", "error", "SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", "error", ""),
        ("def f(): return f()\nf()", "error", "RecursionError: maximum recursion depth exceeded"),
        ("x = [0] * 10**10", "memory", "MemoryError"),
        ("import os; os.kill(os.getpid(), 9)", "killed", "killed by SIGKILL"),
        ("open('x', 'w').write('a' * 10**8)", "killed", "killed by SIGXFSZ"),
        ("\ud800", "error", None),
    ],
)
def test_each_end_has_its_own_outcome(source: str, outcome: str, error: str | None):
    result = run_program(source)
    if source.startswith("open"):  # Python may turn the signal into an OSError
        assert result.outcome in ("killed", "error")
        return
    assert result.outcome == outcome
    assert error is None or result.error == error


def test_output_before_an_error_is_kept():
    result = run_program("print('first')\nraise ValueError('second')")
    assert (result.stdout, result.error) == ("first\n", "ValueError: second")


def test_time_limit_holds_for_loops_and_sleepers():
    for source in ("while True: pass", "import time; time.sleep(60)", "import signal\nsignal.pause()"):
        began = time.monotonic()
        result = run_program(source, timeout=0.5)
        assert result.outcome == "timeout"
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("ends", [True, False])
def test_the_whole_tree_is_killed(ends: bool):
    sleep = unique_seconds()
    source = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        f"    os.execv('/bin/sleep', ['sleep', '{sleep}'])\n"
        f"time.sleep({0.5 if ends else 60})\n"
    )
    results = []
    thread = threading.Thread(target=lambda: results.append(run_program(source, timeout=1.5)))
    thread.start()
    assert wait_for_processes(sleep, 1)
    thread.join()
    assert results[0].outcome == ("ok" if ends else "timeout")
    assert wait_for_processes(sleep, 0, seconds=1)


def test_a_child_that_holds_the_pipe_does_not_hold_the_result():
    began = time.monotonic()
    result = run_program("import os, time\nif os.fork() == 0: time.sleep(30)\nelse: print('done')", timeout=10)
    assert (result.outcome, result.stdout) == ("ok", "done\n")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_flood_is_stopped(stream: str):
    result = run_program(f"import sys\nwhile True: sys.{stream}.write('x' * 10000)")
    assert result.outcome == "output_limit"
    assert len(result.stdout) <= 1 << 20
    assert result.seconds < 3


def test_the_environment_is_empty(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET_TOKEN", "hidden")
    result = run_program("import os; print(sorted(os.environ))")
    assert "SECRET" not in result.stdout
    assert result.stdout.strip() in ("[]", "['LC_CTYPE']")


def test_the_scratch_folder_goes_and_is_not_shared():
    first = run_program("import os; open('left', 'w').close(); print(sorted(os.listdir('.')))")
    second = run_program("import os; print(os.listdir('.'))")
    assert first.stdout == "['left', 'program.py']\n"
    assert second.stdout == "['program.py']\n"


def test_stdin_is_closed():
    assert run_program("input()").error == "EOFError: EOF when reading a line"


def test_many_at_once_keep_their_order_and_leak_nothing():
    before = len(os.listdir("/proc/self/fd"))
    results = run_programs([f"print({number})" if number % 5 else "1/0" for number in range(40)])
    assert [r.stdout.strip() for r in results] == [str(n) if n % 5 else "" for n in range(40)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert run_programs([]) == []


@settings(max_examples=15)
@given(st.text(max_size=60))
def test_any_text_gives_a_result(source: str):
    assert run_program(source, timeout=2.0).outcome in ("ok", "error", "timeout", "memory", "output_limit", "killed")
