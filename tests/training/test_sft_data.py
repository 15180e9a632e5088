from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rho1bench.corpus.sources.documents import BadRows
from rho1bench.corpus.sources.local_rows import BadRow
from rho1bench.corpus.tokenizer import SpecialTokens, load_raw_tokenizer, special_tokens
from rho1bench.errors import DataError
from rho1bench.mini_world import sft_samples
from rho1bench.recipe import LocalSource, MiniWorldSource
from rho1bench.training.sft_data import (
    IGNORED,
    fitting_samples,
    read_samples,
    row_segments,
    tokenise,
    tokenise_dialogue,
)

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


@settings(max_examples=100, deadline=None)
@given(SEGMENTS)
def test_every_turn_of_the_assistant_learns_its_end(tokenizer: Any, segments: list[tuple[str, str]]) -> None:
    sample = tokenise_dialogue(segments, tokenizer, SPECIAL)
    expected = [(0, IGNORED)]
    for place, (role, text) in enumerate(segments):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        expected += [(token, token if role == "assistant" else IGNORED) for token in ids]
        following = segments[place + 1][0] if place + 1 < len(segments) else "the end"
        if following == "the end" or (role, following) == ("assistant", "user"):
            expected.append((1, 1 if role == "assistant" else IGNORED))
    assert list(zip(sample.input_ids, sample.labels, strict=True)) == expected


def test_a_dialogue_of_two_turns_learns_to_stop_twice(tokenizer: Any, tmp_path: Path) -> None:
    turns = [("user", "hi"), ("assistant", "hello"), ("user", "2+3?"), ("assistant", "5")]
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"messages": [{"role": role, "content": text} for role, text in turns]}) + "\n")
    (sample,), _ = fitting_samples([LocalSource(type="local", path=str(path))], 0, tokenizer, SPECIAL, 1000)
    text = tokenizer.decode(sample.input_ids, skip_special_tokens=False)
    assert text == "<s><|user|>\nhi\n<|assistant|>\nhello</s>\n<|user|>\n2+3?\n<|assistant|>\n5</s>"
    learned = [token for token in sample.labels if token != IGNORED]
    assert tokenizer.decode(learned, skip_special_tokens=False) == "hello</s>5</s>"


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


ANSWER = ("assistant", "r")
ASSISTANT = {"role": "assistant", "content": "r"}
PARTS = [{"type": "text", "text": "q"}]
SYSTEM = (("user", "<|system|>\ns\n\n<|user|>\nq\n<|assistant|>\n"), ANSWER)


@pytest.mark.parametrize(
    ("row", "segments"),
    [
        ({"instruction": "q", "input": " \n", "output": "r"}, (QUESTION, ANSWER)),
        ({"instruction": "q", "input": None, "output": "r", "history": [], "system": ""}, (QUESTION, ANSWER)),
        ({"instruction": "q", "output": "r", "system": "s", "tools": "[]"}, SYSTEM),
        ({"messages": None, "segments": None, "query": "q", "response": "r"}, (QUESTION, ANSWER)),
        ({"messages": [{"role": "user", "content": PARTS}, {**ASSISTANT, "tool_calls": []}]}, (QUESTION, ANSWER)),
        ({"conversations": [{"from": "human", "value": PARTS, "content": None}, ASSISTANT]}, (QUESTION, ANSWER)),
        ({"conversations": [{"from": "human", "value": "q"}, ASSISTANT], "system": "s"}, SYSTEM),
        (
            {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": "q"}, ASSISTANT]},
            (QUESTION, ANSWER),
        ),
        (
            {"messages": [{"role": "user", "content": "q"}, ASSISTANT, {"role": "tool", "content": None}, ASSISTANT]},
            (QUESTION, ("assistant", "r\n```output"), ("tool", "\n\n```\n"), ANSWER),
        ),
        ({"prompt": PARTS, "completion": " b"}, (("user", "q"), ("assistant", " b"))),
    ],
)
def test_fields_that_hold_nothing_and_text_in_parts(row: dict[str, Any], segments: Any) -> None:
    assert row_segments(row, "here") == segments


CALL = {"type": "function", "function": {"name": "python", "arguments": "{}"}}
UNFIT: dict[str, tuple[dict[str, Any], str, str]] = {
    "a call beside text": ({"role": "assistant", "content": "so:", "tool_calls": [CALL]}, "not_shown", "'tool_calls'"),
    "a call without text": ({"role": "assistant", "content": None, "tool_calls": [CALL]}, "not_shown", "'tool_calls'"),
    "thoughts": ({"role": "assistant", "content": "r", "reasoning_content": "hm"}, "not_shown", "'reasoning_content'"),
    "left out of the loss": ({"role": "assistant", "content": "r", "weight": 0}, "not_learnt", "'weight': 0"),
    "not trained on": ({"role": "assistant", "content": "r", "train": False}, "not_learnt", "'train': False"),
    "null": ({"role": "assistant", "content": None}, "no_text", "field 'content' must be a non-empty string"),
    "an empty turn": ({"role": "user", "content": " "}, "no_text", "field 'content' must be a non-empty string"),
    "an image": ({"role": "user", "content": [*PARTS, {"type": "image_url"}]}, "no_text", "parts of the type 'text'"),
    "no part": ({"role": "user", "content": []}, "no_text", "non-empty string"),
    "no object": ("hello", "no_dialogue", "a message's role is None"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", list(UNFIT))
def test_messages_that_the_template_cannot_show_are_bad_rows(name: str) -> None:
    message, kind, words = UNFIT[name]
    with pytest.raises(BadRow, match=words) as caught:
        row_segments({"messages": [{"role": "user", "content": "q"}, ASSISTANT, message, ASSISTANT]}, "a.jsonl:3")
    assert (caught.value.kind, caught.value.where) == (kind, "a.jsonl:3")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"instruction": "q", "output": "r", "history": [["a", "b"]]}, "has 'history'"),
        ({"messages": [{"role": "user", "content": "q"}, ASSISTANT], "tools": [CALL]}, "has 'tools'"),
        ({"messages": [{"role": "user", "content": "q"}, ASSISTANT], "images": ["a.png"]}, "has 'images'"),
        ({"segments": [{"role": "assistant", "text": "r", "tool_calls": [CALL]}]}, "has 'tool_calls'"),
        ({"prompt": [{"role": "user", "content": "q"}], "completion": [ASSISTANT]}, "field 'prompt' must be a string"),
        ({"instruction": "q", "input": 5, "output": "r"}, "field 'input'"),
        ({"instruction": "q", "output": "\ud800"}, "lone surrogate"),
    ],
)
def test_rows_that_hold_more_than_a_sample_shows(row: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRow, match=words):
        row_segments(row, "here")


def test_bad_rows_are_skipped_and_counted_or_stop_at_the_first(tokenizer: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    good = {"query": "q", "response": "r"}
    rows = [good, {"messages": [UNFIT["null"][0]]}, good, {"query": "q" * 500, "response": "r"}, good]
    path.write_text(
        "".join(json.dumps(row) + "\n" for row in rows[:3]) + "{torn\n" + json.dumps(rows[3]) + "\n" + json.dumps(good)
    )
    source = LocalSource(type="local", path=str(path))
    with pytest.raises(DataError, match=r"rows\.jsonl:2: field 'content'"):
        fitting_samples([source], 0, tokenizer, SPECIAL, 1000)
    bad = BadRows("skip")
    samples, num_long = fitting_samples([source], 0, tokenizer, SPECIAL, 1000, bad, 300)
    assert (len(samples), num_long) == (3, 0)
    assert bad.counts == {"no_text": 1, "not_json": 1, "too_long": 1}
    assert bad.first["not_json"] == f"{path}:4"
    some = LocalSource(type="local", path=str(path), offset=1, num_documents=2)
    assert len(list(read_samples([some], 0, BadRows("skip"), 300))) == 2, "offset and num_documents count samples"
    path.write_text("{torn\n" * 3)
    with pytest.raises(DataError, match=r"no fine-tuning sample .*passed over 3 bad lines: 3 not_json \(first: .*:1\)"):
        fitting_samples([source], 0, tokenizer, SPECIAL, 1000, BadRows("skip"))


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
