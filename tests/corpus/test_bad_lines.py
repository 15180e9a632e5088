"""Poisoned corpora: told by file and line, or passed over and counted, as ``on_bad_line`` says."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from corpus_runs import HeardProgress, corpus_context, make_corpus

from rho1bench.corpus import packed_corpus, stage, tokenizer
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.errors import DataError
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import Recipe

GOOD = [
    json.dumps({"text": f"word{number} menu about a theorem of algebra and its proof, part {number}"}).encode()
    for number in range(40)
]
BAD: dict[str, tuple[bytes, str]] = {
    "invalid JSON": (b'{"text": "cut', "not_json"),
    "empty text": (b'{"text": ""}', "no_text"),
    "no such field": (b'{"txt": "a"}', "no_text"),
    "10 MB on one line": (b'{"text": "' + b"word " * 2_000_000 + b'"}', "too_long"),
    "wrong encoding": ('{"text": "größer"}'.encode("latin-1"), "not_utf8"),
    "another encoding": ('{"text": "a"}'.encode("utf-16"), "nul_bytes"),
    "NUL bytes": (b'{"text": "a\0\0"}', "nul_bytes"),
    "escaped NUL": (b'{"text": "a\\u0000"}', "nul_bytes"),
    "a list": (b"[1, 2]", "not_an_object"),
    "lone surrogate": (b'{"text": "\\ud800"}', "lone_surrogate"),
}


def poisoned(folder: Path) -> dict[str, Any]:
    lines = list(GOOD)
    for number, (line, _) in enumerate(BAD.values()):
        lines.insert(3 * number + 1, line)
    (folder / "poisoned.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return {"type": "local", "path": str(folder / "poisoned.jsonl")}


@pytest.mark.parametrize("name", list(BAD))
def test_error_names_file_and_line(word_tokenizer: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "one.jsonl"
    path.write_bytes(b"\n".join([*GOOD[:6], BAD[name][0], *GOOD[6:]]) + b"\n")
    with pytest.raises(DataError) as caught:
        make_corpus(word_tokenizer, tmp_path / "corpus", [{"type": "local", "path": str(path)}])
    assert str(caught.value).startswith(f"{path}:7: ")
    assert len(str(caught.value)) < 1000
    assert not (tmp_path / "corpus" / "corpus.json").exists()


@pytest.mark.parametrize("num_workers", [1, 2])
def test_skip_counts_by_kind_and_tells(word_tokenizer: Path, tmp_path: Path, num_workers: int) -> None:
    source = poisoned(tmp_path)
    context = corpus_context(word_tokenizer, tmp_path / "corpus", [source], on_bad_line="skip", num_workers=num_workers)
    stage.run(context)
    corpus = PackedCorpus(tmp_path / "corpus")
    found = corpus.meta["sources"][0]["bad_lines"]
    expected: dict[str, int] = {}
    for _, kind in BAD.values():
        expected[kind] = expected.get(kind, 0) + 1
    assert {kind: item["count"] for kind, item in found.items()} == expected
    assert found["not_json"]["first"] == f"{source['path']}:2"
    assert corpus.meta["num_documents"] == len(GOOD)
    assert isinstance(context.progress, HeardProgress)
    (line,) = context.progress.lines
    assert f"passed over {len(BAD)} bad lines" in line
    assert f"1 not_json (first: {source['path']}:2)" in line
    (tmp_path / "clean.jsonl").write_bytes(b"\n".join(GOOD))
    clean = make_corpus(word_tokenizer, tmp_path / "c", [{"type": "local", "path": str(tmp_path / "clean.jsonl")}])
    assert clean.fingerprint == corpus.fingerprint
    assert clean.meta["sources"][0]["bad_lines"] == {}


def test_a_torn_gzip_and_a_torn_parquet_file(word_tokenizer: Path, tmp_path: Path) -> None:
    import numpy as np
    import pyarrow
    import pyarrow.parquet

    letters = np.random.default_rng(0).integers(0, 300, (3000, 8))
    lines = [json.dumps({"text": " ".join(f"word{number}" for number in row)}).encode() for row in letters]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines))[:-5000])
    texts = [json.loads(line)["text"] for line in lines]
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "b.parquet", row_group_size=500)
    whole = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.jsonl").write_bytes(b"\n".join(GOOD))
    source = {"type": "local", "path": str(tmp_path)}
    with pytest.raises(DataError, match=r"a\.jsonl\.gz:\d{4}: cannot be read from here on"):
        make_corpus(word_tokenizer, tmp_path / "error", [source])
    corpus = make_corpus(word_tokenizer, tmp_path / "skip", [source], on_bad_line="skip")
    found = corpus.meta["sources"][0]
    assert found["bad_lines"]["unreadable"]["count"] == 2
    assert len(GOOD) + 1500 < found["num_documents"] < len(GOOD) + 3000


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_byte_order_mark_begins_a_file_and_is_no_text(word_tokenizer: Path, tmp_path: Path, name: str) -> None:
    lines = b"\n".join(GOOD) + b"\n"
    for folder, start in (("with", b"\xef\xbb\xbf"), ("without", b"")):
        (tmp_path / folder).mkdir()
        data = start + lines
        (tmp_path / folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    with_mark, without = (
        make_corpus(word_tokenizer, tmp_path / f"{folder}-corpus", [{"type": "local", "path": str(tmp_path / folder)}])
        for folder in ("with", "without")
    )
    assert with_mark.fingerprint == without.fingerprint
    later = tmp_path / "later.jsonl"
    later.write_bytes(GOOD[0] + b"\n\xef\xbb\xbf" + GOOD[1] + b"\n")
    with pytest.raises(DataError, match=r"later\.jsonl:2: not valid JSON"):
        make_corpus(word_tokenizer, tmp_path / "c", [{"type": "local", "path": str(later)}])


def test_a_parquet_file_without_the_column(word_tokenizer: Path, tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"body": ["word1"] * 9, "url": ["u"] * 9}), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_bytes(b"\n".join(GOOD))
    source = {"type": "local", "path": str(tmp_path)}
    words = r"a\.parquet: no column 'text'; the file has 'body', 'url'\. Check the source's `text_field`\."
    with pytest.raises(DataError, match=words):
        make_corpus(word_tokenizer, tmp_path / "error", [source])
    corpus = make_corpus(word_tokenizer, tmp_path / "skip", [source], on_bad_line="skip")
    found = corpus.meta["sources"][0]
    assert found["bad_lines"] == {"no_column": {"count": 1, "first": str(tmp_path / "a.parquet")}}
    assert found["num_documents"] == len(GOOD)


def test_one_endless_line_is_not_read_into_memory(
    word_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tracemalloc

    monkeypatch.setattr(packed_corpus, "TOKENS_PER_SHARD", 2**22)

    path = tmp_path / "long.jsonl"
    path.write_bytes(b'{"text": "' + b"x" * 60_000_000 + b'"}\n' + b"\n".join(GOOD))
    tracemalloc.start()
    corpus = make_corpus(
        word_tokenizer,
        tmp_path / "corpus",
        [{"type": "local", "path": str(path)}],
        on_bad_line="skip",
        max_line_bytes=10_000,
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert corpus.meta["sources"][0]["bad_lines"] == {"too_long": {"count": 1, "first": f"{path}:1"}}
    assert peak < 60_000_000 + 3 * 2**24, "the buffer of a shard, and little more"


def test_a_tokenizer_stage_passes_over_bad_lines_too(tmp_path: Path) -> None:
    source = poisoned(tmp_path)
    for policy in ("skip", "error"):
        fields = {"name": "t", "kind": "tokenizer", "vocab_size": 300, "sources": [source], "on_bad_line": policy}
        recipe = Recipe.model_validate({"name": "tokens", "stages": [fields]})
        progress = HeardProgress()
        context = StageContext(recipe, recipe.stages[0], tmp_path / policy, {}, 0, progress)
        if policy == "error":
            with pytest.raises(DataError, match=r"poisoned\.jsonl:2"):
                tokenizer.run(context)
        else:
            tokenizer.run(context)
            assert f"passed over {len(BAD)} bad lines" in progress.lines[0]


def test_a_tokenizer_stage_whose_every_line_is_bad_says_so(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{torn\n" * 7)
    source = {"type": "local", "path": str(tmp_path / "bad.jsonl")}
    fields = {"name": "t", "kind": "tokenizer", "vocab_size": 300, "sources": [source], "on_bad_line": "skip"}
    recipe = Recipe.model_validate({"name": "tokens", "stages": [fields]})
    context = StageContext(recipe, recipe.stages[0], tmp_path / "out", {}, 0, HeardProgress())
    with pytest.raises(DataError, match=r"vocab_size is 300\. .*passed over 7 bad lines: 7 not_json"):
        tokenizer.run(context)
