"""A reference's scores of fine-tuning samples: shared among ranks, kept, in the stage's precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from rho1bench.errors import CheckpointError
from rho1bench.modeling.causal_lm import load_model
from rho1bench.selection.dataset_scores import Scores, batches_of_like_length, score_batches
from rho1bench.selection.local_reference import score_blocks
from rho1bench.training import sample_scores
from rho1bench.training.sample_scores import scoring_cost, stored_scores
from rho1bench.training.sft_data import TokenisedSample

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SAMPLES = [
    TokenisedSample(list(range(5, 5 + length)), [-100, *range(6, 5 + length)]) for length in (9, 4, 30, 2, 17, 5, 8)
]
ROWS = [sample.input_ids for sample in SAMPLES]


class Reference:
    """Loads a model, and counts how often."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.loads = folder / "base" / "checkpoint", 0

    def __call__(self) -> PreTrainedModel:
        self.loads += 1
        return load_model(self.folder)


@pytest.fixture
def load(shared: Path) -> Reference:
    return Reference(shared)


def assert_equal(one: Scores, other: Scores) -> None:
    assert len(one) == len(other)
    assert all(np.array_equal(first, second) for first, second in zip(one, other, strict=True))


def test_changed_scores_of_samples_are_made_again(load: Reference, tmp_path: Path) -> None:
    path = tmp_path / "scores.npy"
    first = stored_scores(path, load, SAMPLES, 2)
    assert_equal(first, stored_scores(path, load, SAMPLES, 2))
    assert load.loads == 1
    assert scoring_cost(path).flops
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    assert_equal(first, stored_scores(path, load, SAMPLES, 2))
    assert load.loads == 2


@pytest.mark.parametrize("ranks", [2, 9])
def test_ranks_share_the_work_and_give_the_scores_of_one(
    load: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: int
) -> None:
    """Rank 0 comes last here, and finds what the others have left, which it does not score itself."""
    alone = stored_scores(tmp_path / "alone.npy", load, SAMPLES, 2)
    scored: list[list[int]] = []

    def noted(model: PreTrainedModel, rows: object, batches: list[list[int]], precision: str) -> object:
        scored.extend(batches)
        return score_batches(model, ROWS, batches, precision)

    monkeypatch.setattr(sample_scores, "score_batches", noted)
    monkeypatch.setattr(sample_scores, "any_rank", lambda here, device: True)
    monkeypatch.setenv("WORLD_SIZE", str(ranks))
    path = tmp_path / "shared.npy"
    for number in reversed(range(ranks)):
        monkeypatch.setenv("RANK", str(number))
        if number > 0:
            with pytest.raises(FileNotFoundError):  # nobody has joined the shares
                stored_scores(path, load, SAMPLES, 2)
    assert_equal(alone, stored_scores(path, load, SAMPLES, 2))
    assert sorted(scored) == sorted(batches_of_like_length(ROWS, 2))
    assert sorted(found.name for found in tmp_path.glob("shared*")) == ["shared.json", "shared.npy", "shared.sha256"]


def test_scores_have_the_precision_of_the_stage(load: Reference, tmp_path: Path) -> None:
    whole, rough = (stored_scores(tmp_path / f"{name}.npy", load, SAMPLES, 1, name) for name in ("fp32", "bf16"))
    model = load().eval()
    for row, full_S2, rough_S2 in zip(ROWS, whole, rough, strict=True):
        with torch.autocast("cpu", torch.bfloat16):
            assert np.array_equal(rough_S2, score_blocks(model, torch.tensor([row]))[0].numpy())
        assert np.array_equal(full_S2, score_blocks(model, torch.tensor([row]))[0].numpy())
        assert 0 < float(np.abs(full_S2 - rough_S2).max()) < 0.05


def test_scores_that_are_not_finite_are_refused(load: Reference, tmp_path: Path) -> None:
    def broken() -> PreTrainedModel:
        model = load()
        nn.init.constant_(model.get_output_embeddings().weight, float("nan"))
        return model

    with pytest.raises(CheckpointError, match="the reference of the samples: gives a loss or an entropy that is not"):
        stored_scores(tmp_path / "scores.npy", broken, SAMPLES, 2)
    assert not (tmp_path / "scores.npy").exists()
