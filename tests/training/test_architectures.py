"""Architectures beside Llama: resuming, measuring under dropout, and document masking; all of them in the sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import architectures
import pytest
import torch
import world

from rho1bench.errors import CheckpointError
from rho1bench.modeling.causal_lm import check_document_masking, weights_sha256
from rho1bench.selection.selective_lm import SelectiveLM
from rho1bench.selection.selector import Selector
from rho1bench.system.files import read_jsonl
from rho1bench.training.callbacks import StageCallback
from rho1bench.training.measurements import block_losses

SHORT: dict[str, Any] = {"max_steps": 4, "save_steps": 2, "logging_steps": 1}
MEASURED: dict[str, Any] = {"validation": "held_out", "validation_steps": 1}
TIMES = ("tokens_per_second", "pre_pass_seconds")


def by_default(*names: str, among: Any = architectures.FIELDS) -> list[Any]:
    """All architectures: ``names`` in every run of the tests, the others in the sweep."""
    return [pytest.param(name, marks=() if name in names else pytest.mark.sweep) for name in among]


def rows(folder: Path) -> list[dict[str, Any]]:
    found = [row for row in read_jsonl(folder / "metrics.jsonl") if "max_steps" in row]
    return [{key: value for key, value in row.items() if key not in TIMES} for row in found]


@pytest.fixture
def out(shared: Path, tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return world.link_shared(shared, tmp_path / "run")


def pretrained(name: str, out: Path) -> dict[str, Any]:
    folder = architectures.save_pretrained(name, out / "tokens/tokenizer", out.parent / name)
    return {"pretrained": str(folder)}


def run_and_interrupt(stages: list[dict[str, Any]], out: Path, name: str) -> None:
    """Run a stage to just before its last step, then again to its end."""

    def stop(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(StageCallback, "on_step_begin", stop)
        with pytest.raises(KeyboardInterrupt):
            world.run_stages(stages, out, only=[name])
    (point,) = (out / name / "trainer").glob("checkpoint-*")
    assert point.name == "checkpoint-2"
    for path in (point / "tensors/__0_0.distcp", point / "scheduler.pt"):
        flip(path)
        with pytest.raises(CheckpointError, match=rf"{path.name}: is missing or was changed .* Remove the folder"):
            world.run_stages(stages, out, only=[name])
        flip(path)
    world.run_stages(stages, out, only=[name])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


STAGES = [(kind, name) for name in architectures.FIELDS for kind in ("pretrain", "sft")]
QUICK = (("pretrain", "mixtral"), ("sft", "gpt_neox"))


@pytest.mark.parametrize(
    ("kind", "name"), [pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.sweep) for pair in STAGES]
)
def test_an_interrupted_stage_goes_on_to_the_same_weights(name: str, kind: str, out: Path) -> None:
    init = pretrained(name, out)
    if kind == "pretrain":
        stages = [world.pretrain(stage, **SHORT, init=init) for stage in ("straight", "resumed")]
    else:
        stages = [world.sft(stage, init, **SHORT) for stage in ("straight", "resumed")]
    stages = [*world.scored(), *stages]
    world.run_stages(stages, out, only=["straight"])
    run_and_interrupt(stages, out, "resumed")
    assert rows(out / "resumed") == rows(out / "straight")
    assert weights_sha256(out / "resumed/checkpoint") == weights_sha256(out / "straight/checkpoint")


@pytest.mark.parametrize("name", by_default("gpt2", among=architectures.WITH_DROPOUT))
def test_measuring_leaves_no_trace_under_dropout(name: str, out: Path) -> None:
    init = pretrained(name, out)
    everything = {**world.SELECTION, "ratio": 1.0}
    stages = [
        world.pretrain("clm", **SHORT, init=init, micro_batch_size=4),
        world.pretrain("all_tokens", **SHORT, init=init, micro_batch_size=4, selection=everything, **MEASURED),
        world.pretrain("monitored", **SHORT, init=init, micro_batch_size=4, monitor=world.SELECTION, **MEASURED),
        world.pretrain("slm", **SHORT, init=init, micro_batch_size=4, selection=world.SELECTION),
        world.pretrain("slm_measured", **SHORT, init=init, micro_batch_size=4, selection=world.SELECTION, **MEASURED),
    ]
    names = [stage["name"] for stage in stages]
    world.run_stages([*world.scored(), *stages], out, only=names)
    hashes = {name: weights_sha256(out / name / "checkpoint") for name in names}
    assert hashes["all_tokens"] == hashes["monitored"] == hashes["clm"]
    assert rows(out / "all_tokens") == rows(out / "clm")
    assert hashes["slm_measured"] == hashes["slm"] != hashes["clm"]
    assert rows(out / "slm_measured") == rows(out / "slm")
    # The dropout is real: another order of micro-batches draws other masks.
    stages.append(world.pretrain("whole", **SHORT, init=init))
    world.run_stages([*world.scored(), *stages], out, only=["whole"])
    assert abs(rows(out / "whole")[0]["loss"] - rows(out / "clm")[0]["loss"]) > 1e-5


def test_the_pass_before_a_step_draws_nothing_from_training(out: Path) -> None:
    """Scores of the model's losses that come to the same choice as scores without it give the same trajectory."""
    init = pretrained("gpt2", out)
    kept = {"score": "reference_loss", "ratio": 0.999999, "token_scores": "scores"}
    stages = [
        world.pretrain("plain", **SHORT, init=init, micro_batch_size=4, selection=kept),
        world.pretrain("ahead", **SHORT, init=init, micro_batch_size=4, selection={**kept, "score": "excess_loss"}),
    ]
    world.run_stages([*world.scored(), *stages], out, only=["plain", "ahead"])
    plain, ahead = rows(out / "plain"), rows(out / "ahead")
    # One token of 376 differs; other dropout masks would move the loss by far more.
    assert [row["selected_tokens"] for row in plain] == [row["selected_tokens"] for row in ahead]
    assert plain[0]["loss_all"] == pytest.approx(ahead[0]["loss_all"], abs=1e-6)


@pytest.mark.parametrize("name", list(architectures.FIELDS))
def test_documents_are_kept_apart_or_refused_by_name(name: str) -> None:
    model = architectures.make_model(name)
    ids_BT = torch.randint(400, (2, 24), generator=torch.Generator().manual_seed(1))
    changed_BT = ids_BT.clone()
    changed_BT[:, :10] = (changed_BT[:, :10] + 7) % 400
    positions_BT = torch.tensor([*range(10), *range(14)]).repeat(2, 1)

    def second_document(blocks_BT: torch.Tensor) -> torch.Tensor:
        return block_losses(SelectiveLM(model, Selector(None, 0)), blocks_BT, positions_BT)[:, 10:]

    if name in architectures.ONE_DOCUMENT_ONLY:
        with pytest.raises(CheckpointError, match=rf"^here: a {type(model).__name__} does not keep .* apart"):
            check_document_masking(model, "here")
    else:
        check_document_masking(model, "here")
        torch.testing.assert_close(second_document(changed_BT), second_document(ids_BT), atol=1e-5, rtol=0.0)
    assert model.training


def test_masking_is_refused_before_any_step(out: Path) -> None:
    init = pretrained("opt", out)
    masked = {"name": "masked", "kind": "corpus", "tokenizer": "tokens", "block_size": 48, "document_masking": True}
    masked["sources"] = [world.source("web", 20)]
    stages = [
        *world.scored(),
        masked,
        world.pretrain("trained", **SHORT, init=init, corpus="masked"),
        world.pretrain("validated", **SHORT, init=init, validation="masked"),
        {"name": "other", "kind": "score", "reference": init, "corpus": "masked"},
    ]
    world.run_stages(stages, out, only=["masked"])
    for name in ("trained", "validated", "other"):
        with pytest.raises(CheckpointError, match="OPTForCausalLM does not keep the documents of a block apart"):
            world.run_stages(stages, out, only=[name])
        assert not (out / name / "metrics.jsonl").exists()
