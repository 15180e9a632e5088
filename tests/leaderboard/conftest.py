"""Invented records belong to no real test set and no real recipe: most tests check and show them without these two."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rho1bench.leaderboard.records import checks, pins

_IN_FORCE = ("test_mutations", "test_more_mutations", "test_add", "test_add_matrix")


@pytest.fixture(scope="module", autouse=True)
def without_pins_and_recipes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave out the pins of test sets and the binding to recipes, but for tests of these."""
    with pytest.MonkeyPatch.context() as patch:
        if request.module.__name__ not in _IN_FORCE:
            patch.setattr(pins, "task_pins", dict)
            patch.setattr(checks, "origin_problems", lambda record, results: iter(()))
            patch.setattr(checks, "expected_baseline", lambda record, results: None)
        yield
