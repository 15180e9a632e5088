"""Resume points: written beside training from copies, read by name, the last few kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import architectures
import pytest
import torch

from rho1bench.errors import CheckpointError
from rho1bench.training.trainers.resume_points import (
    ResumePointWriter,
    check_resume_point,
    latest_resume_point,
    read_stage_state,
    read_tensors,
    training_state,
)


def trained(name: str = "llama", **fields: Any) -> tuple[Any, torch.optim.Optimizer]:
    """A model after one step, and its optimizer."""
    model = architectures.make_model(name, **fields)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids_BT = torch.arange(12).view(2, 6)
    model(input_ids=ids_BT, labels=ids_BT).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer


def write(folder: Path, step: int, model: Any, optimizer: torch.optim.Optimizer, kept: int = 1) -> Path:
    partial = folder / f"partial/checkpoint-{step}"
    partial.mkdir(parents=True)
    writer = ResumePointWriter(folder, kept)
    writer.start(partial, training_state(model, optimizer, None), {"step": step})
    with torch.no_grad():  # what training does meanwhile
        for parameter in model.parameters():
            parameter.add_(1.0)
    writer.wait()
    return folder / f"checkpoint-{step}"


@pytest.mark.parametrize("name", ["gpt_neox", "mixtral", "gemma"])
def test_what_is_read_is_what_was_there_when_writing_began(name: str, tmp_path: Path) -> None:
    model, optimizer = trained(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    moments = [state["exp_avg"].clone() for state in optimizer.state.values()]
    point = write(tmp_path, 5, model, optimizer)
    assert latest_resume_point(tmp_path) == point
    check_resume_point(point)
    assert read_stage_state(point) == {"step": 5}
    other = architectures.make_model(name, initializer_range=0.5)
    fresh = torch.optim.AdamW(other.parameters(), lr=1.0)
    read_tensors(point, other, fresh, None)
    assert all(torch.equal(value, before[key]) for key, value in other.state_dict().items())
    assert all(torch.equal(state["exp_avg"], old) for state, old in zip(fresh.state.values(), moments, strict=True))
    assert fresh.param_groups[0]["lr"] == 1e-2


def test_a_resume_point_of_another_model_is_refused(tmp_path: Path) -> None:
    point = write(tmp_path, 5, *trained())
    wide, deep = {"intermediate_size": 64}, {"num_hidden_layers": 3}
    for fields, word in ((wide, "mlp"), (deep, "it lacks model"), ({"num_hidden_layers": 1}, "it has")):
        other = architectures.make_model("llama", **fields)
        optimizer = torch.optim.AdamW(other.parameters())
        with pytest.raises(CheckpointError, match=f"no resume point of this model: .*({word})"):
            read_tensors(point, other, optimizer, None)
    (shard,) = (point / "tensors").glob("*.distcp")
    shard.write_bytes(shard.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="another SHA-256"):
        check_resume_point(point)


def test_the_last_few_are_kept(tmp_path: Path) -> None:
    model, optimizer = trained()
    for step in (5, 10, 15):
        write(tmp_path, step, model, optimizer, kept=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-15"]
    latest = latest_resume_point(tmp_path)
    assert latest is not None
    assert latest.name == "checkpoint-15"
