"""Settings of a training stage: each is used in a short run, and what is missing is told before training."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import world

from rho1bench.errors import CheckpointError, MissingPackageError, TrainingError
from rho1bench.modeling.build import check_packages, pretrained_model
from rho1bench.modeling.causal_lm import load_model, size_of_model
from rho1bench.modeling.library_internals import layer_classes
from rho1bench.recipe import PretrainedModel, PretrainStage
from rho1bench.sizing.flops import flops_per_token, peak_flops
from rho1bench.sizing.shapes import shape_of_config
from rho1bench.system.files import read_json, read_jsonl
from rho1bench.training.trainer_args import deepspeed_settings, distributed_arguments, training_arguments

SHORT: dict[str, Any] = {"max_steps": 2, "logging_steps": 1, "selection": world.SELECTION}
SETTINGS: dict[str, tuple[dict[str, Any], float]] = {
    # What is changed, and how far the losses of two steps may be from the plain run's.
    "checkpointing": ({"gradient_checkpointing": True}, 1e-6),
    "fused": ({"fused": True}, 1e-5),
    "eager": ({"attention": "eager"}, 1e-5),
    "bf16": ({"precision": "bf16"}, 0.05),
    "read_ahead": ({"loader_workers": 1}, 0.0),
}


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in read_jsonl(folder / "metrics.jsonl") if "max_steps" in row]


@pytest.fixture(scope="module")
def out(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = world.link_shared(shared, tmp_path_factory.mktemp("settings"))
    world.run_stages([*world.scored(), world.pretrain("plain", **SHORT)], out, only=["plain"])
    return out


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_trains_the_same_model(out: Path, name: str) -> None:
    fields, tolerance = SETTINGS[name]
    world.run_stages([*world.scored(), world.pretrain(name, **SHORT, **fields)], out, only=[name])
    assert losses(out / name) == pytest.approx(losses(out / "plain"), abs=tolerance)
    if name == "bf16":
        assert losses(out / name) != losses(out / "plain")
    assert {str(parameter.dtype) for parameter in load_model(out / name / "checkpoint").parameters()} == {
        "torch.float32"
    }


def test_a_checkpoint_in_bf16_is_the_model_rounded(out: Path) -> None:
    """Training is that of the float32 model; the files hold tied weights once, and say what they hold."""
    from safetensors.torch import load_file

    fields = {"checkpoint_dtype": "bfloat16", "num_checkpoints": 1}
    world.run_stages([*world.scored(), world.pretrain("rounded", **SHORT, **fields)], out, only=["rounded"])
    assert losses(out / "rounded") == losses(out / "plain")
    whole, small = (out / name / "checkpoint" for name in ("plain", "rounded"))
    assert (read_json(whole / "config.json")["dtype"], read_json(small / "config.json")["dtype"]) == (
        "float32",
        "bfloat16",
    )
    first, second = load_file(whole / "model.safetensors"), load_file(small / "model.safetensors")
    assert first.keys() == second.keys()
    assert all(weight.bfloat16().equal(second[name]) for name, weight in first.items())
    (along,) = (out / "rounded" / "checkpoints").iterdir()
    assert {str(weight.dtype) for weight in load_file(along / "model.safetensors").values()} == {"torch.bfloat16"}
    assert {str(weight.dtype) for weight in load_model(small).parameters()} == {"torch.float32"}
    config, other = (read_json(folder / "config.json") for folder in (whole, small))
    assert config | {"dtype": ""} == other | {"dtype": ""}


@pytest.mark.sweep
@pytest.mark.parametrize("compiled", [False, True])
def test_a_stage_in_float8_trains_nearly_the_same_model(out: Path, compiled: bool) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed (`make sweep` has it)")
    name = "compiled_float8" if compiled else "float8"
    fields = {"precision": "bf16", "float8": "rowwise", "compile": compiled, **SHORT}
    world.run_stages([*world.scored(), world.pretrain(name, **fields)], out, only=[name])
    assert losses(out / name) == pytest.approx(losses(out / "plain"), abs=0.05)
    assert losses(out / name) != losses(out / "plain")
    plain, found = (load_model(out / stage / "checkpoint").state_dict() for stage in ("plain", name))
    assert list(plain) == list(found)


@pytest.mark.sweep
def test_fine_tuning_in_float8(out: Path) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed (`make sweep` has it)")
    fields = {"precision": "bf16", "max_steps": 2, "logging_steps": 1, "gradient_checkpointing": True}
    stages = [
        *world.scored(),
        world.sft("sft", "base", **fields),
        world.sft("sft8", "base", **fields, float8="rowwise"),
    ]
    world.run_stages(stages, out, only=["sft", "sft8"])
    assert losses(out / "sft8") == pytest.approx(losses(out / "sft"), abs=0.05)
    assert losses(out / "sft8") != losses(out / "sft")


@pytest.mark.sweep
def test_compiled_layers_train_the_same_model(out: Path) -> None:
    world.run_stages([*world.scored(), world.pretrain("compiled", compile=True, **SHORT)], out, only=["compiled"])
    assert losses(out / "compiled") == pytest.approx(losses(out / "plain"), abs=1e-5)
    plain, compiled = (load_model(out / name / "checkpoint").state_dict() for name in ("plain", "compiled"))
    assert list(plain) == list(compiled)


def test_pretrained_weights_start_a_stage(out: Path, tmp_path: Path) -> None:
    checkpoint = out / "base/checkpoint"
    fields = {**SHORT, "init": {"pretrained": str(checkpoint)}}
    world.run_stages([*world.scored(), world.pretrain("given", **fields)], out, only=["given"])
    assert losses(out / "given") == losses(out / "plain")
    assert read_json(out / "given/training.json")["init"]["pretrained"] == str(checkpoint)
    pickled = shutil.copytree(checkpoint, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    fields["init"] = {"pretrained": str(pickled)}
    with pytest.raises(CheckpointError, match=r"pickled: the weights are only in pytorch_model\.bin"):
        world.run_stages([*world.scored(), world.pretrain("refused", **fields)], out, only=["refused"])


def test_weights_come_with_the_tokenizer_of_the_stage(shared: Path, tmp_path: Path) -> None:
    tokenizer, folder = shared / "tokens/tokenizer", tmp_path / "given"
    shutil.copytree(shared / "base/checkpoint", folder)
    given = PretrainedModel(pretrained=str(folder))
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text + "\n")  # differs in form alone
    pretrained_model(given, tokenizer)
    vocabulary = json.loads(text)["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.__getitem__)[300:302]
    swapped = json.loads(text)
    swapped["model"]["vocab"] |= {first: vocabulary[second], second: vocabulary[first]}
    (folder / "tokenizer.json").write_text(json.dumps(swapped))
    with pytest.raises(CheckpointError, match=f"^{folder}: has another tokenizer .* than the stage, in {tokenizer}"):
        pretrained_model(given, tokenizer)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=f"^{folder}: has no tokenizer.json, so nothing tells"):
        pretrained_model(given, tokenizer)


def test_a_mistral_of_random_weights(shared: Path) -> None:
    from rho1bench.modeling.fresh_weights import fresh_model
    from rho1bench.recipe import ModelConfig

    shape = ModelConfig.model_validate({**world.MODEL, "architecture": "mistral"})
    model = fresh_model(shape, shared / "tokens/tokenizer", 0)
    assert (model.config.model_type, model.config.sliding_window) == ("mistral", None)
    assert layer_classes(model) == ["MistralDecoderLayer"]


def stage(**fields: Any) -> PretrainStage:
    return PretrainStage.model_validate(world.pretrain("stage", **fields))


@pytest.mark.parametrize(
    ("fields", "install"),
    [
        ({"loggers": ["tensorboard"]}, "pip install 'rho1bench[tensorboard]'"),
        ({"loggers": ["trackio"]}, "pip install trackio"),
        ({"loggers": ["wandb"]}, "pip install wandb"),
        ({"distributed": {"strategy": "deepspeed"}}, "pip install deepspeed"),
        ({"attention": "flash_attention_2"}, "pip install flash-attn --no-build-isolation"),
        ({"float8": "rowwise"}, "pip install 'rho1bench[float8]'"),
    ],
)
def test_a_missing_package_is_told_before_training(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], install: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MissingPackageError) as caught:
        check_packages(stage(**fields))
    assert install in str(caught.value)
    check_packages(stage())


def test_tensorboard_gets_the_rows_of_the_metrics(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    world.run_stages(
        [*world.scored(), world.pretrain("logged", loggers=["tensorboard"], **SHORT)], out, only=["logged"]
    )
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR")
    events = accumulator.EventAccumulator(str(out / "logged/tensorboard")).Reload()
    (tag,) = [tag for tag in events.Tags()["scalars"] if tag.endswith("loss_unselected")]
    logged = [row["loss_unselected"] for row in read_jsonl(out / "logged/metrics.jsonl")]
    assert [event.value for event in events.Scalars(tag)] == pytest.approx(logged, rel=1e-6)


def test_arguments_of_the_strategies(tmp_path: Path) -> None:
    assert distributed_arguments(stage()) == {}
    ddp = distributed_arguments(stage(distributed={"strategy": "ddp"}))
    assert ddp["ddp_find_unused_parameters"] is False
    assert "fsdp" not in distributed_arguments(stage(distributed={"strategy": "fsdp2"}))  # modeling.sharding
    deepspeed = stage(distributed={"strategy": "deepspeed"}, precision="bf16", batch_size=32, micro_batch_size=4)
    settings = deepspeed_settings(deepspeed)
    assert settings["zero_optimization"]["stage"] == 2  # the selective loss reads the head outside of its module
    assert (settings["train_batch_size"], settings["bf16"]["enabled"]) == (32, True)
    assert json.dumps(settings)
    arguments = training_arguments(deepspeed, tmp_path, 0, num_processes=2)
    assert (arguments["gradient_accumulation_steps"], arguments["deepspeed"]) == (4, settings)


def test_flops_utilisation(shared: Path) -> None:
    assert peak_flops("NVIDIA H100 80GB HBM3", "bf16") == 989e12
    assert peak_flops("NVIDIA H100 PCIe", "bf16") == 756e12
    assert peak_flops("NVIDIA A100-SXM4-80GB", "fp32") == 19.5e12
    assert peak_flops("Some other device", "bf16") is None
    hidden, inner, vocabulary = 32, 64, 400
    weights = vocabulary * hidden + 2 * (4 * hidden * hidden + 3 * hidden * inner)
    expected = 6 * weights + 12 * 2 * hidden * 48
    model = load_model(shared / "base/checkpoint")
    assert math.isclose(flops_per_token(size_of_model(model), 48), expected)
    shape = shape_of_config(model.config.to_dict())
    assert shape is not None
    assert flops_per_token(shape, 48) == expected
    assert shape.num_parameters == model.num_parameters()


def test_fine_tuning_with_ratio_one_is_plain_fine_tuning(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rho1bench.selection.selector import Selector
    from rho1bench.training import sft

    short = {"max_steps": 2, "logging_steps": 1}
    full = {"selection": {"score": "excess_loss", "ratio": 1.0}, "reference": "reference"}
    stages = [
        *world.scored(),
        world.sft("sft_plain", "base", **short),
        world.sft("sft_full", "base", **short, **full),
        world.sft("sft_path", "base", **short),
    ]
    world.run_stages(stages, out, only=["sft_plain", "sft_full"])
    plain, ours = (load_model(out / name / "checkpoint").state_dict() for name in ("sft_plain", "sft_full"))
    assert all(bool((plain[name] == ours[name]).all()) for name in plain)
    # The selective trainer itself, given every token: another order of sums, the same training.
    monkeypatch.setattr(
        sft,
        "_trainer",
        lambda context, stage, model, samples, folder: sft._selective_trainer(
            context, stage, sft.SelectiveLM(model, Selector(None, 0)), samples, folder
        ),
    )
    world.run_stages(stages, out, only=["sft_path"])
    assert losses(out / "sft_path") == pytest.approx(losses(out / "sft_plain"), abs=5e-6)
    rows = [read_jsonl(out / name / "metrics.jsonl")[-1] for name in ("sft_path", "sft_plain")]
    assert [row["tokens"] for row in rows] == [rows[0]["tokens"]] * 2
    assert [row["selected_tokens"] for row in rows] == [rows[0]["selected_tokens"]] * 2


def test_fine_tuning_keeps_the_best_scored_labels(out: Path) -> None:
    chosen = {"selection": {"score": "reference_loss", "ratio": 0.5}, "reference": "reference"}
    name = "sft_half"
    world.run_stages(
        [*world.scored(), world.sft(name, "base", max_steps=2, logging_steps=1, **chosen)], out, only=[name]
    )
    for row in read_jsonl(out / name / "metrics.jsonl"):
        assert row["select_ratio"] == pytest.approx(0.5, abs=0.005)
        assert row["loss_selected"] < row["loss_unselected"]
    assert (out / "sft_half/reference_scores.npy").is_file()


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"selection": {"score": "excess_loss", "ratio": 0.5}}, "Name the model in `reference`"),
        ({"selection": {**world.SELECTION}, "reference": "reference"}, "are the scores of a packed corpus"),
    ],
)
def test_a_selection_in_fine_tuning_needs_its_reference(out: Path, fields: dict[str, Any], word: str) -> None:
    with pytest.raises(TrainingError, match=word):
        world.run_stages([*world.scored(), world.sft("wrong", "base", **fields)], out, only=["wrong"])
