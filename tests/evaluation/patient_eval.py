"""``rho1bench eval`` whose tool programs have minutes of time.

On a busy machine a program may run out of the protocol's five seconds, which changes the prompts that follow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rho1bench.cli import app
from rho1bench.evaluation.tools import tool_loop
from rho1bench.sandbox import ProgramResult, run_programs

SECONDS = 120.0


def run_patiently(sources: Sequence[str], timeout: float, **options: Any) -> list[ProgramResult]:
    """Run programs as ``run_programs`` does, with more time than a task gives them."""
    return run_programs(sources, max(timeout, SECONDS), **options)


if __name__ == "__main__":
    tool_loop.run_programs = run_patiently
    app.main()
