"""Document masking: a document's logits do not depend on the documents before it in its block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus_runs import make_corpus, write_lines
from hypothesis import given
from hypothesis import strategies as st

from rho1bench.corpus.masking import document_ids, eligible_targets, position_ids
from rho1bench.corpus.tokenizer import special_tokens


@given(st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=4))
def test_ids_positions_and_targets_say_the_same(rows: list[list[bool]]) -> None:
    starts_BT = np.array(rows)
    ids_BT = document_ids(starts_BT)
    positions_BT, eligible_BS = position_ids(ids_BT), eligible_targets(ids_BT)
    for starts, ids, positions, eligible in zip(starts_BT, ids_BT, positions_BT, eligible_BS, strict=True):
        document = position = 0
        for place in range(9):
            if place and starts[place]:
                document, position = document + 1, 0
                assert not eligible[place - 1]
            elif place:
                assert eligible[place - 1]
            assert (ids[place], positions[place]) == (document, position)
            position += 1


@pytest.fixture(scope="module")
def model() -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(vocab_size=268, max_position_embeddings=64, **shape)).eval()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_changing_one_document_leaves_the_next_ones_logits_equal(
    word_tokenizer: Path, tmp_path: Path, model: Any, attention: str
) -> None:
    import torch

    texts = [" ".join(["menu"] * length) for length in (2, 3, 1, 4, 2, 3, 5, 1, 2, 3, 2, 4, 3, 2, 1, 3, 4, 2)]
    source = write_lines(tmp_path / "docs.jsonl", texts)
    corpus = make_corpus(word_tokenizer, tmp_path / "corpus", [source], document_masking=True)
    assert corpus.document_ids is not None
    assert len(corpus) >= 3
    tokens_BT = np.stack([corpus.block(index) for index in range(3)])
    ids_BT = corpus.document_ids.rows(0, 3)
    begin = special_tokens(word_tokenizer / "tokenizer").begin[0]
    starts_BT = tokens_BT == begin
    np.testing.assert_array_equal(ids_BT, document_ids(starts_BT))
    assert (ids_BT[:, -1] >= 2).all()
    positions_BT = torch.from_numpy(position_ids(ids_BT))
    model.set_attn_implementation(attention)

    def logits(tokens: np.ndarray, masked: bool = True) -> torch.Tensor:
        places = positions_BT if masked else None
        with torch.inference_mode():
            return model(input_ids=torch.from_numpy(tokens), position_ids=places, use_cache=False).logits

    changed_BT = np.where(ids_BT == 1, (tokens_BT + 17) % 268, tokens_BT)
    before, after = logits(tokens_BT), logits(changed_BT)
    others_BT = torch.from_numpy(ids_BT != 1)
    assert torch.equal(before[others_BT], after[others_BT])
    assert not torch.equal(before[~others_BT], after[~others_BT])
    plain = logits(tokens_BT, masked=False)[others_BT] - logits(changed_BT, masked=False)[others_BT]
    assert plain.abs().max() > 1e-3, "without masking the next documents see the change"


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_masked_document_is_read_as_if_it_stood_alone(model: Any, attention: str) -> None:
    import torch

    generator = torch.Generator().manual_seed(1)
    tokens_BT = torch.randint(0, 268, (1, 24), generator=generator)
    ids_BT = np.array([[0] * 7 + [1] * 10 + [2] * 7])
    model.set_attn_implementation(attention)
    with torch.inference_mode():
        positions_BT = torch.from_numpy(position_ids(ids_BT))
        whole = model(input_ids=tokens_BT, position_ids=positions_BT, use_cache=False).logits
        for part in (slice(0, 7), slice(7, 17), slice(17, 24)):
            alone = model(input_ids=tokens_BT[:, part], use_cache=False).logits
            torch.testing.assert_close(whole[:, part], alone, rtol=1e-5, atol=1e-5)


def test_masking_changes_the_fingerprint_and_no_token(word_tokenizer: Path, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "docs.jsonl", ["menu about word1"] * 40)
    masked = make_corpus(word_tokenizer, tmp_path / "masked", [source], document_masking=True)
    plain = make_corpus(word_tokenizer, tmp_path / "plain", [source])
    assert plain.document_ids is None
    assert masked.fingerprint != plain.fingerprint
    np.testing.assert_array_equal(masked.blocks.rows(0, len(masked)), plain.blocks.rows(0, len(plain)))
