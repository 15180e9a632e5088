from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import world
from hypothesis import given
from hypothesis import strategies as st
from transformers.trainer_pt_utils import AcceleratorConfig

from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.errors import CheckpointError, TrainingError
from rho1bench.modeling.build import initial_model
from rho1bench.modeling.fresh_weights import fresh_model
from rho1bench.recipe import ModelConfig, Optimizer, PretrainStage, Recipe
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.recipe.models.training import checkpoint_steps
from rho1bench.selection.block_reader import BlockReader
from rho1bench.system.files import append_jsonl, read_jsonl
from rho1bench.training.callbacks import cut_rows
from rho1bench.training.datasets import BlockDataset, block_order
from rho1bench.training.loss_sums import LossSums
from rho1bench.training.trainer_args import optimizer_arguments, training_arguments
from rho1bench.training.trainers.resume_points import check_resume_point, latest_resume_point, note_files


@given(st.integers(1, 30), st.integers(1, 100), st.integers(0, 5))
def test_every_epoch_is_a_permutation(num_blocks: int, num_samples: int, seed: int) -> None:
    order = block_order(num_blocks, num_samples, seed, "corpus")
    assert len(order) == num_samples
    for start in range(0, num_samples - num_blocks + 1, num_blocks):
        assert sorted(order[start : start + num_blocks]) == list(range(num_blocks))
    assert max(Counter(order.tolist()).values()) == -(-num_samples // num_blocks)
    # A longer run begins with the same blocks.
    longer = block_order(num_blocks, num_samples + 17, seed, "corpus")
    np.testing.assert_array_equal(longer[:num_samples], order)


def test_order_depends_on_seed_and_corpus() -> None:
    orders = [block_order(50, 100, seed, corpus).tolist() for seed, corpus in [(0, "a"), (1, "a"), (0, "b")]]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert orders[0][:50] != orders[0][50:]


def test_batches_carry_the_right_blocks_and_scores(shared: Path) -> None:
    from rho1bench.selection.score_store import TokenScores

    corpus, scores = PackedCorpus(shared / "web"), TokenScores(shared / "scores")
    order = block_order(len(corpus), 20, 0, corpus.fingerprint)
    reader = BlockReader(corpus, ["reference.entropies"], {"reference": scores})
    batch = BlockDataset(reader, order).__getitems__([3, 4])
    inputs = batch["inputs"]
    for row, sample in enumerate([3, 4]):
        np.testing.assert_array_equal(batch["input_ids"][row], corpus.block(order[sample]))
        np.testing.assert_array_equal(inputs["reference.entropies"][row], scores.block(order[sample])[1:, 1])
        assert inputs["token_positions"][row].tolist() == [sample * 48 + position for position in range(1, 48)]
    assert set(BlockDataset(BlockReader(corpus), order)[0]["inputs"]) == {"eligible", "token_positions"}


@given(st.integers(1, 1000), st.integers(0, 12))
def test_checkpoints_are_evenly_spaced_and_leave_the_last_step(max_steps: int, num: int) -> None:
    steps = checkpoint_steps(max_steps, num)
    assert steps == sorted(set(steps))
    assert all(0 < step < max_steps for step in steps)
    if max_steps > 2 * num:
        assert len(steps) == num
    gaps = np.diff([0, *steps, max_steps])
    if max_steps > 2 * num and num:
        assert gaps.max() - gaps.min() <= 1


def test_rows_after_the_resume_point_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step in (0, 5, 5, 7):
        append_jsonl(path, {"step": step})
    with path.open("a") as handle:
        handle.write('{"step": 8, "lo')
    cut_rows(path, 5)
    assert [row["step"] for row in read_jsonl(path)] == [0, 5, 5]
    cut_rows(path, None)
    assert read_jsonl(path) == []
    cut_rows(tmp_path / "absent.jsonl", 3)


def test_only_whole_resume_points_count(tmp_path: Path) -> None:
    assert latest_resume_point(tmp_path) is None
    (tmp_path / "partial/checkpoint-30").mkdir(parents=True)
    for name in ("checkpoint-5", "checkpoint-20", "checkpoint-9.tmp"):
        (tmp_path / name).mkdir()
    point = latest_resume_point(tmp_path)
    assert point is not None
    assert point.name == "checkpoint-20"
    assert not (tmp_path / "partial").exists()


def test_a_resume_point_with_a_changed_byte_is_refused_by_name(tmp_path: Path) -> None:
    """Any byte of any file; the trainer's own files are checked in ``test_architectures.py``."""
    point = tmp_path / "checkpoint-5"
    (point / "tensors").mkdir(parents=True)
    contents = {"scheduler.pt": b"rates", "tensors/.metadata": b"names", "tensors/__0_0.distcp": b"w"}
    for name, data in contents.items():
        (point / name).write_bytes(data)
    note_files(point)
    check_resume_point(point)
    for name, data in contents.items():
        (point / name).write_bytes(bytes([data[0] ^ 16]) + data[1:])
        with pytest.raises(CheckpointError, match=rf"{name}: is missing or was changed .* Remove the folder {point}"):
            check_resume_point(point)
        (point / name).write_bytes(data)
    for spoil in (lambda path: path.write_text("{"), lambda path: path.unlink()):
        spoil(point / "hashes.json")
        with pytest.raises(CheckpointError, match=r"hashes\.json: is missing or was changed"):
            check_resume_point(point)


def test_totals_add_up() -> None:
    totals = LossSums(2.0, 2, 9.0, 3, 2.0, 2, 10, 0.5)
    totals.add(LossSums(4.0, 2, 5.0, 3, 4.0, 2, 10, 0.25))
    assert LossSums(**totals.as_dict()) == totals
    assert totals.tokens == 20
    assert totals.row() == {
        "loss": 1.5,
        "loss_all": 14 / 6,
        "loss_selected": 1.5,
        "loss_unselected": 4.0,
        "select_ratio": 4 / 6,
        "threshold": 0.25,
    }
    assert LossSums(2.0, 2, 2.0, 2).row()["loss_unselected"] is None


def stage(**fields: Any) -> PretrainStage:
    return PretrainStage.model_validate(world.pretrain("stage", **fields))


@pytest.mark.parametrize("on_gpu", [False, True])
def test_batches_go_to_a_gpu_without_a_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_gpu: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: on_gpu)
    arguments = training_arguments(stage(), tmp_path, 0)
    assert arguments["dataloader_pin_memory"] == on_gpu  # else the copy would wait all the same
    assert AcceleratorConfig(**arguments["accelerator_config"]).non_blocking == on_gpu


def test_batch_is_split_over_processes_and_micro_batches(tmp_path: Path) -> None:
    arguments = training_arguments(stage(batch_size=48, micro_batch_size=4), tmp_path, 0, num_processes=3)
    assert (arguments["per_device_train_batch_size"], arguments["gradient_accumulation_steps"]) == (4, 4)
    arguments = training_arguments(stage(batch_size=48), tmp_path, 0)
    assert (arguments["per_device_train_batch_size"], arguments["gradient_accumulation_steps"]) == (48, 1)
    for fields, processes in [({"batch_size": 10, "micro_batch_size": 4}, 1), ({"batch_size": 2}, 3)]:
        with pytest.raises(TrainingError, match="is no multiple"):
            training_arguments(stage(**fields), tmp_path, 0, processes)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 0.625, 0.25, 0.125]),
        ("cosine", [0.5, 1.0, 0.691341716, 0.146446609, 0.038060234]),
        ("wsd", [0.5, 1.0, 1.0, 1.0, 0.5]),
    ],
)
def test_schedules(schedule: Any, expected: list[float], tmp_path: Path) -> None:
    import torch
    from transformers import get_scheduler

    arguments = optimizer_arguments(
        Optimizer(learning_rate=1.0, schedule=schedule, warmup_steps=2, decay_fraction=0.2), 10
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(
        arguments["lr_scheduler_type"],
        optimizer,
        num_warmup_steps=arguments["warmup_steps"],
        num_training_steps=10,
        scheduler_specific_kwargs=arguments.get("lr_scheduler_kwargs"),
    )
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert [rates[step] for step in (1, 2, 5, 8, 9)] == pytest.approx(expected)


def test_fresh_models_depend_on_the_seed_only(shared: Path) -> None:
    import torch

    folder, shape = shared / "tokens/tokenizer", ModelConfig.model_validate(world.MODEL)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = fresh_model(shape, folder, 0)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    again, other = fresh_model(shape, folder, 0), fresh_model(shape, folder, 1)
    weight = "model.layers.1.mlp.up_proj.weight"
    assert torch.equal(first.state_dict()[weight], again.state_dict()[weight])
    assert not torch.equal(first.state_dict()[weight], other.state_dict()[weight])
    assert first.lm_head.weight is first.model.embed_tokens.weight
    assert first.config.num_key_value_heads == 2


def test_too_short_a_context_is_refused(shared: Path) -> None:
    from rho1bench.pipeline.stage import StageContext
    from rho1bench.system.progress import SilentProgress

    recipe = Recipe.model_validate({"name": "tiny", "stages": world.scored()})
    folders = {stage.name: shared / stage.name for stage in recipe.stages}
    context = StageContext(recipe, recipe.stages[0], shared, folders, 0, SilentProgress())
    with pytest.raises(CheckpointError, match="at most 160 tokens"):
        initial_model(context, stage(init="base"), shared / "tokens/tokenizer", 161)
    with pytest.raises(CheckpointError, match="holds no finished checkpoint"):
        initial_model(context, stage(init="scores"), shared / "tokens/tokenizer", 16)


def test_quickstart_trains_clm_and_slm_alike() -> None:
    recipe = load_recipe("quickstart", [])
    slm, clm = recipe.stage("slm"), recipe.stage("clm")
    different = {"name", "selection", "monitor"}
    assert slm.model_dump(exclude=different) == clm.model_dump(exclude=different)
    assert isinstance(slm, PretrainStage)
    assert isinstance(clm, PretrainStage)
    assert slm.selection is not None
    assert slm.selection.ratio < 1.0
    assert clm.selection is None
