"""``rho1bench bench sandbox``: the sandbox against a fresh interpreter for each program, side by side.

The obvious way starts an interpreter, imports sympy and runs the program, with the same number of programs at a time.
Both run the same programs: those of recorded transcripts, or programs of the mini world and a few that use sympy.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from rho1bench.errors import DataError
from rho1bench.evaluation.tools.replay import programs_of, read_recorded
from rho1bench.mini_world import sft_samples
from rho1bench.sandbox import run_program, run_programs

TIMEOUT = 5.0
ROUNDS = 5
"""How often the sandbox runs the programs, being too quick to be measured on few."""
WITH_SYMPY = (
    "from sympy import symbols, solve\nx = symbols('x')\nprint(solve(x**2 - {n}*x + 6, x))",
    "from sympy import Rational\nprint(sum(Rational(1, k) for k in range(1, {n})))",
    "from sympy import symbols, expand\nx, y = symbols('x y')\nprint(expand((x + y)**{n}))",
    "from sympy import sqrt, simplify\nprint(simplify(sqrt({n}) * sqrt({n} + 1)))",
    "from sympy import factorint, primerange\nprint(factorint({n}**5 + 1), list(primerange(2, {n} + 10)))",
    "from sympy import Matrix\nprint(Matrix([[{n}, 1], [1, 2]]).det())",
)


@dataclass(frozen=True)
class SandboxBench:
    """Rates are programs a second; ``differing`` counts programs whose output is not the same both ways."""

    programs: int
    workers: int
    naive_per_second: float
    sandbox_per_second: float
    ratio: float
    start_seconds: float
    differing: int


def run(files: Sequence[Path] = (), programs: int = 60, workers: int | None = None) -> SandboxBench:
    """Measure both ways on the first ``programs`` programs of ``files``, or on programs made here."""
    sources = _recorded(files, programs) if files else example_programs(programs)
    size = workers or len(os.sched_getaffinity(0))
    began = time.perf_counter()
    run_program("")
    start_seconds = time.perf_counter() - began
    began = time.perf_counter()
    naive = run_naively(sources, size)
    naive_rate = len(sources) / (time.perf_counter() - began)
    began = time.perf_counter()
    results = run_programs(sources * ROUNDS, TIMEOUT, workers=size)
    rate = len(results) / (time.perf_counter() - began)
    differing = sum(was != now.stdout for was, now in zip(naive, results[: len(sources)], strict=True))
    return SandboxBench(len(sources), size, naive_rate, rate, rate / naive_rate, start_seconds, differing)


def report(result: SandboxBench) -> str:
    """Return the measurement as text, its last line one line of JSON."""
    return "\n".join(
        (
            f"{result.programs} programs, {result.workers} at a time",
            f"naive (fresh interpreter, import sympy)  {result.naive_per_second:8.2f} programs/s",
            f"rho1bench                                {result.sandbox_per_second:8.2f} programs/s",
            f"ratio                                    {result.ratio:8.2f}",
            f"start of the fork server, once           {result.start_seconds:8.2f} s",
            f"programs with another output             {result.differing:8d}",
            json.dumps(asdict(result)),
        )
    )


def run_naively(sources: Sequence[str], workers: int) -> list[str]:
    """Run each program in a fresh interpreter that imports sympy; return what they print."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(max_workers=workers) as pool:
        return list(pool.map(lambda source: _run_fresh(source, folder), sources))


def _run_fresh(source: str, folder: str) -> str:
    command = [sys.executable, "-c", f"import sympy\n{source}"]
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as expired:
        return (expired.stdout or b"").decode("utf-8", errors="replace")
    return done.stdout.decode("utf-8", errors="replace")


def _recorded(files: Sequence[Path], count: int) -> list[str]:
    found = (record.program for path in files for record in read_recorded(path))
    sources = list(itertools.islice(found, count))
    if not sources:
        raise DataError(f"{', '.join(map(str, files))}: no program with a recorded output.")
    return sources


def example_programs(count: int) -> list[str]:
    """Return ``count`` programs, two of the mini world's for each that uses sympy."""
    samples = sft_samples("sft_tir", count, seed=0)
    plain = [program for sample in samples for program, _ in programs_of(sample.text)]
    algebra = [WITH_SYMPY[number % len(WITH_SYMPY)].format(n=number + 5) for number in range(count)]
    mixed = (plain[number] if number % 3 else algebra[number] for number in range(count))
    return list(mixed)
