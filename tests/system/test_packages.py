"""Modules of stages are imported without garbage collections, which go on afterwards and leave them alone."""

from __future__ import annotations

import gc
import sys
import weakref
from pathlib import Path

import pytest

from rho1bench.system.packages import import_at_rest, load

SOURCE = """
import gc
enabled = gc.isenabled()
class Ring: pass
kept = [Ring() for _ in range(1000)]
def function(): return enabled
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "some_stage.py").write_text(SOURCE)
    (tmp_path / "broken_stage.py").write_text("import a_package_that_nobody_has")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "some_stage", raising=False)
    return "some_stage"


def test_no_collection_runs_while_a_module_is_imported(module: str) -> None:
    frozen = gc.get_freeze_count()
    assert load(f"{module}:function")() is False
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + 1000
    kept = {id(ring) for ring in sys.modules[module].kept}
    assert not any(id(found) in kept for found in gc.get_objects())
    again = gc.get_freeze_count()
    import_at_rest(module)
    assert gc.get_freeze_count() <= again


def test_garbage_from_before_is_freed(module: str) -> None:
    class Ring:
        pass

    ring = Ring()
    ring.itself = ring  # type: ignore[attr-defined]
    gone = weakref.ref(ring)
    del ring
    load(f"{module}:function")
    assert gone() is None


def test_a_failed_import_leaves_collections_as_they_were(module: str) -> None:
    with pytest.raises(ModuleNotFoundError):
        load("broken_stage:run")
    assert gc.isenabled()
    gc.disable()
    try:
        load(f"{module}:function")
        assert not gc.isenabled()
    finally:
        gc.enable()
