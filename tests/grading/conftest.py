"""Shared by the grading tests: one worker pool, the reference data where it is at hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rho1bench.grading.pool import WorkerPool

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def pool() -> Iterator[WorkerPool]:
    workers = WorkerPool(2)
    yield workers
    workers.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data; it is no part of the repository."""
    folder = Path(os.environ.get("RHO1BENCH_SHARED", ROOT.parent / "shared"))
    if not (folder / "reference" / "paper_verdicts.jsonl").is_file():
        pytest.skip("the reference data (../shared or RHO1BENCH_SHARED) is not on this machine")
    return folder
