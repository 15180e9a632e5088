from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

from rho1bench.corpus.sources.reader import read_documents
from rho1bench.corpus.tokenizer import (
    PIECES,
    load_raw_tokenizer,
    tokenizer_sha256,
    train_tokenizer,
    without_long_pieces,
    write_tokenizer,
)
from rho1bench.errors import DataError
from rho1bench.recipe import MiniWorldSource

SOURCE = MiniWorldSource(type="mini_world", text="clean", num_documents=150)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def world_texts() -> list[str]:
    return [document.text for document in read_documents([SOURCE], 0)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(train_tokenizer(iter(world_texts()), 450), folder)
    return folder


@pytest.fixture(scope="module")
def raw(folder: Path) -> Any:
    return load_raw_tokenizer(folder)


@pytest.fixture(scope="module")
def auto(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT)
def test_round_trip_of_any_text(raw: Any, text: str) -> None:
    assert raw.decode(raw.encode(text, add_special_tokens=False).ids, skip_special_tokens=False) == text


@settings(max_examples=100, deadline=None)
@given(ANY_TEXT)
def test_round_trip_through_transformers(auto: Any, text: str) -> None:
    for special in ("<s>", "</s>", "<pad>"):
        text = text.replace(special, "")
    ids = auto(text).input_ids
    assert ids[0] == auto.bos_token_id
    assert auto.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) == text


@given(st.integers(min_value=0))
def test_digits_are_single_tokens(raw: Any, number: int) -> None:
    digits = list(str(number))
    assert raw.encode(f"x{number}", add_special_tokens=False).tokens == ["x", *digits]
    # A space belongs to the digit after it.
    assert raw.encode(f"x {number}", add_special_tokens=False).tokens == ["x", f"Ġ{digits[0]}", *digits[1:]]


def test_spelled_special_tokens_in_text_are_text(raw: Any) -> None:
    ids = raw.encode("a </s> <s> <pad>", add_special_tokens=False).ids
    assert not {raw.token_to_id(token) for token in ("<s>", "</s>", "<pad>")} & set(ids)


def test_prompt_and_completion_encode_as_their_sum(raw: Any) -> None:
    def encode(text: str) -> Any:
        return raw.encode(text, add_special_tokens=False).ids

    for text in world_texts()[:30]:
        for mark in ("\nAnswer:", "\nSolution:"):
            if mark in text:
                cut = text.index(mark) + len(mark)
                assert encode(text[:cut]) + encode(text[cut:]) == encode(text)
    assert encode("<|assistant|>\n") + encode("```python\nprint(1)") == encode("<|assistant|>\n```python\nprint(1)")


def test_special_tokens_and_settings(auto: Any) -> None:
    assert (auto.bos_token, auto.eos_token, auto.pad_token) == ("<s>", "</s>", "<pad>")
    assert len(auto) == auto.vocab_size == 450
    assert auto("a", add_special_tokens=False).input_ids == auto("a").input_ids[1:]


def test_training_is_deterministic(folder: Path, tmp_path: Path) -> None:
    write_tokenizer(train_tokenizer(iter(world_texts()), 450), tmp_path)
    assert tokenizer_sha256(tmp_path) == tokenizer_sha256(folder)


def test_too_little_text_for_the_vocabulary() -> None:
    with pytest.raises(DataError, match="vocab_size is 2000"):
        train_tokenizer(iter(["a b c"]), 2000)


@pytest.mark.parametrize("long", ["ab" * 200_000, ".,;" * 130_000, " \t\n" * 130_000 + "x", "größe中" * 60_000])
def test_a_text_without_a_break_takes_no_square_time(long: str) -> None:
    """Trained on as one piece, each of these takes minutes."""
    began = time.process_time()
    trained = train_tokenizer(iter(["menu about words", long]), 275)
    assert time.process_time() - began < 20
    assert trained.decode(trained.encode(long[:5000], add_special_tokens=False).ids) == long[:5000]


@pytest.mark.parametrize(
    "text", ["a" * 1000 + " b", "word " * 2000, ".,a1" * 900, "1" * 5000, "a" * 999 + "1" + "a" * 999]
)
def test_a_text_whose_pieces_are_short_is_trained_on_whole(text: str) -> None:
    assert list(without_long_pieces([text])) == [text]


@given(
    st.lists(st.sampled_from(["a" * 1500, "中é" * 700, "?!" * 501, "_" * 1001, "\n " * 600, " ", "7", "b"]), max_size=6)
)
def test_cut_texts_are_the_whole_text_and_hold_no_long_piece(parts: list[str]) -> None:
    cut = list(without_long_pieces(["".join(parts)]))
    assert "".join(cut) == "".join(parts)
    split = Split(Regex(PIECES), behavior="isolated")
    lengths = [len(piece) for text in cut for piece, _ in split.pre_tokenize_str(text)]
    assert max(lengths, default=0) <= 1001, "a space may stand before the run"
