"""The bench of stages: its recipe, how it reads the parts of a stage, and what counts as flash attention."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch.profiler import DeviceType

from rho1bench.bench import stages
from rho1bench.bench.attention import PASSES, AttentionProfile, _times
from rho1bench.errors import TrainingError
from rho1bench.recipe import ModelConfig, PretrainStage
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.sizing.shapes import KNOWN_MODELS

FORWARD = "aten::_scaled_dot_product_flash_attention"
BACKWARD = "aten::_scaled_dot_product_flash_attention_backward"


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_the_recipe_is_one(device: str, tmp_path: Path) -> None:
    size = stages.SIZES[device]
    stages.write_text(tmp_path / "text.jsonl.gz", stages.SIZES["cpu"])
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(stages.recipe_of(size, 40, tmp_path / "text.jsonl.gz", "rowwise")))
    recipe = load_recipe(str(path))
    assert [stage.name for stage in recipe.stages if isinstance(stage, PretrainStage)] == list(stages.TRAINING)
    for name in stages.TRAINING:
        stage = recipe.stage(name, PretrainStage)
        assert (stage.precision, stage.compile, stage.float8, stage.max_steps) == ("bf16", True, "rowwise", 40)
    assert recipe.stage(stages.PROFILED, PretrainStage).selection is not None


def test_the_shape_of_a_gpu_is_tinyllamas() -> None:
    size = stages.SIZES["cuda"]
    init = stages.recipe_of(size, 40, Path("text"))["stages"][2]["init"]
    shape = KNOWN_MODELS["TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T"]
    assert ModelConfig.model_validate(init).shape(size.shape.vocab_size) == shape


def test_there_are_as_many_words_as_tokens(tmp_path: Path) -> None:
    size = stages.SIZES["cpu"]
    stages.write_text(tmp_path / "text.jsonl.gz", size)
    with gzip.open(tmp_path / "text.jsonl.gz", "rt") as file:
        words = [word for line in file for word in json.loads(line)["text"].split()]
    assert len(words) == size.num_blocks * size.shape.max_position_embeddings


def test_steps_at_full_speed_leave_out_the_first(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"seconds": 60.0}))
    parts = {"start": 10.0, "first_step": 31.0, "steps": 40.0, "end": 5.0}
    (tmp_path / "training.json").write_text(json.dumps({"seconds": parts}))
    found = stages._seconds(tmp_path, max_steps=10, tokens_a_step=100)
    assert found.steady == pytest.approx(10.0)
    assert found.tokens_per_second == pytest.approx(100.0)
    assert found.wall == 60.0


@pytest.mark.parametrize(
    ("kernels", "is_flash"),
    [
        ([FORWARD, BACKWARD, "void pytorch_flash::flash_fwd_kernel<...>", "aten::scaled_dot_product_attention"], True),
        ([FORWARD], False),
        ([BACKWARD], False),
        ([FORWARD, BACKWARD, "aten::_scaled_dot_product_efficient_attention"], False),
        (["aten::_scaled_dot_product_attention_math"], False),
        ([], False),
    ],
)
def test_flash_is_flash_in_both_passes_and_nothing_else(kernels: list[str], is_flash: bool) -> None:
    found = AttentionProfile("cpu", "sdpa", dict.fromkeys(kernels, 1.0), 2.0)
    assert found.is_flash == is_flash
    assert ("backward: yes" in found.text()) == is_flash


@dataclass(frozen=True)
class Event:
    key: str
    device_type: DeviceType
    self_cpu_time_total: float
    self_device_time_total: float
    is_user_annotation: bool = False


EVENTS = (
    Event(FORWARD, DeviceType.CPU, 30.0, 3000.0),
    Event("aten::mm", DeviceType.CPU, 60.0, 6000.0),
    Event("void pytorch_flash::flash_fwd_kernel<...>", DeviceType.CUDA, 0.0, 3000.0),
    Event("gemm", DeviceType.CUDA, 0.0, 6000.0),
    Event("Torch-Compiled Region", DeviceType.CUDA, 0.0, 9000.0, is_user_annotation=True),
)


def test_on_a_gpu_kernels_have_the_time_and_on_a_cpu_operations() -> None:
    found, total = _times(EVENTS, is_cuda=True)  # type: ignore[arg-type]
    assert found == {"void pytorch_flash::flash_fwd_kernel<...>": 3.0 / PASSES, FORWARD: 0.0}
    assert total == 9.0 / PASSES
    assert _times(EVENTS[:2], is_cuda=False) == ({FORWARD: 0.03 / PASSES}, 0.09 / PASSES)  # type: ignore[arg-type]


def test_what_cannot_be_measured_is_told_first(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    with pytest.raises(TrainingError, match="is not empty"):
        stages.run("cpu", 2, tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="torch sees no GPU here"):
            stages.run("cuda")


@pytest.mark.sweep
def test_wall_and_steps_are_measured_and_attention_is_flash(tmp_path: Path) -> None:
    result = stages.run("cpu", 3, tmp_path / "kept")
    assert list(result.stages) == list(stages.TRAINING)
    for one in result.stages.values():
        assert one.wall >= one.start + one.steps + one.end
        assert one.steps >= one.first_step > 0
        assert one.tokens_per_second > 0
    assert result.attention.is_flash
    assert 0 < sum(result.attention.kernels.values()) < result.attention.total
    assert "flash kernels forward and backward: yes" in stages.report(result)
    assert (tmp_path / "kept" / "run" / "recipe.yaml").is_file()
