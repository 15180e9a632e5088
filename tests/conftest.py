"""For every test: offline, one thread, reproducible Hypothesis; the reference data where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def shared_data_if_there() -> Path | None:
    """The folder of reference data (RHO1BENCH_SHARED, else beside the checkout); it is no part of the repository."""
    folder = Path(os.environ.get("RHO1BENCH_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    return folder if (folder / "reference" / "paper_verdicts.jsonl").is_file() else None


@pytest.fixture(scope="session")
def shared_data(shared_data_if_there: Path | None) -> Path:
    """The same folder for a test that needs it; the test is skipped where there is none."""
    if shared_data_if_there is None:
        pytest.skip("the reference data (../shared or RHO1BENCH_SHARED) is not on this machine")
    return shared_data_if_there
