"""What torch.compile has made is kept with the user, and found by the next process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rho1bench.modeling.compile_cache import VARIABLE, keep_compiled
from rho1bench.system.paths import PACKAGE


def test_the_folder_is_the_users_unless_the_user_says_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(VARIABLE, "elsewhere")
    keep_compiled()
    assert os.environ[VARIABLE] == "elsewhere"
    monkeypatch.delenv(VARIABLE)
    keep_compiled()
    assert os.environ[VARIABLE] == str(tmp_path / "cache" / "rho1bench" / "compiled")
    assert Path(os.environ[VARIABLE]).is_dir()


def test_without_a_folder_of_ours_torch_takes_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.delenv(VARIABLE, raising=False)
    keep_compiled()
    assert VARIABLE not in os.environ


COMPILE = """
import torch
from rho1bench.modeling.logit_kernels import fused_kernels
assert fused_kernels("cpu", 64, torch.float32) is not None
counts = torch._dynamo.utils.counters["inductor"]
print(counts["fxgraph_cache_miss"], counts["fxgraph_cache_hit"])
"""


@pytest.mark.sweep
def test_the_next_process_compiles_nothing_again(tmp_path: Path):
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent)}
    environment.pop(VARIABLE, None)
    command = [sys.executable, "-c", COMPILE]
    printed = [subprocess.run(command, env=environment, capture_output=True, text=True).stdout for _ in range(2)]
    (made, found), (made_again, found_again) = (map(int, line.split()) for line in printed)
    assert made > 0
    assert (found, made_again) == (0, 0)
    assert found_again == made
