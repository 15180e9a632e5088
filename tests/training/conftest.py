from __future__ import annotations

import gc
import importlib
import sys
from pathlib import Path

import pytest
from forking import ForkingProcess

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokenizer, corpora, base, reference and scores, made once for all tests; they only read it."""
    import world

    for module in world.MODULES.values():
        importlib.import_module(module)
    gc.freeze()  # what they import is here to stay
    out = tmp_path_factory.mktemp("shared")
    world.run_stages(world.scored(), out)
    return out


@pytest.fixture(scope="session")
def run(shared: Path, forks: ForkingProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every stage of the tiny run, which tests only read; meanwhile the process starts that kills some of them."""
    import world

    out = world.link_shared(shared, tmp_path_factory.mktemp("run"))
    stages = world.compared()
    world.run_stages(stages, out, only=[stage["name"] for stage in stages if not (out / stage["name"]).exists()])
    return out
