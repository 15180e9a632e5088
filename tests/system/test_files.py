"""Atomic files and torn lines."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rho1bench.system import files

ROWS = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), max_size=3), max_size=6)


def test_an_atomic_write_leaves_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / "value.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        files.write_json(path, {"a": float("nan")})
    with suppress(RuntimeError), files.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert files.read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["value.json"]


def test_a_pipe_is_written_into_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        files.write_text(pipe, "words")
        assert os.read(reader, 100) == b"words"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_path_without_a_name_is_refused():
    with pytest.raises(IsADirectoryError):
        files.write_text(Path(), "words")


def test_temporaries_of_killed_writers_are_removed(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in (".a.json.12.tmp", "deep/.b.13.tmp", "deep/kept.tmp", "kept.json"):
        (tmp_path / name).write_text("x")
    files.remove_temporaries(tmp_path, deep=False)
    assert (tmp_path / "deep/.b.13.tmp").exists()
    files.remove_temporaries(tmp_path)
    left = {entry.name for entry in tmp_path.rglob("*") if entry.is_file()}
    assert left == {"kept.tmp", "kept.json"}


@settings(max_examples=40)
@given(rows=ROWS, torn=st.binary(max_size=12).filter(lambda data: b"\n" not in data), more=ROWS)
def test_a_torn_line_costs_only_itself(tmp_path_factory, rows, torn, more):
    path: Path = tmp_path_factory.mktemp("torn") / "rows.jsonl"
    files.write_jsonl(path, rows)
    with path.open("ab") as handle:
        handle.write(torn)
    assert files.read_jsonl(path) == rows
    for row in more:
        files.append_jsonl(path, row)
    assert files.read_jsonl(path) == rows + more


@given(value=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5))
def test_the_hash_of_json_is_blind_to_order(value):
    backwards = dict(reversed(value.items()))
    assert files.sha256_json(value) == files.sha256_json(json.loads(json.dumps(backwards)))


def test_large_files_are_hashed_by_pieces_and_any_byte_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PIECE_BYTES", 1000)
    sizes = {"empty": 0, "small": 1000, "deep/large": 2500}
    (tmp_path / "deep").mkdir()
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(number % 251 for number in range(size)))
    hashes = files.content_hashes(tmp_path, sizes)
    assert {name: hashes[name] for name in ("empty", "small")} == {
        name: files.sha256_file(tmp_path / name) for name in ("empty", "small")
    }
    assert files.changed_files(tmp_path, hashes) == []
    whole = (tmp_path / "deep/large").read_bytes()
    for place in (0, 999, 1000, 2499):
        (tmp_path / "deep/large").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert files.changed_files(tmp_path, hashes) == ["deep/large"]
    for changed in (whole[:2000], whole + b"x", whole[1000:2000] + whole[:1000] + whole[2000:]):
        (tmp_path / "deep/large").write_bytes(changed)
        assert files.changed_files(tmp_path, hashes) == ["deep/large"]
    (tmp_path / "small").unlink()
    assert files.changed_files(tmp_path, hashes) == ["small", "deep/large"]
