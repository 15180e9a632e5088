"""One process, accumulation and two processes (gloo on a CPU) are one training run; a rank may die."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import architectures
import numpy as np
import pytest
import rank_world
import world

from rho1bench.errors import RunError
from rho1bench.modeling.causal_lm import load_model, weights_sha256
from rho1bench.system.files import read_json, read_jsonl
from rho1bench.training.sample_scores import SCORES

GLOBAL = world.SELECTION
BLOCKS = {**GLOBAL, "scope": {"blocks": 4}}
MICRO = {**GLOBAL, "scope": "micro_batch"}
WEIGHTED = {"score": "entropy_weight", "parameters": {"power": 2.0}}
STORED = {"score": "reference_loss", "ratio": 0.6, "token_scores": "scores"}
AVERAGE = {"score": "self_gain", "ratio": 0.6, "moving_average": 0.9}
SHORT: dict[str, Any] = {"max_steps": 6, "save_steps": 3, "logging_steps": 1}
HELD_OUT: dict[str, Any] = {"validation": "held_out", "validation_steps": 3, "num_checkpoints": 1}
SFT_SELECTION: dict[str, Any] = {"selection": {"score": "excess_loss", "ratio": 0.6}, "reference": "reference", **SHORT}
PAIRS = [
    ("one_global", "two_global"),
    ("one_global", "sharded"),
    ("one_sft", "two_sft"),
    ("one_sft_selective", "two_sft_selective"),
]
MORE_PAIRS = [
    ("one_blocks", "two_blocks"),
    ("one_weighted", "two_weighted"),
    ("one_clm", "accumulated_clm"),
    ("one_clm", "two_clm"),
    ("one_global", "accumulated_global"),
    ("one_micro", "two_micro"),
    ("one_average", "two_average"),
    ("one_average", "sharded_average"),
    ("one_gpt2", "sharded_gpt2"),
    ("one_global", "hybrid"),
    ("one_blocks", "accumulated_blocks"),
    ("one_blocks", "two_blocks_a_pass"),
]
"""The sweep's; accumulation in one process is also one of the invariants' tests."""
# Sums run in another order, and Adam's first steps enlarge the last bits where gradients are tiny.
LOSS_TOLERANCE, WEIGHT_TOLERANCE = 2e-6, 2e-6
BF16, BF16_TOLERANCE = ("two_bf16", "sharded_bf16"), 3e-4
"""Shards of bf16 products round the norms of the layers too, which a whole model under autocast does not."""

FLOAT8 = {"precision": "bf16", "float8": "rowwise"}


def stages(out: Path) -> list[dict[str, Any]]:
    one, two = world.pretrain, rank_world.pretrain
    gpt2 = {"init": {"pretrained": str(out / "gpt2")}}
    distributed = {"distributed": {"strategy": "ddp"}}
    return [
        *world.scored(),
        one("one_clm", **SHORT),
        one("one_global", selection=GLOBAL, **SHORT, **HELD_OUT),
        one("one_blocks", selection=BLOCKS, **SHORT),
        one("accumulated_blocks", micro_batch_size=2, selection=BLOCKS, **SHORT),
        two("two_blocks", micro_batch_size=1, selection=BLOCKS, **SHORT),
        two("two_blocks_a_pass", micro_batch_size=2, selection=BLOCKS, **SHORT),
        one("one_micro", selection=MICRO, **SHORT),
        one("one_weighted", selection=WEIGHTED, **SHORT),
        one("one_average", selection=AVERAGE, **SHORT),
        one("accumulated_clm", micro_batch_size=1, **SHORT),
        one("accumulated_global", micro_batch_size=1, selection=GLOBAL, **SHORT),
        one("one_gpt2", **SHORT, **gpt2),
        world.sft("one_sft", "base", **SHORT),
        world.sft("one_sft_selective", "base", micro_batch_size=2, **SFT_SELECTION),
        two("two_clm", micro_batch_size=2, **SHORT),
        two("two_global", micro_batch_size=2, selection=GLOBAL, **SHORT, **HELD_OUT),
        two("two_micro", micro_batch_size=4, selection=MICRO, **SHORT),
        two("two_weighted", micro_batch_size=4, selection=WEIGHTED, **SHORT),
        two("two_average", micro_batch_size=2, selection=AVERAGE, **SHORT),
        two("sharded_average", "fsdp2", micro_batch_size=2, selection=AVERAGE, **SHORT),
        two("killed", micro_batch_size=2, selection=AVERAGE, **SHORT),
        two("sharded", "fsdp2", micro_batch_size=2, selection=GLOBAL, **SHORT, **HELD_OUT),
        two("hybrid", "fsdp2", micro_batch_size=2, selection=GLOBAL, **SHORT),
        two("two_bf16", micro_batch_size=4, selection=STORED, precision="bf16", **SHORT),
        two("sharded_bf16", "fsdp2", micro_batch_size=4, selection=STORED, precision="bf16", **SHORT),
        two("two_float8", micro_batch_size=4, selection=STORED, **FLOAT8, **SHORT),
        two("sharded_float8", "fsdp2", micro_batch_size=4, selection=STORED, **FLOAT8, **SHORT),
        two("moved", "fsdp2", micro_batch_size=2, selection=GLOBAL, **SHORT),
        two("sharded_gpt2", "fsdp2", micro_batch_size=2, **SHORT, **gpt2),
        two("sharded_killed", "fsdp2", micro_batch_size=2, selection=GLOBAL, **SHORT, **HELD_OUT),
        world.sft("two_sft", "base", micro_batch_size=2, **SHORT, **distributed),
        world.sft("two_sft_selective", "base", micro_batch_size=2, **SFT_SELECTION, **distributed),
    ]


def carry_out(out: Path, names: Iterable[str]) -> None:
    """Run the stages of these names that have not run: those of one process here, the others in one start of two."""
    missing = [name for name in dict.fromkeys(names) if not (out / name / "training.json").exists()]
    alone = [name for name in missing if name.startswith(("one", "acc"))]
    world.run_stages(stages(out), out, only=alone)
    rank_world.launch(stages(out), out, [name for name in missing if name not in alone])


@pytest.fixture(scope="module")
def run(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The stages of ``PAIRS``."""
    out = world.link_shared(shared, tmp_path_factory.mktemp("ranks"))
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    architectures.save_pretrained("gpt2", out / "tokens/tokenizer", out / "gpt2", **no_dropout)
    with pytest.MonkeyPatch.context() as patched:
        here = Path(__file__).parent
        patched.setenv(
            "PYTHONPATH", os.pathsep.join([str(here), str(here.parents[1]), os.environ.get("PYTHONPATH", "")])
        )
        carry_out(out, chain(*PAIRS, BF16))
        yield out


@pytest.fixture(scope="module")
def more(run: Path) -> Path:
    carry_out(run, chain(*MORE_PAIRS))
    return run


def rows(folder: Path) -> list[dict[str, Any]]:
    timed = ("tokens_per_second", "pre_pass_seconds")
    return [{k: v for k, v in row.items() if k not in timed} for row in read_jsonl(folder / "metrics.jsonl")]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_processes_are_one_large_batch(run: Path, one: str, other: str) -> None:
    assert_same_training(run, one, other)


@pytest.mark.sweep
@pytest.mark.parametrize(("one", "other"), MORE_PAIRS)
def test_processes_and_accumulation_are_one_large_batch(more: Path, one: str, other: str) -> None:
    assert_same_training(more, one, other)


def assert_same_training(run: Path, one: str, other: str) -> None:
    logged = [[row for row in rows(run / name) if "max_steps" in row] for name in (one, other)]
    assert len(logged[0]) == len(logged[1]) == 6
    for expected, found in zip(*logged, strict=True):
        for key in ("step", "tokens", "selected_tokens", "learning_rate", "select_ratio"):
            assert found[key] == expected[key], key
        for key in ("loss", "loss_all", "loss_unselected", "threshold"):
            assert found[key] == pytest.approx(expected[key], abs=LOSS_TOLERANCE), key
    models = [load_model(run / name / "checkpoint").state_dict() for name in (one, other)]
    assert list(models[0]) == list(models[1])
    assert max(float((models[0][name] - models[1][name]).abs().max()) for name in models[0]) < WEIGHT_TOLERANCE


def test_shards_of_bf16_products_train_as_a_whole_model(run: Path) -> None:
    """And choose by the very scores that are stored: their thresholds are equal to the last bit."""
    whole, sharded = (rows(run / name) for name in BF16)
    assert [row["threshold"] for row in sharded] == [row["threshold"] for row in whole]
    assert [row["selected_tokens"] for row in sharded] == [row["selected_tokens"] for row in whole]
    for key in ("loss", "loss_all", "loss_unselected"):
        assert [row[key] for row in sharded] == pytest.approx([row[key] for row in whole], abs=BF16_TOLERANCE), key


@pytest.mark.sweep
def test_shards_of_float8_products_train_as_a_whole_model(run: Path) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed (`make sweep` has it)")
    carry_out(run, ("two_float8", "sharded_float8"))
    whole, sharded = (rows(run / name) for name in ("two_float8", "sharded_float8"))
    assert [row["threshold"] for row in sharded] == [row["threshold"] for row in whole]
    assert [row["loss"] for row in sharded] == pytest.approx([row["loss"] for row in whole], abs=10 * BF16_TOLERANCE)
    assert [row["loss"] for row in whole] != [row["loss"] for row in rows(run / BF16[0])]


def test_each_rank_scores_its_share_of_samples(run: Path) -> None:
    """The same numbers as those of one process, to the last bit, if batches are alike."""
    shares = [read_json(run / f"batches-of-{rank}.json") for rank in range(rank_world.RANKS)]
    assert 0 <= len(shares[0]) - len(shares[1]) <= 1
    samples = [number for share in shares for batch in share for number in batch]
    one, two = (np.load(run / name / SCORES) for name in ("one_sft_selective", "two_sft_selective"))
    assert sorted(samples) == list(range(len(samples)))
    assert np.array_equal(one, two)
    assert not (run / "two_sft_selective" / SCORES).with_suffix("").exists()


@pytest.mark.parametrize("name", ["two_global", "sharded"])
def test_only_one_rank_writes(run: Path, name: str) -> None:
    assert [row["step"] for row in rows(run / name)] == [row["step"] for row in rows(run / "one_global")]
    for found, expected in zip(rows(run / name), rows(run / "one_global"), strict=True):
        assert found.get("validation_loss") == pytest.approx(expected.get("validation_loss"), abs=LOSS_TOLERANCE)
    probes = [
        [(row["step"], row["selected"]) for row in read_jsonl(run / stage / "selected_tokens.jsonl")]
        for stage in (name, "one_global")
    ]
    assert probes[0] == probes[1]
    assert [path.name for path in (run / name / "checkpoints").iterdir()] == ["step-000003"]
    assert read_json(run / name / "training.json")["num_parameters"] > 0
    assert not (run / name / "trainer").exists()


@pytest.mark.sweep
@pytest.mark.parametrize(("killed", "straight"), [("killed", "two_average"), ("sharded_killed", "sharded")])
def test_killed_and_resumed_equals_straight_with_two_ranks(more: Path, killed: str, straight: str) -> None:
    with pytest.raises(RunError, match=rf"stage '{killed}': rank 1 was ended by SIGKILL .* resume point"):
        rank_world.launch(stages(more), more, [killed], kill=(1, 5))
    assert [path.name for path in (more / killed / "trainer").glob("checkpoint-*")] == ["checkpoint-3"]
    rank_world.launch(stages(more), more, [killed])
    assert weights_sha256(more / killed / "checkpoint") == weights_sha256(more / straight / "checkpoint")
    assert rows(more / killed) == rows(more / straight)


@pytest.mark.sweep
def test_a_resume_point_of_two_shards_is_read_by_one_process(more: Path) -> None:
    with pytest.raises(RunError, match="rank 1 was ended by SIGKILL"):
        rank_world.launch(stages(more), more, ["moved"], kill=(1, 5))
    alone = [stage | ({"distributed": None} if stage["name"] == "moved" else {}) for stage in stages(more)]
    world.run_stages(alone, more, only=["moved"])
    assert_same_training(more, "one_global", "moved")


@pytest.mark.sweep
def test_four_processes_are_one(more: Path) -> None:
    four = {"distributed": {"strategy": "ddp"}}
    recipe = [*stages(more), world.pretrain("four_blocks", micro_batch_size=1, selection=BLOCKS, **SHORT, **four)]
    rank_world.launch(recipe, more, ["four_blocks"], ranks=4)
    assert_same_training(more, "one_blocks", "four_blocks")
