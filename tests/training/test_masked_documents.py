"""Document masking in training, scoring and validation: a document's losses do not see the documents before it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.selection.block_reader import BlockReader
from rho1bench.selection.local_reference import masked_positions, score_blocks
from rho1bench.selection.selective_lm import SelectiveLM
from rho1bench.selection.selector import Selector
from rho1bench.system.files import write_json
from rho1bench.training.measurements import block_losses, validation_loss

IDS = np.array([[0, 0, 0, 1, 1, 1, 1, 2], [0, 1, 1, 1, 1, 1, 1, 1]], dtype=np.uint16)


def corpus(folder: Path, tokens: np.ndarray, masking: bool = True) -> PackedCorpus:
    folder.mkdir()
    for name, array in (("blocks", tokens), ("kinds", tokens * 0), ("documents", IDS)):
        np.save(folder / f"{name}-00000.npy", array)
    write_json(folder / "corpus.json", {"num_blocks": 2, "block_size": 8, "document_masking": masking})
    return PackedCorpus(folder)


@pytest.fixture(scope="module")
def lm() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=40, max_position_embeddings=16, **shape))


def test_losses_and_scores_of_a_document_are_its_own(tmp_path: Path, lm: Any) -> None:
    tokens = np.random.default_rng(0).integers(0, 40, (2, 8)).astype(np.uint16)
    changed = np.where(IDS == 0, (tokens + 7) % 40, tokens).astype(np.uint16)
    own_BS = torch.from_numpy((IDS[:, 1:] == IDS[:, :-1]) & (IDS[:, 1:] > 0))
    found: dict[str, list[torch.Tensor]] = {"losses": [], "scores": [], "validation": [], "plain": []}
    for name, rows in (("a", tokens), ("b", changed)):
        masked = corpus(tmp_path / name, rows)
        batch = BlockReader(masked).batch([0, 1], [0, 1])
        eligible = batch["inputs"]["eligible"]
        assert eligible.tolist() == [[1, 1, 0, 1, 1, 1, 0], [0, 1, 1, 1, 1, 1, 1]]
        model = SelectiveLM(lm, Selector(None, 0))
        outputs = model(**batch)
        assert int(outputs["selected"].sum()) == 11
        eligible_losses = outputs["losses"][eligible].detach()
        assert float(outputs["loss_sum"].detach()) == pytest.approx(float(eligible_losses.sum()), rel=1e-6)
        assert validation_loss(partial(block_losses, model), masked, 1, torch.device("cpu")) == pytest.approx(
            float(eligible_losses.mean()), rel=1e-6
        )
        found["losses"].append(outputs["losses"][own_BS].detach())
        positions_BT = masked_positions(masked, 0, 2, torch.device("cpu"))
        found["scores"].append(score_blocks(lm, batch["input_ids"], positions_BT)[own_BS])
        found["plain"].append(score_blocks(lm, batch["input_ids"])[own_BS])
    assert torch.equal(*found["losses"])
    assert torch.equal(*found["scores"])
    assert not torch.equal(*found["plain"])


def test_a_corpus_without_masking_gives_no_positions(tmp_path: Path) -> None:
    plain = corpus(tmp_path / "plain", np.zeros((2, 8), dtype=np.uint16), masking=False)
    batch = BlockReader(plain).batch([0, 1], [0, 1])
    assert "position_ids" not in batch
    assert bool(batch["inputs"]["eligible"].all())
    assert masked_positions(plain, 0, 2, torch.device("cpu")) is None
