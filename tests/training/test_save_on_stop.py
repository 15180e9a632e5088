"""A signal in the middle of training: a resume point of that very step, and the numbers of an uninterrupted stage."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import world

from rho1bench.errors import Stopped
from rho1bench.modeling.causal_lm import weights_sha256
from rho1bench.pipeline import stopping
from rho1bench.system.files import read_jsonl
from rho1bench.training.callbacks import StageCallback


def test_training_saves_the_step_in_which_it_is_asked_to_stop(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = world.link_shared(shared, tmp_path)
    fields: dict[str, Any] = {"selection": world.SELECTION, "max_steps": 5, "save_steps": 100, "logging_steps": 1}
    stages = [*world.scored(), world.pretrain("straight", **fields), world.pretrain("stopped", **fields)]
    world.run_stages(stages, out, only=["straight"])

    def signalled(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched, stopping.stops_on_signals():
        patched.setattr(StageCallback, "on_step_begin", signalled)
        with pytest.raises(Stopped):
            world.run_stages(stages, out, only=["stopped"])
    assert [path.name for path in (out / "stopped/trainer").glob("checkpoint-*")] == ["checkpoint-3"]
    assert not (out / "stopped/training.json").exists()
    world.run_stages(stages, out, only=["stopped"])
    assert weights_sha256(out / "stopped/checkpoint") == weights_sha256(out / "straight/checkpoint")
    losses = [[row["loss"] for row in read_jsonl(out / name / "metrics.jsonl")] for name in ("straight", "stopped")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 5
