"""Sources: data sets read through ``datasets``, folders and globs of local files, fields and chat turns."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from corpus_runs import content, kill_at_write, make_corpus, write_lines
from pydantic import TypeAdapter, ValidationError

from rho1bench.corpus import packed_corpus
from rho1bench.corpus.sources.reader import SourceReader, read_documents
from rho1bench.errors import DataError
from rho1bench.recipe import Source

CARD = """---
configs:
- config_name: default
  data_files: [{split: train, path: "data/*"}]
- config_name: tail
  data_files: [{split: train, path: "data/[12].*"}]
---
A data set of words.
"""
TEXTS = [f"word{number % 300} menu about {number}" for number in range(900)]


def source(**fields: Any) -> Source:
    return TypeAdapter(Source).validate_python(fields)


def texts(**fields: Any) -> list[str]:
    return [document.text for document in read_documents([source(**fields)], 0)]


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets as they lie on the hub: a card, two configs, several files; one of Parquet, one of JSON lines."""
    import pyarrow
    import pyarrow.parquet

    folder = tmp_path_factory.mktemp("words")
    for name in ("parquet", "lines"):
        (folder / name / "data").mkdir(parents=True)
        (folder / name / "README.md").write_text(CARD)
    for part in range(3):
        rows = TEXTS[300 * part : 300 * (part + 1)]
        table = pyarrow.table({"text": rows, "url": ["u"] * 300})
        pyarrow.parquet.write_table(table, folder / "parquet" / "data" / f"{part}.parquet", row_group_size=100)
        lines = "".join(json.dumps({"body": text}) + "\n" for text in rows)
        (folder / "lines" / "data" / f"{part}.jsonl").write_text(lines)
    return folder


def test_a_data_set_streams_with_config_limit_and_offset(hub_folder: Path) -> None:
    hub = {"type": "hub", "dataset": str(hub_folder / "parquet")}
    lines = {"type": "hub", "dataset": str(hub_folder / "lines"), "text_field": "body"}
    assert texts(**hub) == TEXTS
    assert texts(**hub, config="tail") == TEXTS[300:]
    assert texts(**lines) == TEXTS
    assert texts(**lines, config="tail") == TEXTS[300:]
    assert texts(**hub, num_documents=20, offset=290) == TEXTS[290:310]
    assert texts(**hub, data_files="data/[12].parquet") == TEXTS[300:]
    assert texts(**lines, data_files=["data/2.jsonl"]) == TEXTS[600:]
    with pytest.raises(DataError, match="has 900 documents, but the recipe asks for 901"):
        texts(**hub, num_documents=901)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"split": "tset"}, "split 'tset'"),
        ({"config": "none"}, "config 'none'"),
        ({"data_files": ["a.parquet", "b.jsonl"]}, "all be of one kind"),
    ],
)
def test_what_a_data_set_does_not_have(hub_folder: Path, fields: dict[str, Any], word: str) -> None:
    with pytest.raises(DataError, match=word) as caught:
        texts(type="hub", dataset=str(hub_folder / "parquet"), **fields)
    assert str(hub_folder) in str(caught.value)


def test_a_wrong_field_of_a_row_is_named(hub_folder: Path) -> None:
    with pytest.raises(DataError, match=r"parquet\[train\]:1: no field 'txt'; the line has 'text', 'url'"):
        texts(type="hub", dataset=str(hub_folder / "parquet"), text_field="txt")


@pytest.mark.parametrize("name", ["parquet", "lines"])
@pytest.mark.parametrize("kind", ["hub", "local"])
def test_a_reader_goes_on_from_any_position(hub_folder: Path, kind: str, name: str) -> None:
    place = {"hub": {"dataset": str(hub_folder / name)}, "local": {"path": str(hub_folder / name / "data")}}[kind]
    wanted = source(type=kind, **place, text_field="text" if name == "parquet" else "body")
    for stop in (1, 299, 300, 450, 900):
        reader = SourceReader(wanted, 0)
        rows = iter(reader)
        first = [next(rows) for _ in range(stop)]
        position = json.loads(json.dumps(reader.position()))
        resumed = SourceReader(wanted, 0, position=position)
        assert resumed.position() == position, "killed before its first row, it would resume here again"
        assert [getattr(item, "text", item) for item in [*first, *resumed]] == TEXTS


def test_a_mixture_of_hub_sources_goes_on_after_a_kill(
    word_tokenizer: Path, hub_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_corpus, "TOKENS_PER_SHARD", 1024)
    sources = [
        {"type": "hub", "dataset": str(hub_folder / "parquet"), "weight": 3},
        {"type": "hub", "dataset": str(hub_folder / "lines"), "text_field": "body", "weight": 1},
    ]
    make_corpus(word_tokenizer, tmp_path / "straight", sources)
    kill_at_write(monkeypatch, 7)
    with pytest.raises(KeyboardInterrupt):
        make_corpus(word_tokenizer, tmp_path / "killed", sources)
    make_corpus(word_tokenizer, tmp_path / "killed", sources)
    assert content(tmp_path / "killed") == content(tmp_path / "straight")


def test_a_source_of_low_weight_killed_again_and_again_within_one_chunk(
    word_tokenizer: Path, hub_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second chunk of 256 documents lasts for many shards of the other source."""
    monkeypatch.setattr(packed_corpus, "TOKENS_PER_SHARD", 2048)
    heavy = write_lines(tmp_path / "heavy.jsonl", [f"{text} {text} {text}" for text in TEXTS])
    sources = [
        {"type": "hub", "dataset": str(hub_folder / "parquet"), "weight": 1},
        {**heavy, "weight": 2},
    ]
    make_corpus(word_tokenizer, tmp_path / "straight", sources)
    for writes in (36, 4, 4):
        kill_at_write(monkeypatch, writes)
        with pytest.raises(KeyboardInterrupt):
            make_corpus(word_tokenizer, tmp_path / "killed", sources)
    make_corpus(word_tokenizer, tmp_path / "killed", sources)
    assert content(tmp_path / "killed") == content(tmp_path / "straight")


def test_a_hub_that_cannot_be_reached_is_one_clear_message(tmp_path: Path) -> None:
    """In a process of its own, since the address of the hub is read once; it does not wait between its attempts."""
    program = (
        "import time\n"
        "time.sleep = lambda _: None\n"
        "from rho1bench.corpus.sources.reader import read_documents\n"
        "from rho1bench.recipe import HubSource\n"
        "source = HubSource(type='hub', dataset='open-web-math/open-web-math', revision='a' * 40)\n"
        "next(iter(read_documents([source], 0)))\n"
    )
    gone = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0"}
    environment = {**os.environ, **gone, "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("rho1bench.errors.DataError: open-web-math/open-web-math: the data set cannot be opened")
    assert "the hub can be reached" in last


def test_folders_globs_and_kinds_of_local_files(hub_folder: Path, tmp_path: Path) -> None:
    assert texts(type="local", path=str(hub_folder / "parquet")) == TEXTS
    assert texts(type="local", path=str(hub_folder / "parquet" / "data" / "0.parquet"), offset=250) == TEXTS[250:300]
    assert texts(type="local", path=str(hub_folder / "lines" / "data" / "[12].jsonl"), text_field="body") == TEXTS[300:]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "second"}\n'))
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "first"}\n')
    (tmp_path / "notes.txt").write_bytes(b"no rows")
    assert texts(type="local", path=str(tmp_path)) == ["first", "second"]
    assert texts(type="local", path=str(tmp_path / "**" / "*.gz")) == ["second"]
    for nothing in ("*.parquet", "none", "none.jsonl"):
        with pytest.raises(DataError, match="no such file"):
            texts(type="local", path=str(tmp_path / nothing))


def test_several_fields_and_chat_turns_are_one_text(tmp_path: Path) -> None:
    rows = [
        {"query": "1+1?", "response": "2"},
        {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]},
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]},
        {"messages": [{"role": "user"}]},
    ]
    paths = [tmp_path / f"{number}.jsonl" for number in range(4)]
    for path, row in zip(paths, rows, strict=True):
        path.write_text(json.dumps(row) + "\n")
    assert texts(type="local", path=str(paths[0]), text_field=["query", "response"]) == ["1+1?\n2"]
    assert texts(type="local", path=str(paths[1]), text_field="conversations") == ["hi\nhello"]
    assert texts(type="local", path=str(paths[2]), text_field=["messages"]) == ["hi\nhello"]
    with pytest.raises(DataError, match="'messages' must be a non-empty string"):
        texts(type="local", path=str(paths[3]), text_field="messages")


def test_files_in_an_order_of_the_seed(hub_folder: Path) -> None:
    """Each file whole, all of them once, another order with another seed; a reader goes on in its own."""
    fields = {"type": "hub", "dataset": str(hub_folder / "lines"), "data_files": "data/*.jsonl", "shuffle_files": True}
    wanted = source(**fields, text_field="body")
    orders = {seed: [getattr(item, "text", item) for item in SourceReader(wanted, seed)] for seed in range(6)}
    files = [TEXTS[place : place + 300] for place in (0, 300, 600)]
    for order in orders.values():
        assert sorted(order[place : place + 300] for place in (0, 300, 600)) == sorted(files)
    assert len({tuple(order[::300]) for order in orders.values()}) > 2
    reader = SourceReader(wanted, 3)
    rows = iter(reader)
    first = [next(rows) for _ in range(450)]
    again = [*first, *SourceReader(wanted, 3, position=json.loads(json.dumps(reader.position())))]
    assert [getattr(item, "text", item) for item in again] == orders[3]
    with pytest.raises(ValidationError, match="shuffle_files needs data_files"):
        source(type="hub", dataset="a/b", shuffle_files=True)
    with pytest.raises(DataError, match="has no file that fits"):
        texts(**{**fields, "data_files": "*.parquet"})


def test_lines_with_unlike_columns_are_read(tmp_path: Path) -> None:
    """As in proof-pile-2, where ``meta`` is another record in each part."""
    rows = [{"text": "one", "meta": {"a": 1}}, {"text": "two", "meta": {"b": ["x"]}}, {"text": "three", "meta": "y"}]
    for number, row in enumerate(rows):
        (tmp_path / f"{number}.jsonl").write_text(json.dumps(row) + "\n")
    assert texts(type="hub", dataset=str(tmp_path), data_files="*.jsonl") == ["one", "two", "three"]
    (tmp_path / "1.jsonl").write_text("no json\n")
    with pytest.raises(DataError, match=r"\[train\]:2: not valid JSON"):
        texts(type="hub", dataset=str(tmp_path), data_files="*.jsonl")
