"""Shared by the grading tests: one worker pool."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rho1bench.grading.pool import WorkerPool


@pytest.fixture(scope="session")
def pool() -> Iterator[WorkerPool]:
    workers = WorkerPool(2)
    yield workers
    workers.close()
