"""FSDP2 saves and resumes architectures whose tied weights or experts have names of their own; in the sweep."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import architectures
import pytest
import rank_world
import world

from rho1bench.errors import RunError
from rho1bench.modeling.causal_lm import load_model
from rho1bench.system.files import read_jsonl

NAMES = ("gpt2", "gpt_neox", "opt", "falcon", "gemma", "mixtral", "qwen2_moe")
SHORT: dict[str, Any] = {"max_steps": 4, "save_steps": 2, "logging_steps": 1}
NO_DROPOUT = {
    "gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "gpt_neox": {"attention_dropout": 0.0, "hidden_dropout": 0.0},
    "opt": {"dropout": 0.0, "attention_dropout": 0.0},
    "falcon": {"attention_dropout": 0.0, "hidden_dropout": 0.0},
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", NAMES)
def test_two_ranks_that_were_killed_once_are_one_process(
    name: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), str(here.parents[1])]))
    out = world.link_shared(shared, tmp_path)
    fields = NO_DROPOUT.get(name, {})
    folder = architectures.save_pretrained(name, out / "tokens/tokenizer", tmp_path / "given", **fields)
    init = {"pretrained": str(folder)}
    stages = [
        *world.scored(),
        world.pretrain("one", **SHORT, init=init),
        rank_world.pretrain("two", "fsdp2", micro_batch_size=2, **SHORT, init=init),
    ]
    world.run_stages(stages, out, only=["one"])
    with pytest.raises(RunError, match="rank 1 was ended by SIGKILL"):
        rank_world.launch(stages, out, ["two"], kill=(1, 4))
    rank_world.launch(stages, out, ["two"])
    losses = [[row["loss"] for row in read_jsonl(out / stage / "metrics.jsonl")] for stage in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], abs=2e-5)
    one, two = (load_model(out / stage / "checkpoint").state_dict() for stage in ("one", "two"))
    assert list(one) == list(two)
    # Adam's first steps enlarge the last bits where gradients are tiny, as in a mixture's router.
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 2e-3
