from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rho1bench.corpus.tokenizer import SpecialTokens, load_raw_tokenizer, special_tokens
from rho1bench.errors import DataError
from rho1bench.mini_world import sft_samples
from rho1bench.recipe import LocalSource, MiniWorldSource
from rho1bench.training.sft_data import IGNORED, fitting_samples, read_samples, row_segments, tokenise

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=15)
SPECIAL = SpecialTokens(begin=(0,), bos=0, eos=1, pad=2)
SEGMENTS = st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool"]), TEXT), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def tokenizer(shared: Path) -> Any:
    assert special_tokens(shared / "tokens/tokenizer") == SPECIAL
    return load_raw_tokenizer(shared / "tokens/tokenizer")


@settings(max_examples=150, deadline=None)
@given(SEGMENTS)
def test_labels_are_exactly_the_assistants_tokens(tokenizer: Any, segments: list[tuple[str, str]]) -> None:
    sample = tokenise(segments, tokenizer, SPECIAL)
    position = 1
    assert (sample.input_ids[0], sample.labels[0]) == (tokenizer.token_to_id("<s>"), IGNORED)
    for role, text in segments:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        span = slice(position, position + len(ids))
        assert sample.input_ids[span] == ids
        assert sample.labels[span] == (ids if role == "assistant" else [IGNORED] * len(ids))
        position += len(ids)
    eos = tokenizer.token_to_id("</s>")
    assert sample.input_ids[position:] == [eos]
    assert sample.labels[position:] == [eos if segments[-1][0] == "assistant" else IGNORED]


@pytest.mark.parametrize("style", ["sft_tir", "sft_cot"])
def test_mini_world_samples_learn_the_assistants_text(tokenizer: Any, style: Any) -> None:
    source = MiniWorldSource(type="mini_world", text=style, num_documents=20)
    for segments, sample in zip(read_samples([source], 5), sft_samples(style, 20, 5), strict=True):
        tokenised = tokenise(segments, tokenizer, SPECIAL)
        learned = [token for token in tokenised.labels if token != IGNORED]
        written = "".join(text for role, text in sample.segments if role == "assistant")
        assert tokenizer.decode(learned, skip_special_tokens=False) == written + "</s>"
        assert tokenizer.decode(tokenised.input_ids, skip_special_tokens=False) == f"<s>{sample.text}</s>"


def test_long_samples_are_left_out_and_counted(tokenizer: Any) -> None:
    source = MiniWorldSource(type="mini_world", text="sft_tir", num_documents=30)
    everything, left_out = fitting_samples([source], 0, tokenizer, SPECIAL, 10_000)
    assert (len(everything), left_out) == (30, 0)
    median = sorted(len(sample.input_ids) for sample in everything)[15]
    some, left_out = fitting_samples([source], 0, tokenizer, SPECIAL, median)
    assert 0 < left_out == 30 - len(some)
    assert max(len(sample.input_ids) for sample in some) <= median
    with pytest.raises(DataError, match="none of the 30 fine-tuning samples fits"):
        fitting_samples([source], 0, tokenizer, SPECIAL, 5)


def test_local_samples(tmp_path: Path) -> None:
    path = tmp_path / "sft.jsonl"
    rows = [
        {"prompt": "a", "completion": " b"},
        {
            "segments": [
                {"role": "user", "text": "q"},
                {"role": "assistant", "text": "p"},
                {"role": "tool", "text": "o"},
            ]
        },
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = LocalSource(type="local", path=str(path))
    assert list(read_samples([source], 0)) == [
        (("user", "a"), ("assistant", " b")),
        (("user", "q"), ("assistant", "p"), ("tool", "o")),
    ]


QUESTION = ("user", "<|user|>\nq\n<|assistant|>\n")
PROGRAM = "```python\nprint(5)\n```\n```output\n5\n```\nThe answer is 5."
PLAYED = (
    QUESTION,
    ("assistant", "```python\nprint(5)\n```\n```output"),
    ("tool", "\n5\n```\n"),
    ("assistant", "The answer is 5."),
)


@pytest.mark.parametrize(
    ("row", "segments"),
    [
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": PROGRAM}]}, PLAYED),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": PROGRAM}]}, PLAYED),
        (
            {
                "messages": [
                    {"role": "user", "content": "q"},
                    {"role": "assistant", "content": "```python\nprint(5)\n```\n"},
                    {"role": "tool", "content": "5"},
                    {"role": "assistant", "content": "The answer is 5."},
                ]
            },
            PLAYED,
        ),
        ({"query": "q", "response": "r"}, (QUESTION, ("assistant", "r"))),
        (
            {"instruction": "q", "input": "i", "output": "r"},
            (("user", "<|user|>\nq\ni\n<|assistant|>\n"), ("assistant", "r")),
        ),
        (
            {"messages": [{"role": role, "content": role[0]} for role in ("system", "user", "assistant") * 2]},
            (
                ("user", "<|system|>\ns\n\n<|user|>\nu\n<|assistant|>\n"),
                ("assistant", "a"),
                ("user", "\n<|system|>\ns\n\n<|user|>\nu\n<|assistant|>\n"),
                ("assistant", "a"),
            ),
        ),
    ],
)
def test_chat_rows_become_the_dialogue_that_is_played(row: dict[str, Any], segments: Any) -> None:
    assert row_segments(row, "here") == segments


def test_rows_of_a_folder_with_an_offset(tmp_path: Path) -> None:
    for name in ("a", "b"):
        rows = [{"query": f"{name}{number}", "response": "r"} for number in range(2)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = LocalSource(type="local", path=str(tmp_path), offset=1, num_documents=2)
    assert [segments[0][1].split("\n")[1] for segments in read_samples([source], 0)] == ["a1", "b0"]


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"prompt": "a"}, "no field 'completion'"),
        ({"segments": []}, "non-empty list"),
        ({"segments": [{"role": "system", "text": "a"}]}, "a role out of user, assistant, tool"),
        ({"segments": [{"role": "user", "text": "a"}]}, "nothing to learn"),
        ({"messages": []}, "non-empty list"),
        ({"messages": [{"role": "judge", "content": "a"}]}, "a message's role is 'judge'"),
        ({"conversations": [{"from": "human", "value": "a"}]}, "nothing to learn"),
    ],
)
def test_bad_local_samples_are_named(tmp_path: Path, row: dict[str, Any], word: str) -> None:
    path = tmp_path / "sft.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=word) as caught:
        list(read_samples([LocalSource(type="local", path=str(path))], 0))
    assert f"{path}:1" in str(caught.value)


def test_corpus_text_is_no_fine_tuning_sample() -> None:
    with pytest.raises(DataError, match="not 'web'"):
        list(read_samples([MiniWorldSource(type="mini_world", text="web", num_documents=1)], 0))
