"""A trainer of one's own: the trajectory of a recipe's stages, from stored scores and from a reference in each step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import world
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, Trainer, TrainingArguments
from trl import SFTConfig, SFTTrainer

from rho1bench.corpus.sources.documents import BadRows
from rho1bench.corpus.tokenizer import load_raw_tokenizer, special_tokens
from rho1bench.errors import TrainingError
from rho1bench.recipe import PretrainStage, SFTStage
from rho1bench.selection.dataset_scores import score_dataset
from rho1bench.system.files import read_jsonl, sha256_json
from rho1bench.training.datasets import block_order
from rho1bench.training.packed_rows import PackedRows, packed_rows
from rho1bench.training.sft_data import fitting_samples
from rho1bench.training.token_inputs import token_inputs
from rho1bench.training.trainer_args import training_arguments
from rho1bench.training.trainers.selective_loss import SelectiveLoss

SELECTION = {"score": "excess_loss", "ratio": 0.6}


class SelectiveTrainer(SelectiveLoss, Trainer):
    pass


class SelectiveSFT(SelectiveLoss, SFTTrainer):
    pass


def _in_order(rows: PackedRows, num: int) -> torch.utils.data.Subset[Any]:
    """The blocks in the order in which a stage of seed 0 reads them."""
    order = block_order(len(rows), num, 0, rows.corpus.fingerprint)
    return torch.utils.data.Subset(rows, order.tolist())


def _arguments(out: Path, **fields: Any) -> TrainingArguments:
    stage = PretrainStage.model_validate(world.pretrain("slm", **fields))
    return TrainingArguments(
        **training_arguments(stage, out, 0) | {"save_strategy": "no", "logging_strategy": "steps", "logging_steps": 2}
    )


def _model(shared: Path, stage: str) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(shared / stage / "checkpoint")
    return model


@pytest.fixture(scope="module")
def stages(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a recipe's stages come to: accumulated, so that one ranking spans several batches."""
    out = world.link_shared(shared, tmp_path_factory.mktemp("stages"))
    steps = {"micro_batch_size": 4, "max_steps": 4}
    world.run_stages(
        [
            *world.scored(),
            world.pretrain("slm", selection=world.SELECTION, **steps),
            world.sft("sft", "base", selection=SELECTION, reference="reference", max_steps=4),
        ],
        out,
        only=["slm", "sft"],
    )
    return out


@pytest.mark.parametrize("source", ["store", "reference"])
def test_a_plain_trainer_has_the_trajectory_of_a_recipe(
    shared: Path, stages: Path, tmp_path: Path, source: str
) -> None:
    stored = {"reference": shared / "scores"} if source == "store" else {}
    given = {} if source == "store" else {"reference": _model(shared, "reference")}
    trainer = SelectiveTrainer(
        model=_model(shared, "base"),
        args=_arguments(tmp_path, micro_batch_size=4, max_steps=4),
        train_dataset=_in_order(packed_rows(shared / "web", **stored), 4 * 8),
        selection=SELECTION,
        **given,
    )
    trainer.train()
    assert _same_weights(trainer.model, _model(stages, "slm"))
    expected = [row for row in read_jsonl(stages / "slm" / "metrics.jsonl") if "loss" in row]
    logs = [row for row in trainer.state.log_history if "loss" in row]
    for name in ("loss_all", "select_ratio"):
        assert [row[name] for row in logs] == pytest.approx([row[name] for row in expected], rel=1e-12)


def _samples(shared: Path) -> Dataset:
    """The samples of the recipe's fine-tuning in its order, as a data set that anyone might have made."""
    tokenizer = shared / "tokens" / "tokenizer"
    stage = SFTStage.model_validate(world.sft("sft", "base"))
    found, _ = fitting_samples(
        stage.sources, 0, load_raw_tokenizer(tokenizer), special_tokens(tokenizer), 160, BadRows("error"), None
    )
    columns = {"input_ids": [one.input_ids for one in found], "labels": [one.labels for one in found]}
    order = block_order(len(found), 4 * 8, 0, sha256_json(columns))
    return Dataset.from_dict(columns).select(order.tolist())


def test_trl_has_the_trajectory_of_a_recipe(shared: Path, stages: Path, tmp_path: Path) -> None:
    rows = score_dataset(_samples(shared), shared / "reference" / "checkpoint", batch_size=64)
    stage = PretrainStage.model_validate(world.pretrain("sft", max_steps=4))
    fields = training_arguments(stage, tmp_path, 0) | {"save_strategy": "no", "remove_unused_columns": True}
    trainer = SelectiveSFT(
        model=_model(shared, "base"),
        args=SFTConfig(**fields, max_length=None, gradient_checkpointing=False),
        train_dataset=rows,
        eval_dataset=rows.select(range(4)),
        processing_class=AutoTokenizer.from_pretrained(shared / "tokens" / "tokenizer"),
        selection=SELECTION,
    )
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    difference = _largest_difference(trainer.model, _model(stages, "sft"))
    assert difference < 1e-6, difference
    assert trainer.evaluate()["eval_loss"] < before
    trainer.save_model(str(tmp_path / "saved"))
    assert _same_weights(AutoModelForCausalLM.from_pretrained(tmp_path / "saved"), trainer.model)


def _same_weights(left: PreTrainedModel, right: PreTrainedModel) -> bool:
    return _largest_difference(left, right) == 0.0


def _largest_difference(left: PreTrainedModel, right: PreTrainedModel) -> float:
    expected = right.state_dict()
    return max(float((weight - expected[name]).abs().max()) for name, weight in left.state_dict().items())


def test_scores_of_a_data_set_are_those_of_a_store(shared: Path) -> None:
    blocks = packed_rows(shared / "web", reference=shared / "scores")
    rows = Dataset.from_dict({"input_ids": [blocks[index]["input_ids"].tolist() for index in range(6)]})
    scored = score_dataset(rows, _model(shared, "reference"), batch_size=6)
    for kind in ("losses", "entropies"):
        for index in range(6):
            stored = blocks[index][f"reference.{kind}"].tolist()
            assert scored[index][f"reference.{kind}"] == pytest.approx(stored, abs=2e-3)
    ranks = [rank for row in scored for rank in row["reference.loss_ranks"][1:]]
    assert sum(ranks) / len(ranks) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"selection": {"score": "excess_los", "ratio": 0.6}}, "did you mean 'excess_loss'"),
        ({"selection": {"score": "excess_loss"}}, "selection: missing ratio"),
        ({"selection": {"score": "excess_loss", "ratio": 2}}, "selection: ratio: expected"),
        ({"selection": {"score": "position_ramp", "parameters": {"lenght": 2}}}, "did you mean 'length'"),
        ({"selection": "excess_loss"}, "expected what a recipe says there"),
        ({"selection": SELECTION}, "Give reference=MODEL for reference.losses"),
        ({"selection": SELECTION | {"token_scores": "scores"}}, "names a stage of a recipe"),
        ({"selection": {"score": "full"}, "label_smoothing_factor": 0.1}, "have losses of their own"),
    ],
)
def test_a_selection_that_cannot_be_is_refused_at_once(
    shared: Path, tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    args = _arguments(tmp_path)
    args.label_smoothing_factor = given.pop("label_smoothing_factor", 0.0)
    with pytest.raises(TrainingError, match=words):
        SelectiveTrainer(model=_model(shared, "base"), args=args, train_dataset=packed_rows(shared / "web"), **given)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({}, "hold no labels"),
        ({"labels": torch.tensor([[1, 2, 4]])}, "labels differ from input_ids"),
        ({"labels": torch.tensor([[1, 2, 3]]), "attention_mask": torch.tensor([[0, 1, 1]])}, "padded on the left"),
        ({"labels": torch.tensor([[1, 2, 3]]), "pixel_values": torch.zeros(1)}, "hold pixel_values"),
    ],
)
def test_batches_that_the_loss_cannot_read_are_refused(batch: dict[str, torch.Tensor], words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        token_inputs({"input_ids": torch.tensor([[1, 2, 3]])} | batch, [], 0)


def test_documents_laid_end_to_end_are_told_apart() -> None:
    positions = torch.tensor([[0, 1, 2, 0, 1]])
    ids = torch.arange(5)[None]
    batch = token_inputs({"input_ids": ids, "labels": ids, "position_ids": positions}, [], 3)
    assert batch["inputs"]["document_positions"].tolist() == [[1, 2, 0, 1]]
    assert batch["inputs"]["document_ids"].diff().tolist() == [[0, 1, 0]]
    assert "position_ids" in batch
