"""A scored corpus for the tests of this room."""

from __future__ import annotations

import pytest
from forking import ForkingProcess
from scoring_world import World, write_corpus, write_model

from rho1bench.selection.stage import score
from rho1bench.system.progress import SilentProgress


@pytest.fixture(scope="module")
def world(forks: ForkingProcess, tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("scoring")
    model = write_model(root / "model", 0)
    made = World(model, write_corpus(root / "corpus", model), root / "store")
    score(made.options(made.store), SilentProgress())
    return made
