"""Programs see nothing of each other and of the fork server: each finds what an interpreter of its own would show."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rho1bench.sandbox import run_program

SAME_AS_ALONE = {
    "output": "print('a', 1 / 3); import sys; sys.stdout.write('no line end')",
    "writes to the descriptor": "import os\nos.write(1, b'low\\n'); os.write(2, b'err\\n')",
    "name and file": "import os\nprint(__name__, os.path.relpath(__file__), os.path.isabs(__file__))",
    "main module": "import __main__, sys\nx = 5\nprint(__main__.x, sys.modules['__main__'] is __main__)",
    "arguments": "import sys; print(sys.argv, sys.getrecursionlimit(), sys.stdin.read())",
    "exit by number": "print('out'); raise SystemExit(3)",
    "exit by text": "import sys; sys.exit('bye')",
    "exit by nothing": "exit()",
    "uncaught": "def f(x):\n    return 1 / x\nf(0)",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('two\\nlines') from e",
    "group": "raise ExceptionGroup('both', [ValueError(1), TypeError(2)])",
    "syntax": "x = (1,\nprint(x",
    "indentation": "if True:\nprint(1)",
    "suggestion": "import math\nmath.sqroot(2)",
    "recursion": "def f(n):\n    return f(n + 1)\nf(0)",
    "assertion": "assert 1 == 2, 'not equal'",
    "interrupt": "raise KeyboardInterrupt",
    "own hook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__)\n1 / 0",
    "exit handlers": "import atexit\natexit.register(print, 'last')\nprint('first')",
    "threads": "import threading as t, time\nt.Thread(target=lambda: time.sleep(0.1) or print(1)).start()\nprint('m')",
    "thread error": "import threading\nt = threading.Thread(target=lambda: 1 / 0); t.start(); t.join(); print('on')",
    "futures": "from concurrent.futures import ThreadPoolExecutor as P\nprint(list(P(3).map(str, range(5))))",
    "processes": "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p: print(p.map(abs, [-1]))",
    "dataclasses": "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: int\nprint(A(1), A.__annotations__)",
    "pickle": "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))))",
    "typing": "import typing\nclass A:\n    b: 'A'\nprint(typing.get_type_hints(A))",
    "warnings": "import warnings\nwarnings.warn('careful')\nprint(warnings.filters == [] or 'filters')",
    "coding": "# -*- coding: latin-1 -*-\nprint(len('\u00e9'))",
    "unicode": "print('\u221a2 \u2264 \U0001d538')",
    "sympy": "from sympy import *\nx = symbols('x')\nprint(solve(x**2 - 2), integrate(sin(x), x), Dummy('d'))",
    "sets": "print({'b', 'a', 'c', 'x1', 'x2'})",
    "broken stdout": "import sys\nsys.stdout.close()\nprint(1)",
    "os._exit": "import os\nprint('lost'); os._exit(4)",
    "fork": "import os\nif os.fork() == 0:\n    print('child'); os._exit(0)\nos.wait(); print('parent')",
}


def alone(source: str) -> tuple[int, str, str]:
    """Run ``source`` in an interpreter of its own; exit code, output, last line of the error output."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "program.py").write_text(source, encoding="utf-8", errors="replace")
        done = subprocess.run(
            [sys.executable, "-s", "-P", "program.py"],
            cwd=folder,
            env={"PYTHONHASHSEED": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
    error = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
    return done.returncode, done.stdout.decode("utf-8", errors="replace"), error[-1].strip() if error else ""


def in_sandbox(source: str) -> tuple[str, str, str]:
    result = run_program(source, timeout=20)
    return result.outcome, result.stdout, result.error


def as_sandbox_says(end: tuple[int, str, str]) -> tuple[str, str, str]:
    code, stdout, error = end
    if code < 0:
        return "killed", stdout, "killed by SIGINT"
    return ("ok", stdout, "") if code == 0 else ("error", stdout, error)


@pytest.mark.parametrize("name", SAME_AS_ALONE)
def test_a_program_ends_as_it_does_in_an_interpreter_of_its_own(name: str):
    source = SAME_AS_ALONE[name]
    assert in_sandbox(source) == as_sandbox_says(alone(source))


VALUES = st.sampled_from(["0", "1", "-2", "0.5", "'a'", "[1, 2]", "None", "x", "y", "10**30", "{1: 2}"])


@settings(max_examples=15)
@given(st.lists(st.tuples(VALUES, st.sampled_from("+-*/%@<"), VALUES), min_size=1, max_size=4))
def test_small_programs_end_as_they_do_alone(operations: list[tuple[str, str, str]]):
    lines = [f"print(type({left}), {left} {sign} {right})" for left, sign, right in operations]
    source = "\n".join(["x, y = 3, 'b'", *lines])
    assert in_sandbox(source) == as_sandbox_says(alone(source))


LEAVES_A_MARK = {
    "sympy": ("import sympy; sympy.solve = lambda *a: 'hacked'", "import sympy; print(sympy.solve(sympy.Symbol('x')))"),
    "math": ("import math; math.pi = 3", "import math; print(round(math.pi, 2))"),
    "builtins": ("import builtins; builtins.len = lambda x: 7", "print(len('a'))"),
    "globals": ("leak = 1", "print('leak' in globals())"),
    "modules": ("import sys; sys.modules['left'] = sys", "import sys; print('left' in sys.modules)"),
    "environment": ("import os; os.environ['LEFT'] = '1'", "import os; print('LEFT' in os.environ)"),
    "files": ("open('left', 'w').close()", "import os; print(os.path.exists('left'))"),
    "recursion": ("import sys; sys.setrecursionlimit(77)", "import sys; print(sys.getrecursionlimit())"),
    "random": ("import random; random.seed(1)", "import random; print(random.random() == random.Random(1).random())"),
    "sympy cache": ("import sympy; sympy.Symbol('q', real=True)", "import sympy; print(sympy.Symbol('q').is_real)"),
    "decimal": ("import decimal; decimal.getcontext().prec = 3", "import decimal; print(decimal.getcontext().prec)"),
    "signals": ("import signal; signal.signal(15, signal.SIG_IGN)", "import signal; print(signal.getsignal(15) == 0)"),
}  # fmt: skip
FRESH = {
    "sympy": "[0]", "math": "3.14", "builtins": "1", "globals": "False", "modules": "False", "environment": "False",
    "files": "False", "recursion": "1000", "random": "False", "sympy cache": "None", "decimal": "28", "signals": "True",
}  # fmt: skip


@pytest.mark.parametrize("name", LEAVES_A_MARK)
def test_the_next_program_sees_no_mark(name: str):
    mark, look = LEAVES_A_MARK[name]
    assert run_program(mark).outcome == "ok"
    assert run_program(look).stdout.strip() == FRESH[name]


@pytest.mark.parametrize(
    "draw",
    [
        "import random; print(random.random())",
        "import numpy; print(numpy.random.rand())",
        "import sympy.core.random as r; print(r.rng.random())",
        "import uuid; print(uuid.uuid4())",
        "import secrets; print(secrets.token_hex())",
    ],
)
def test_random_numbers_are_each_programs_own(draw: str):
    assert run_program(draw).stdout != run_program(draw).stdout


def test_a_program_holds_three_descriptors_and_no_module_of_ours():
    result = run_program(
        "import os, sys\nfds = [f for f in range(256) if os.path.exists(f'/proc/self/fd/{f}')]\n"
        "print(fds, [m for m in sys.modules if m.startswith('rho1bench')], os.listdir('.'))"
    )
    assert result.stdout == "[0, 1, 2] [] ['program.py']\n"


def test_nothing_of_the_callers_environment_is_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET_TOKEN", "hidden")
    result = run_program("import os; print(dict(os.environ), flush=True); os.system('env')")
    assert "hidden" not in result.stdout
    assert result.stdout.startswith("{}\n")
    assert os.environ["SECRET_TOKEN"] == "hidden"
