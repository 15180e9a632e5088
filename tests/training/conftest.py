from __future__ import annotations

import gc
import importlib
import sys
from pathlib import Path

import pytest

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
